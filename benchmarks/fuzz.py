"""Looks for tracebacks: spoils every file that we read, one at a time, and reads it.

Each input must be read, or refused by a `UserError` of one line that names the file and holds
nothing that a terminal obeys. Command lines are tried too: they must end with status 0 or 2 and one
line. Prints one JSON object; exits with 1 if anything else came.

    python benchmarks/fuzz.py --minutes 5 --seed 1
"""

import argparse
import io
import json
import resource
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import spoil
from instructgpt.cli import main as instructgpt
from instructgpt.data.formats import read_documents, read_records
from instructgpt.data.records import Candidates, Demonstration, Prompt, Ranking, Rating
from instructgpt.errors import UserError, harmless
from instructgpt.evaluation.config import CompareConfig
from instructgpt.evaluation.human import HumanEvaluator
from instructgpt.label.simulated.stage import require_rankable
from instructgpt.label.terminal import rank_in_terminal
from instructgpt.models.facts import look_at
from instructgpt.pipeline.evaluate import evaluate
from instructgpt.pipeline.log import StageLog
from instructgpt.pipeline.order import Stage
from instructgpt.pipeline.pipeline import run_pipeline
from instructgpt.report import write_report
from instructgpt.run.config import Config, Resolved, resolve
from instructgpt.run.directory import Run, RunDirectory
from instructgpt.run.progress import silenced
from instructgpt.run.tuning import choose, one_choice
from instructgpt.sft.config import SFTConfig
from instructgpt.training.checkpoint import (
    DamagedCheckpointError,
    latest_checkpoint,
    open_checkpoint,
)

SLOW_SECONDS = 20.0
"""A file of ours is small: whatever takes so long is a bomb that went off."""
MEMORY = 8 * 2**30


class Target(NamedTuple):
    """A file, how it is spoiled, what reads it, and what a refusal must name (the file)."""

    file: Path
    spoil: Callable[[bytes, Random], bytes]
    read: Callable[[], Any]
    named: str = ""


class Found(NamedTuple):
    """What may not come of an input."""

    target: str
    what: str
    where: str
    content: str


def prepare(folder: Path) -> dict[str, Target]:
    """A miniature run of every command, and what reads each of its files."""
    rows = [{"prompt": f"Say {word}.", "response": word} for word in ("yes", "no", "so", "go")]
    data = str(_write_lines(folder / "demonstrations.jsonl", rows))
    out = {name: str(folder / name) for name in ("init", "sft", "answers", "labels", "compare")}
    model, policy = f"{out['init']}/model", f"{out['sft']}/model"
    _run(f"init --preset gpt3-tiny --vocab_size 300 --out {out['init']}")
    training = f"--model {model} --data {data} --batch_size 2 --epochs 1 --threads 1"
    _run(f"sft {training} --keep_finished --save_every 1 --out {out['sft']}")
    answers = "--response_length 4"
    _run(f"sample --model {policy} --data {data} --k 3 {answers} --out {out['answers']}")
    _run(f"label simulate {out['answers']}/candidates.jsonl --out {out['labels']}")
    _run(
        f"eval compare {policy} {model} --data {data} --judge rule {answers} --out {out['compare']}"
    )
    return {**_data_targets(folder), **_state_targets(folder), **_config_targets(folder)}


def _data_targets(folder: Path) -> dict[str, Target]:
    answers, labels = folder / "answers/candidates.jsonl", folder / "labels/rankings.jsonl"
    rating = {"prompt": "a", "response": "b", "likert": 3, "labeler_id": "x", "model": "m"}
    pairs = [{"prompt": [{"role": "user", "content": "a"}], "chosen": "b", "rejected": "c"}] * 2
    chats = [{"messages": [{"role": r, "content": "a"} for r in ("user", "assistant")]}] * 2
    ratings = _write_lines(folder / "ratings.jsonl", [rating] * 2)
    trl = _write_lines(folder / "trl.jsonl", pairs)
    messages = _write_lines(folder / "messages.jsonl", chats)
    prose = _write_lines(folder / "prose.jsonl", [{"text": "some prose"}] * 3)
    text = folder / "prose.txt"
    text.write_text("One document.\n%%\nAnother.\n")
    kinds = [
        ("prompts", folder / "demonstrations.jsonl", Prompt),
        ("demonstrations", folder / "demonstrations.jsonl", Demonstration),
        ("messages", messages, Demonstration),
        ("candidates", answers, Candidates),
        ("rankings", labels, Ranking),
        ("preferences", trl, Ranking),
        ("ratings", ratings, Rating),
    ]
    found = {
        name: Target(file, spoil.spoiled_lines, partial(_read_records, file, kind))
        for name, file, kind in kinds
    }
    found["prose"] = Target(prose, spoil.spoiled_lines, partial(_read_prose, prose))
    found["text"] = Target(text, spoil.broken, partial(_read_prose, text))
    found["summary"] = Target(labels, spoil.spoiled_lines, lambda: HumanEvaluator(labels).summary())
    own = folder / "own.jsonl"
    own.write_bytes(labels.read_bytes())
    found["ranked"] = Target(own, spoil.spoiled_lines, partial(_rank_on, answers, own))
    return found


def _state_targets(folder: Path) -> dict[str, Target]:
    sft, compare, model = folder / "sft", folder / "compare", folder / "init/model"
    info = json.loads((sft / "run.json").read_text())
    config = SFTConfig(**info["config"])
    checkpoint = max((sft / "checkpoints").glob("step-*"))
    found = {
        f"run.json of {name}": Target(folder / name / "run.json", spoil.spoiled_json, read, name)
        for name, read in {
            "sft": partial(_reopen, sft, config),
            "labels": lambda: write_report(folder / "labels", folder / "report.html"),
            "compare": lambda: write_report(compare, folder / "report.html"),
        }.items()
    }
    for name in ("metrics.jsonl", "samples.jsonl", "timings.jsonl"):
        if (sft / name).is_file() and (sft / name).stat().st_size:
            read = partial(_go_on, sft, config, int(checkpoint.name.removeprefix("step-")))
            found[name] = Target(sft / name, spoil.spoiled_lines, read)
            read = partial(write_report, sft, folder / "report.html")
            found[f"{name} in a report"] = Target(sft / name, spoil.spoiled_lines, read)
    found["evaluation.json"] = Target(
        compare / "evaluation.json",
        spoil.spoiled_json,
        lambda: (Run(compare).evaluation, write_report(compare, folder / "report.html")),
    )
    kept = compare / "answers-1.json"
    rerun = partial(_compare_again, compare)
    found["answers-1.json"] = Target(kept, spoil.spoiled_json, rerun)
    for name in ("manifest.json", "state.json"):
        read = partial(_read_checkpoint, checkpoint)
        found[name] = Target(checkpoint / name, spoil.spoiled_json, read, "step-")
    for file in sorted(model.glob("*.json")):
        read = partial(look_at, str(model), "policy", check_weights=False)
        found[f"model's {file.name}"] = Target(file, spoil.spoiled_json, read, "init/model")
    tuning = folder / "tuning.json"
    tuning.write_text('{"threads": 1, "cpu/matmul": ["highest", "why", "table"]}')
    found["tuning.json"] = Target(tuning, spoil.spoiled_json, partial(_tune, folder))
    return found


def _config_targets(folder: Path) -> dict[str, Target]:
    file, whole = folder / "config.yaml", folder / "whole.yaml"
    info = json.loads((folder / "sft/run.json").read_text())
    file.write_text(json.dumps(info["config"]))
    stage = {"model": "m", "data": "d", "seed": 3, "learning_rate": 1e-4}
    sections = dict.fromkeys(("sft", "reward", "ppo", "sample", "evaluate"), stage)
    whole.write_text(json.dumps({"common": {"threads": 1}, **sections}))
    log, read = folder / "pipeline.json", partial(write_report, folder, folder / "report.html")
    names = ("init", "sft", "labels", "compare")
    rows = [
        {"name": n, "dir": n, "kind": n, "round": 1, "seconds": 1.5, "status": "done"}
        for n in names
    ]
    log.write_text(json.dumps({"name": "all", "stages": rows}))
    return {
        "a stage's YAML": Target(file, spoil.spoiled_yaml, partial(_resolve, file, "sft")),
        "a pipeline's YAML": Target(whole, spoil.spoiled_yaml, partial(_plan, whole, folder)),
        "pipeline.json": Target(log, spoil.spoiled_json, partial(_log, folder)),
        "pipeline.json in a report": Target(log, spoil.spoiled_json, read),
    }


# ---------------------------------------------------------------- what reads them


def _read_records(file: Path, kind: type[Any]) -> None:
    read_records(file, kind, on_error="skip")
    records = read_records(file, kind).records
    if kind is Candidates:
        require_rankable(records)


def _read_prose(file: Path) -> None:
    read_documents(file, on_error="skip")
    read_documents(file)


def _rank_on(answers: Path, own: Path) -> None:
    queued = read_records(answers, Candidates).records

    def leave(_: str) -> str:
        raise EOFError

    rank_in_terminal(queued, own, labeler_id="me", seed=0, ask=leave, show=lambda _: None)


def _reopen(out: Path, config: Config) -> None:
    with RunDirectory(out, "sft", Resolved.of(config)) as directory:
        choose(0, directory.info.get("tuning"), str(out))
    assert isinstance(Run(out).info, dict)
    write_report(out, out.parent / "report.html")


def _go_on(out: Path, config: Config, step: int) -> None:
    facts = open_checkpoint(out / f"checkpoints/step-{step}").run
    with RunDirectory(out, "sft", Resolved.of(config)) as directory:
        directory.refuse_foreign(out, step, facts)
        directory.cut_back(step, facts)
    assert isinstance(Run(out).metrics, list)


def _compare_again(out: Path) -> None:
    """As after a stop: the answers are there, the evaluation is not."""
    info = out / "run.json"
    before = info.read_bytes()
    content = json.loads(before)
    info.write_text(json.dumps(content | {"status": "interrupted"}))
    try:
        evaluate(CompareConfig(**content["config"]))
    finally:
        info.write_bytes(before)


def _log(folder: Path) -> None:
    stages = [Stage("sft", "sft"), Stage("ppo", "ppo")]
    StageLog(folder, stages, {stage.name: folder / stage.name for stage in stages})


def _read_checkpoint(path: Path) -> None:
    latest_checkpoint(path.parent, notice=lambda _: None)
    open_checkpoint(path)


def _tune(folder: Path) -> None:
    with one_choice(folder):
        choose(0, None, "")


def _resolve(file: Path, stage: str) -> None:
    resolve(SFTConfig, files=[file], stage=stage).to_yaml()


def _plan(file: Path, folder: Path) -> None:
    run_pipeline(folder / "pipeline", files=[file], show="config")


# ---------------------------------------------------------------- trying


def try_file(name: str, target: Target, random: Random) -> Found | str:
    """Spoil a file, read it, and put it back; what was found, or how it went."""
    before = target.file.read_bytes()
    content = target.spoil(before, random)
    target.file.write_bytes(content)
    began = time.monotonic()
    try:
        with silenced(), redirect_stdout(io.StringIO()):
            target.read()
        outcome: Found | str = "read"
    except (UserError, DamagedCheckpointError) as error:
        complaint = _complaint(str(error), target.named or target.file.name)
        outcome = (
            Found(name, complaint, str(error)[:300], _shown(content)) if complaint else "refused"
        )
    except BaseException as error:  # a panic of tokenizers' Rust is no Exception
        if isinstance(error, KeyboardInterrupt):
            raise
        outcome = Found(name, repr(error)[:300], _frame(error), _shown(content))
    finally:
        target.file.write_bytes(before)
    if time.monotonic() - began > SLOW_SECONDS:
        return Found(name, f"took {time.monotonic() - began:.0f} s", "", _shown(content))
    return outcome


def try_words(words: Sequence[str]) -> Found | str:
    """Run a command line; what was found, or how it went."""
    out, err = io.StringIO(), io.StringIO()
    try:
        with redirect_stdout(out), redirect_stderr(err), silenced():
            instructgpt(list(words))
    except SystemExit as ended:
        if not ended.code:
            return "read"
        lines = err.getvalue().splitlines()
        said = lines[-1].removeprefix("instructgpt: ") if lines else ""
        if ended.code == 2 and said and harmless(said) == said:
            return "refused"
        return Found("words", f"status {ended.code}", said[:300], repr(list(words)))
    except BaseException as error:
        return Found("words", repr(error)[:300], _frame(error), repr(list(words)))
    return Found("words", "came back", "", repr(list(words)))


def draw_words(random: Random, folder: Path) -> list[str]:
    """A command with flags and values that somebody might give it; it writes nothing."""
    places = [f"{folder}/sft/model", f"{folder}/init/model", f"{folder}/demonstrations.jsonl"]
    places += [str(folder), f"{folder}/sft", f"{folder}/prose.txt", "/dev/null", "nowhere"]

    def value() -> str:
        drawn = random.choice(places) if random.random() < 0.5 else spoil.junk(random)
        return str(drawn).replace("\0", "")[:400]

    command = random.choice(sorted(FLAGS))
    words = [*command.split(), *(["--dry-run"] if command in WRITES else [])]
    for flag in random.sample(FLAGS[command], k=random.randint(0, len(FLAGS[command]))):
        words += random.choice(
            [[flag, value()], [f"{flag}={value()}"], [flag], [flag[:-1], value()]]
        )
    words += [value() for _ in range(random.choice([0, 0, 1, 2]))]
    return words


STAGE = ["--model", "--data", "--out", "--seed", "--device", "--learning_rate", "--epochs"]
STAGE += ["--batch_size", "--template", "--preset", "--on_error", "--dtype", "--threads"]
FLAGS = {
    "sft": [*STAGE, "--eval_data", "--pretrain_data", "--dropout"],
    "reward": [*STAGE, "--eval_fraction", "--demonstrations"],
    "ppo": [*STAGE, "--reward_model", "--kl_coef", "--ptx_coef", "--response_length"],
    "sample": ["--model", "--data", "--out", "--k", "--temperature", "--response_length"],
    "label simulate": ["--data", "--out", "--labelers", "--per_prompt", "--noise", "--group"],
    "eval compare": ["--a", "--b", "--data", "--judge", "--out", "--samples", "--split"],
    "pipeline": ["--out", "--preset", "--rounds", "--arms", "--sft.epochs", "--common.seed"],
    "generate": ["--model", "--prompt", "--data", "--temperature", "--top_p", "--seed", "--json"],
    "score": ["--model", "--prompt", "--response", "--data", "--template", "--on_error"],
    "report": ["--out"],
    "data import": ["--kind", "--format", "--on_error"],
}
WRITES = {"sft", "reward", "ppo", "sample", "label simulate", "eval compare", "pipeline"}
"""Commands that can look on instead."""


def _complaint(said: str, name: str) -> str:
    """What is wrong with a refusal, or nothing."""
    if "\n" in said or harmless(said) != said:
        return "more than a plain line"
    if len(said) > LONGEST:
        return f"a sentence of {len(said)} characters"
    # What no file says is nowhere.
    return "" if name in said or " needs '" in said else f"does not name {name}"


LONGEST = 1500


def _frame(error: BaseException) -> str:
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "instructgpt" in f.filename]
    last = (frames or traceback.extract_tb(error.__traceback__))[-1]
    return f"{Path(last.filename).name}:{last.lineno} {last.name}"


def _shown(content: bytes) -> str:
    return repr(content[:400])


def _write_lines(file: Path, rows: Sequence[Any]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def _run(words: str) -> None:
    out = io.StringIO()
    try:
        with redirect_stdout(out), redirect_stderr(out), silenced():
            instructgpt(words.split())
    except SystemExit as ended:
        if ended.code:
            raise RuntimeError(f"{words}: {out.getvalue()}") from None


def main() -> None:
    """Parse the flags, try as long as they say, print, and exit with 1 if anything was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="a target's name")
    arguments = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    random, counts, found = Random(arguments.seed), Counter[str](), dict[tuple[str, ...], Found]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        targets = prepare(folder)
        names = [n for n in (*targets, "words", "words", "words") if arguments.only in n]
        end = time.monotonic() + 60 * arguments.minutes
        while time.monotonic() < end:
            target = random.choice(names)
            if target == "words":
                outcome = try_words(draw_words(random, folder))
            else:
                outcome = try_file(target, targets[target], random)
            kind = outcome if isinstance(outcome, str) else "found"
            counts[kind] += 1
            if isinstance(outcome, Found):
                found.setdefault((outcome.target, outcome.where or outcome.what), outcome)
    inputs = {"inputs": counts.total(), **counts, "seed": arguments.seed}
    print(json.dumps({**inputs, "findings": [f._asdict() for f in found.values()]}, indent=1))
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
