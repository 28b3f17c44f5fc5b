"""After a power cut at any moment, of any stage: what a state file names is whole, and the same
command ends with the results of a run that nobody disturbed.
"""

import hashlib
import json
import random
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import yaml

from instructgpt.evaluation.config import CompareConfig
from instructgpt.label.simulated.config import LabelConfig
from instructgpt.label.simulated.stage import simulate_labels
from instructgpt.label.terminal import rank_in_terminal
from instructgpt.models.config import InitConfig
from instructgpt.models.init import init
from instructgpt.pipeline.config import RankConfig, SampleConfig
from instructgpt.pipeline.evaluate import evaluate
from instructgpt.pipeline.pipeline import run_pipeline
from instructgpt.pipeline.rank import rank_candidates
from instructgpt.pipeline.sample import sample
from tests.crash.power import Disk, Recorder, Tree, write_tree
from tests.files import write_rows
from tests.small_runs import MODELS, RESULTS, killed_after, one_backend, run_stage, write_inputs

pytestmark = [pytest.mark.slow, pytest.mark.long]

RECOVERED = {"ppo": 5, "pipeline": 3}
"""How many states of a stage the command is run again from (8 of the others); all are looked at."""
SFT = {"reward_model": "", "pretrain_data": (), "pretrain_fraction": 0}
"""With `select_by`, as all small runs of SFT."""
ANSWERS = ["bee", "dad", "gag"]


@pytest.fixture(scope="module", autouse=True)
def _same_choices():
    with one_backend(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("instructgpt.pipeline.sample.PROMPTS_AT_A_TIME", 2)
        person = partial(rank_in_terminal, ask=lambda _: "B > A = C", show=lambda _: None)
        patch.setattr("instructgpt.pipeline.rank.rank_in_terminal", person)
        yield


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    return write_inputs(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def commands(stages, tmp_path_factory) -> dict[str, Callable[[Path], object]]:
    """Each takes the directory to write to."""
    folder = tmp_path_factory.mktemp("inputs")
    model, prompts = stages["sft"]["model"], stages["ppo"]["data"]
    rows = [
        {"prompt": prompt, "responses": [{"text": text} for text in ANSWERS]}
        for prompt in ("cab", "a", "baggage")
    ]
    answers = write_rows(folder / "answers.jsonl", rows)
    (folder / "pipeline.yaml").write_text(yaml.safe_dump(_pipeline(stages)))

    def of(stage: str, **values) -> Callable[[Path], object]:
        return lambda out: run_stage(stage, stages[stage], out, **values)

    def by(config, run, **values) -> Callable[[Path], object]:
        return lambda out: run(config(out=str(out), **values))

    compared = {"a": model, "b": model, "judge": "rule", "data": prompts, "max_new_tokens": 2}
    return {
        "init": by(InitConfig, init, preset="gpt3-tiny", tokenizer=model),
        "sft": of("sft", save_every=2, keep_checkpoints=1, **SFT),
        "reward": of("reward", save_every=2, epochs=2),
        "ppo": of("ppo", save_every=3, total_episodes=8),
        "sample": by(SampleConfig, sample, model=model, data=prompts, k=2, max_new_tokens=3),
        "rank by hand": by(RankConfig, rank_candidates, data=answers, by="me"),
        "rank by rule": by(RankConfig, rank_candidates, data=answers, by="rule"),
        "label": by(LabelConfig, simulate_labels, data=answers),
        "evaluate": by(CompareConfig, evaluate, **compared),
        "pipeline": lambda out: run_pipeline(out, files=[folder / "pipeline.yaml"]),
    }


def _pipeline(stages: dict) -> dict:
    small = {"max_steps": 1, "batch_size": 2, "save_every": 1}
    return {
        "common": {"threads": 1, "seed": 1},
        "sft": {"model": stages["sft"]["model"], "data": stages["sft"]["data"], **small},
        "sample": {"data": stages["ppo"]["data"], "k": 2, "max_new_tokens": 2},
        "rank": {"by": "rule"},
        "reward": {"ties": "half", **small},
    }


@pytest.mark.parametrize(
    "name",
    [
        *("init", "sft", "reward", "ppo", "sample", "rank by hand", "rank by rule", "label"),
        *("evaluate", "pipeline"),
    ],
)
def test_a_power_cut_at_any_moment(name, commands, tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    record = recorded(commands[name], folder)
    dice = random.Random(name)
    count = min(RECOVERED.get(name, 8), len(record.states))
    for what, tree in dice.sample([*record.states.values()], count):
        recover(what, tree, commands[name], folder, results_of(record.last))


@pytest.mark.parametrize("resume", ["auto", "an earlier checkpoint"])
def test_a_power_cut_while_a_run_goes_on(resume, commands, stages, tmp_path):
    """What goes, because it is written again, must not go before; in any order on the disk."""
    folder = tmp_path / "disk"
    folder.mkdir()
    settings = {**SFT, "keep_checkpoints": 9}
    with killed_after(3 if resume == "auto" else 4):
        run_stage("sft", stages["sft"], folder / "run", **settings, save_every=2)
    named = "auto" if resume == "auto" else str(folder / "run" / "checkpoints" / "step-2")
    record = recorded(
        lambda out: run_stage("sft", stages["sft"], out, **settings, save_every=3, resume=named),
        folder,
    )
    results = results_of(record.last)
    later = partial(run_stage, "sft", stages["sft"], **settings, save_every=3)
    for what, tree in random.Random(resume).sample([*record.states.values()], 6):
        recover(what, tree, lambda out: later(out=out), folder, results)


def recorded(command, folder: Path) -> "Record":
    """Run a command, and look at every state in which a cut would leave the disk."""
    record = Record()
    with Recorder(folder, record.take).recording():
        command(folder / "run")
    results = results_of(record.last)
    assert results, "nothing to compare"
    bad = {}
    for what, tree in record.states.values():
        for complaint in complaints(tree, record, results):
            bad.setdefault(complaint, what)
    assert not bad, f"of {len(record.states)} states: {bad}"
    return record


def recover(what: str, tree: Tree, command, folder: Path, results: Tree) -> None:
    """From this state the command ends as if nothing had happened."""
    write_tree(tree, folder)
    command(folder / "run")
    assert results_of(read_tree(folder)) == results, what
    assert not [path for path in folder.rglob(".*") if path.name != ".lock"], what


class Record:
    """The states that a disk may be in after cuts, each once, with what had to happen for it.

    Attributes:
        states: by content.
        last: what programs saw at the end.
        whole: every path that a program ever saw, with its last content.
    """

    def __init__(self) -> None:
        self.states: dict[frozenset, tuple[str, Tree]] = {}
        self.last: Tree = {}
        self.whole: Tree = {}

    def take(self, disk: Disk) -> None:
        self.last = disk.seen()
        self.whole |= self.last
        for what, tree in disk.states():
            self.states.setdefault(frozenset(tree.items()), (what, tree))


def complaints(tree: Tree, record: Record, results: Tree):
    """What a state file says in this state, and is not so."""
    for path, content in tree.items():
        *folders, name = path.split("/")
        where = "/".join(folders)
        if any(folder.startswith(".") for folder in path.split("/")):
            continue
        if name.endswith(".json") and content is not None and not is_json(content):
            yield f"{path} is cut"
        elif name == "run.json" and json.loads(content)["status"] == "done":
            own = {p: c for p, c in results.items() if p.startswith(f"{where}/")}
            yield from (f"{path} says done, not so {p}" for p in own if tree.get(p) != own[p])
        elif name == "pipeline.json":
            for stage in json.loads(content)["stages"]:
                info = tree.get(f"{where}/{stage['dir']}/run.json") or b"{}"
                if stage["status"] == "done" and json.loads(info).get("status") != "done":
                    yield f"{path} says done of {stage['name']}, which is not"
        elif match := re.fullmatch(r"(.*)/checkpoints/step-(\d+)", path):
            if json.loads(tree.get(f"{match[1]}/run.json") or b"{}").get("status") == "done":
                continue  # nobody goes back to it
            yield from checkpoint_complaints(match[1], int(match[2]), tree, record)


def checkpoint_complaints(run: str, step: int, tree: Tree, record: Record):
    """A checkpoint is whole, and so are the best model and the lines that it counts on."""
    path = f"{run}/checkpoints/step-{step}"
    try:
        manifest = json.loads(tree[f"{path}/manifest.json"])
        for name, digest in manifest["files"].items():
            content = tree[f"{path}/{name}"]
            if hashlib.sha256(content).hexdigest() != digest["sha256"]:
                yield f"{path}/{name} is damaged"
        best = json.loads(tree[f"{path}/state.json"])["state"].get("best_checkpoint")
    except (KeyError, ValueError, TypeError) as error:
        yield f"{path} is not whole: {error!r}"
        return
    if best:
        folder = f"{run}/checkpoints/step-{best['step']}/"
        own = {p: c for p, c in record.whole.items() if p.startswith(folder)}
        yield from (f"{path} names {p}" for p in own if tree.get(p) != own[p])
    lines = (tree.get(f"{run}/metrics.jsonl") or b"").split(b"\n")[:-1]
    if not all(map(is_json, lines[:step])) or len(lines) < step:
        yield f"{path} has lost its metrics"


def is_json(content: bytes) -> bool:
    try:
        json.loads(content)
    except ValueError:
        return False
    return True


def results_of(tree: Tree) -> Tree:
    """What must not depend on what happened on the way."""
    names, models = "|".join(map(re.escape, RESULTS)), "|".join(MODELS)
    wanted = re.compile(rf"(?:[^/.]+/)+(?:{names}|(?:{models})/[^/]+)")
    return {path: content for path, content in tree.items() if wanted.fullmatch(path)}


def read_tree(folder: Path) -> Tree:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}
