"""Kills commands with SIGKILL, runs them again, and compares what they write bit for bit.

    python -m tests.crash.stories --stories 200 --json benchmarks/results/crash.json

A story is a small run of one kind that is killed one to three times, at any time or at a named
place, and then run again to its end. Its metrics, samples, figures and weights must be those of a
run that nobody killed, and each time it must go on from its last checkpoint. The seed of a story
decides its kind and its kills; the instants within a call, and what an earlier kill has left, are
the clock's.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
os.environ["CUDA_VISIBLE_DEVICES"] = ""  # only on CPUs are sums the same to the bit

import matplotlib.backends.backend_agg  # noqa: F401 (or each process would import it)
import torch
import yaml

from instructgpt.run.directory import Run
from instructgpt.run.processor import this_processor
from tests.crash.killing import (
    ANY_TIME,
    GRACE_SECONDS,
    LIMIT_SECONDS,
    TARGETS,
    UNITS,
    Event,
    Kill,
    Trace,
    locate,
    run_forked,
    title,
)
from tests.ppo.letters import letter_policy
from tests.small_runs import differing, one_backend, results, write_inputs

PROCESSES = (1, 2)
TRAINED = {"metrics.jsonl", "model/model.safetensors"}
PPO = TRAINED | {"samples.jsonl", "model-ema/model.safetensors", "critic/model.safetensors"}
KINDS = {
    "sft": TRAINED | {"samples.jsonl"},
    "reward": TRAINED | {"evaluation.json"},
    "ppo": PPO,
    "evaluation": {"evaluation.json"},
    "pipeline": PPO | {"candidates.jsonl", "rankings.jsonl", "evaluation.json"},
}
"""The kinds of runs, and what each leaves behind to be compared."""
ANY_TIME_SHARE = 0.25
"""Of the kills; the others are at a named place."""


class StoryFailedError(Exception):
    """A run differs from the undisturbed one, lost steps, or did not end as it should."""


# -------------------------------------------------------------------------------- what is run


def write_commands(folder: Path) -> dict[str, list[str]]:
    """Models, data and configurations on disk; returns the command of each kind of run."""
    stages = write_inputs(folder)
    ppo = stages["ppo"]
    other = letter_policy(width=16, context=48, seed=1).save(folder / "other")
    save_every = {"sft": 2, "reward": 1, "ppo": 3}  # 3: also within an iteration's eight updates
    files = {
        stage: {**settings, "threads": 1, "save_every": save_every[stage]}
        for stage, settings in stages.items()
    }
    files["evaluation"] = {
        "judge": ppo["reward_model"],
        "data": ppo["data"],
        "prose": ppo["pretrain_data"],
        "samples": 3,
        "max_new_tokens": 8,
        "rollout_slots": 3,
    }
    files["pipeline"] = pipeline(stages["sft"], ppo)
    words = {"evaluation": ["eval", "compare", ppo["model"], str(other)]}
    commands = {}
    for kind, content in files.items():
        path = folder / f"{kind}.yaml"
        path.write_text(yaml.safe_dump(content))
        commands[kind] = [*words.get(kind, [kind]), str(path), "--out", "run"]
    return commands


def pipeline(sft: dict[str, Any], ppo: dict[str, Any]) -> dict[str, Any]:
    """The configuration of a pipeline, with the models and data of single stages."""
    small = {"learning_rate": 1e-3, "save_every": 1, "batch_size": 2}
    return {
        "common": {"threads": 1, "seed": 1, "micro_batch_tokens": 32},
        "pretrain": {
            "model": sft["model"],
            "pretrain_fraction": 1.0,
            "max_length": 48,
            "max_steps": 2,
            "pretrain_data": ppo["pretrain_data"],
            "pretrain_length": 8,
            **small,
        },
        "sft": {"data": sft["data"], "epochs": 1, **small},
        "sample": {"data": ppo["data"], "k": 3, "max_new_tokens": 6},
        "rank": {"by": "rule"},
        "reward": {"demonstrations": sft["data"], "ties": "half", **small},
        "ppo": {
            "data": ppo["data"],
            "total_episodes": 4,
            "num_mini_batches": 2,
            "response_length": 4,
            "warmup": 0,
            "pretrain_data": ppo["pretrain_data"],
            "ptx_ratio": 1,
            "ptx_length": 8,
            **small,
        },
        "evaluate": {"data": ppo["data"], "max_new_tokens": 4, "judge": "rule"},
    }


@dataclass(frozen=True)
class Reference:
    """An undisturbed run: its folder, the calls of each of its processes, and its seconds."""

    folder: Path
    traces: list[Trace]
    seconds: float

    def instant(self, units: int) -> float:
        """When so many of the `UNITS` had ended."""
        return [0.0, *self.traces[0].ends][units]


def undisturbed(kind: str, command: Sequence[str], folder: Path, processes: int) -> Reference:
    """Run a command to its end.

    Raises:
        StoryFailedError: it fails, or leaves too little to compare.
    """
    folder.mkdir(parents=True)
    outcome = run_forked(command, folder, processes)
    if any(outcome.codes):
        raise StoryFailedError(f"the undisturbed run exits with {outcome.codes}:\n{said(folder)}")
    left = {name for directory in stages(folder) for name in results(directory)}
    if missing := KINDS[kind] - left:
        raise StoryFailedError(f"the undisturbed run leaves no {', '.join(missing)}")
    traces = []
    for rank in range(processes):
        trace = json.loads((folder / f"trace-{rank}.json").read_text())
        traces.append(Trace([Event(*event) for event in trace["events"]], trace["ends"]))
    return Reference(folder, traces, outcome.seconds)


# -------------------------------------------------------------------------------- what is checked


@dataclass(frozen=True)
class Kept:
    """What a run that was killed must not lose.

    Attributes:
        checkpoints: the step of the newest checkpoint, by directory of an unfinished stage.
        whole: files that are not to be written again, with what would show it: the last word of a
            finished stage, the answers of a policy.
        units: how many of the `UNITS` are kept.
    """

    checkpoints: dict[str, int]
    whole: dict[Path, tuple[int, int]]
    units: int


def kept(folder: Path) -> Kept:
    """Look at a run after a kill.

    Raises:
        StoryFailedError: a step is lost that a checkpoint should hold, or a checkpoint holds a step
            whose metrics are lost.
    """
    checkpoints: dict[str, int] = {}
    whole = list(folder.glob("run/**/answers-*.json"))
    units = len(whole)
    for directory in stages(folder):
        run = Run(directory)
        logged = sum(path.read_bytes().count(b"\n") for path in directory.glob("metrics.jsonl"))
        if run.info["status"] == "done":
            whole.append(directory / "run.json")
            units += logged + 1
            continue
        steps = [int(path.name[5:]) for path in directory.glob("checkpoints/step-*")]
        newest, every = max(steps, default=0), run.info["config"].get("save_every", 1)
        if not (logged - 1) // every * every <= newest <= logged:
            raise StoryFailedError(
                f"{directory} has logged {logged} steps, saves every {every} and holds {steps}"
            )
        units += newest
        if newest:
            checkpoints[str(directory.relative_to(folder))] = newest
    stamps = {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in whole}
    return Kept(checkpoints, stamps, units)


def check_kept(before: Kept, folder: Path, *, to_its_end: bool) -> None:
    """Hold what an attempt said and wrote against what the one before it had left.

    Raises:
        StoryFailedError: it did not go on from the newest checkpoint, or did something again.
    """
    resumed = dict(re.findall(r"resuming (\S+) after step (\d+)", said(folder)))
    for directory, step in before.checkpoints.items():
        expected = {str(step)} if to_its_end else {str(step), None}
        if resumed.get(directory) not in expected:
            raise StoryFailedError(
                f"{directory} was saved at step {step}, but went on after {resumed.get(directory)}"
            )
    for path, stamp in before.whole.items():
        if (path.stat().st_ino, path.stat().st_mtime_ns) != stamp:
            raise StoryFailedError(f"{path} was written again")


def compare(folder: Path, reference: Path) -> None:
    """Everything that two runs leave behind is equal, byte for byte.

    Raises:
        StoryFailedError: something is not.
    """
    ours, theirs = ([d.relative_to(f) for d in stages(f)] for f in (folder, reference))
    if ours != theirs:
        raise StoryFailedError(f"there are {ours}, where the undisturbed run has {theirs}")
    different = [f"{d}/{name}" for d in ours for name in differing(folder / d, reference / d)]
    different += [str(d) for d in ours if Run(folder / d).info["status"] != "done"]
    if different:
        raise StoryFailedError(f"unlike the undisturbed run: {', '.join(different)}")


def stages(folder: Path) -> list[Path]:
    """The run directories of a command: its own, or those of a pipeline's stages."""
    return sorted(path.parent for path in folder.glob("run/**/run.json"))


def said(folder: Path) -> str:
    """What the processes of the last attempt said."""
    return "".join(path.read_text() for path in sorted(folder.glob("log-*.txt")))


# -------------------------------------------------------------------------------- stories


def draw(dice: random.Random, reference: Reference, before: Kept) -> Kill:
    """A kill that falls into what is left of a run, if it goes as the undisturbed one did."""
    rank = dice.randrange(len(reference.traces))
    grace = dice.choice([0.0, GRACE_SECONDS]) if len(reference.traces) > 1 else 0.0
    trace, instant = reference.traces[rank], reference.instant(before.units)
    left = [event for event in trace.events if event.begin >= instant]
    numbers = Counter(event.place for event in left)
    if before.checkpoints:
        numbers |= Counter({event.place for event in trace.events if event.category == "resume"})
    places: defaultdict[str, set[str]] = defaultdict(set)
    for event in trace.events:
        if event.place in numbers:
            places[event.category].add(event.place)
    if not places or dice.random() < ANY_TIME_SHARE:
        delay = dice.uniform(0, reference.traces[0].ends[-1] - instant)
        return Kill(ANY_TIME, ANY_TIME, 1, "during", delay, rank, grace)
    category = dice.choice(sorted(places))
    place = dice.choice(sorted(places[category]))
    typical = statistics.mean(event.seconds for event in trace.events if event.place == place)
    return Kill(
        category,
        place,
        dice.randint(1, numbers[place]),
        dice.choice(["before", "during", "after"]),
        dice.uniform(0, typical),
        rank,
        grace,
    )


@dataclass
class Story:
    """What happened.

    Attributes:
        seed: of the story.
        kind: of the run.
        processes: how many it had.
        kills: each with whether it landed; one does not if the run has ended before.
        leaving: the seconds in which the other processes left by themselves after each death.
        stayed: how often they did not, and had to be killed.
        seconds: of all attempts.
        failure: what was wrong, if anything was.
    """

    seed: int
    kind: str
    processes: int
    kills: list[tuple[Kill, bool]] = field(default_factory=list)
    leaving: list[float] = field(default_factory=list)
    stayed: int = 0
    seconds: float = 0.0
    failure: str = ""


def tell(story: Story, command: Sequence[str], reference: Reference, folder: Path) -> None:
    """Kill a run one to three times, run it to its end, and check it.

    Raises:
        StoryFailedError: it is not as if nothing had happened.
    """
    dice = random.Random(story.seed)
    folder.mkdir()
    before = Kept({}, {}, 0)
    kills = dice.randint(1, 3)
    ended = False
    while not ended:
        has_more = len(story.kills) < kills and before.units < len(reference.traces[0].ends)
        kill = draw(dice, reference, before) if has_more else None
        outcome = run_forked(command, folder, story.processes, kill)
        killed = bool(kill) and outcome.codes[kill.rank] == -signal.SIGKILL
        ended = not killed
        if outcome.seconds > LIMIT_SECONDS or (ended and any(outcome.codes)):
            raise StoryFailedError(
                f"exits with {outcome.codes} after {outcome.seconds:.0f} s:\n{said(folder)}"
            )
        check_kept(before, folder, to_its_end=ended)
        if kill:
            story.kills.append((kill, killed))
        if kill and killed:
            before = kept(folder)
            if kill.grace:
                stayed = outcome.codes.count(-signal.SIGKILL) > 1
                story.stayed += stayed
                story.leaving += [] if stayed else [outcome.leaving]
    compare(folder, reference.folder)


class Harness:
    """Tells stories and keeps the undisturbed runs they are compared with.

    Args:
        folder: for all runs; those of stories that end well are removed.
        processes: the numbers of processes that stories take in turn.
    """

    def __init__(self, folder: Path, processes: Sequence[int]) -> None:
        self.folder, self.processes = folder, processes
        (folder / "inputs").mkdir(parents=True)
        self.commands = write_commands(folder / "inputs")
        self.references: dict[tuple[str, int], Reference] = {}

    def reference(self, kind: str, processes: int) -> Reference:
        """The undisturbed run, made when first asked for."""
        if (kind, processes) not in self.references:
            folder = self.folder / f"{kind}-{processes}"
            made = undisturbed(kind, self.commands[kind], folder, processes)
            print(f"{kind}, {_counted(processes)}, undisturbed: {made.seconds:.1f} s", flush=True)
            self.references[kind, processes] = made
        return self.references[kind, processes]

    def tell(self, seed: int) -> Story:
        """The story of this seed."""
        round_, kind = divmod(seed, len(KINDS))
        story = Story(seed, list(KINDS)[kind], self.processes[round_ % len(self.processes)])
        folder = self.folder / f"story-{seed}"
        begun = time.monotonic()
        reference = self.reference(story.kind, story.processes)
        try:
            tell(story, self.commands[story.kind], reference, folder)
            shutil.rmtree(folder)
        except Exception as error:  # a file that cannot be read is a failure, too
            story.failure = f"{type(error).__name__}: {error}"
        story.seconds = time.monotonic() - begun
        return story

    def unreached(self) -> list[str]:
        """Places that no undisturbed run passes, once there is one of each kind."""
        if {kind for kind, _ in self.references} != KINDS.keys():
            return []
        traces = [trace for made in self.references.values() for trace in made.traces]
        seen = {event.place.split(" / ")[-1] for trace in traces for event in trace.events}
        return [target for target in TARGETS if title(target) not in seen]


def summary(stories: Sequence[Story], options: argparse.Namespace, unreached: list[str]) -> dict:
    """The result file."""
    landed = [(kill, story) for story in stories for kill, killed in story.kills if killed]
    leaving = [seconds for story in stories for seconds in story.leaving]
    places = sorted({kill.place for kill, _ in landed})
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "device": "cpu",
        "processor": this_processor().name,
        "threads": 1,
        "versions": {package: version(package) for package in ("torch", "transformers")},
        "cores": os.cpu_count(),
        "command": f"--stories {len(stories)} --seed {stories[0].seed} {_processes_flag(options)}",
        "stories": len(stories),
        "stories_by_kind": Counter(
            f"{story.kind}, {_counted(story.processes)}" for story in stories
        ),
        "kills_landed": len(landed),
        "kills_missed": sum(len(story.kills) for story in stories) - len(landed),
        "landed_by_category": Counter(kill.category for kill, _ in landed),
        "landed_by_processes": Counter(_counted(story.processes) for _, story in landed),
        "landed_by_place": {
            place: Counter(kill.moment for kill, _ in landed if kill.place == place)
            for place in places
        },
        "places_never_reached": unreached,
        "others_left_by_themselves": len(leaving),
        "others_left_within_seconds": round(max(leaving, default=0.0), 1),
        "others_stayed": sum(story.stayed for story in stories),
        "seconds": round(sum(story.seconds for story in stories), 1),
        "failures": {story.seed: story.failure for story in stories if story.failure},
    }


def show(story: Story, options: argparse.Namespace) -> None:
    """Print a story, and how to tell it again if it failed."""
    print(f"seed {story.seed}: {story.kind}, {_counted(story.processes)}, {story.seconds:.1f} s")
    for kill, killed in story.kills:
        print(f"  {'killed' if killed else 'had ended before the kill of'} {kill}")
    if story.failure:
        print(f"  FAILED: {story.failure}")
        again = f"--only {story.seed} {_processes_flag(options)}"
        print(f"  again: python -m tests.crash.stories {again}")
    sys.stdout.flush()


def _counted(processes: int) -> str:
    return f"{processes} process{'es' if processes > 1 else ''}"


def _processes_flag(options: argparse.Namespace) -> str:
    return f"--processes {' '.join(map(str, options.processes))}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Tell the stories; 1 if one fails, or a place is never reached."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--stories", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0, help="of the first story; then one more")
    parser.add_argument("--only", type=int, help="the story of this seed and no other")
    parser.add_argument("--processes", type=int, nargs="+", default=PROCESSES, help="in turn")
    parser.add_argument("--json", type=Path, help="where the result goes")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    for target in (*TARGETS, *UNITS):
        locate(target)
    folder = Path(tempfile.mkdtemp(prefix="crash-"))
    stories, seeds = [], range(options.seed, options.seed + options.stories)
    with one_backend():  # forked processes take it over
        harness = Harness(folder, options.processes)
        for seed in seeds if options.only is None else [options.only]:
            stories.append(harness.tell(seed))
            show(stories[-1], options)
    unreached = harness.unreached()
    result = summary(stories, options, unreached)
    print(json.dumps({key: result[key] for key in result if key != "landed_by_place"}, indent=1))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    if result["failures"]:
        print(f"the runs are in {folder}")
    else:
        shutil.rmtree(folder)
    return int(bool(result["failures"] or unreached))


if __name__ == "__main__":
    sys.exit(main())
