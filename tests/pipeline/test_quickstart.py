"""`quickstart`: what it adds to the pipeline; the runs themselves are miniature."""

import gc
import json
import re
import runpy
from pathlib import Path

import pytest
from transformers import PreTrainedModel

from instructgpt.data.records import Demonstration
from instructgpt.data.snapshots import readers_of
from instructgpt.errors import UserError
from instructgpt.intake import looking, running
from instructgpt.intake.rules import Rules
from instructgpt.intake.shares import SPLITS, USES
from instructgpt.pipeline import quickstart as module
from instructgpt.pipeline.order import Stage
from instructgpt.pipeline.quickstart import SHARES, quickstart
from instructgpt.pipeline.summary import summary
from instructgpt.run.directory import Run
from instructgpt.run.presets import read_preset
from tests.files import sentence, write_policy, write_rows
from tests.intake.conftest import AtSigns, Words, opened
from tests.small_runs import one_backend
from tests.tiny import byte_tokenizer, tiny_model

ROOT = Path(__file__).parents[2]
SEA = "The sea is wide and calm. People like it."
TINY = {  # the tiny preset, a hundred times smaller
    "common.threads": 1,
    "init.vocab_size": 300,
    "pretrain.max_steps": 2,
    "sft.max_steps": 2,
    "sample.k": 3,
    "sample.max_new_tokens": 6,
    "reward.max_steps": 2,
    "ppo.total_episodes": 8,
    "ppo.batch_size": 4,
    "ppo.num_mini_batches": 1,
    "ppo.response_length": 4,
    "ppo.eval_prompts": 2,
    "evaluate.max_new_tokens": 4,
    "evaluate.samples": 1,
}


@pytest.fixture(scope="module", autouse=True)
def same_backend():
    with one_backend():
        yield


@pytest.fixture(scope="module")
def prompts(tmp_path_factory):
    things = ("the sea", "tea", "rain", "books", "dogs", "bread", "snow", "cats", "trees", "bees")
    rows = [{"id": f"q{i}", "prompt": f"Why do people like {t}?"} for i, t in enumerate(things)]
    return write_rows(tmp_path_factory.mktemp("own") / "prompts.jsonl", rows)


@pytest.fixture(scope="module")
def demonstrations(tmp_path_factory):
    rows = [{"prompt": "Why do people like the sea?", "response": SEA}] * 3
    return write_rows(tmp_path_factory.mktemp("own") / "demonstrations.jsonl", rows)


@pytest.fixture(scope="module")
def own(prompts, demonstrations):
    return {"prompts": prompts, "demonstrations": demonstrations}


@pytest.fixture(scope="module")
def two_rounds(own, tmp_path_factory):
    out = tmp_path_factory.mktemp("quickstart") / "run"
    report = quickstart(out, tiny=True, **own, rounds=2, arms="all", flags=TINY)
    return out, report


def test_two_rounds_and_two_arms(two_rounds):
    out, report = two_rounds
    assert report == out / "report.html"
    names = [path.name for path in sorted(out.glob("[0-9]*"))]
    assert names == [
        "01-init", "02-pretrain", "03-sft", "04-sample", "05-rank", "06-reward", "07-ppo",
        "08-sample-2", "09-rank-2", "10-reward-2", "11-ppo-plain", "12-ppo-2", "13-evaluate",
    ]  # fmt: skip
    second = Run(out / "10-reward-2").info["config"]
    assert second["data"] == [
        str(out / f"{run}/rankings.jsonl") for run in ("05-rank", "09-rank-2")
    ]
    assert second["model"] == str(out / "03-sft" / "model")
    assert Run(out / "08-sample-2").info["config"]["model"] == str(out / "07-ppo" / "model")
    assert Run(out / "11-ppo-plain").info["config"]["ptx_coef"] == 0
    assert Run(out / "12-ppo-2").info["config"]["ptx_coef"] > 0
    assert {row["stage"] for row in Run(out / "12-ppo-2").metrics} == {"ppo-2"}
    evaluation = Run(out / "13-evaluate").evaluation
    assert (evaluation["a"], evaluation["b"]) == ("ppo-2", "sft")
    assert list(evaluation["others"]) == ["ppo", "ppo-plain"]
    assert "greedy decoding of sft" in evaluation["controls"]


def test_own_prompts_without_a_split_are_split_once(two_rounds):
    out, _ = two_rounds
    rows = [json.loads(line) for line in (out / "prompts.jsonl").read_text().splitlines()]
    split = [row["split"] for row in rows]
    assert 0 < split.count("heldout") < 5 < split.count("train")
    for folder, wanted in (("04-sample", "train"), ("08-sample-2", "train")):
        lines = (out / folder / "candidates.jsonl").read_text().splitlines()
        assert {json.loads(line)["split"] for line in lines} == {wanted}
    judged = {pair["prompt"] for pair in Run(out / "13-evaluate").evaluation["pairs"]}
    assert judged == {row["prompt"] for row in rows if row["split"] == "heldout"}


def test_the_same_command_finds_everything_done(two_rounds, own, capsys):
    out, _ = two_rounds
    capsys.readouterr()
    before = (out / "12-ppo-2" / "metrics.jsonl").read_bytes()
    quickstart(out, tiny=True, **own, rounds=2, arms="all", flags=TINY)
    said = capsys.readouterr().err
    assert said.count("already finished") == 13
    assert re.fullmatch(r"done in \d+ (s|min); open .*/report\.html", said.splitlines()[-1])
    assert (out / "12-ppo-2" / "metrics.jsonl").read_bytes() == before


def test_the_table_at_the_end(two_rounds):
    rows = dict(summary(two_rounds[0]))
    assert {"ppo: score; KL from SFT", "ppo-2: score; KL from SFT"} <= set(rows)
    rate = Run(two_rounds[0] / "13-evaluate").evaluation["win_rate"]["estimate"]
    assert rows["ppo-2 preferred to sft"].startswith(f"{rate:.3f} [")
    assert "greedy decoding of sft preferred to sft" in rows
    assert rows["peak memory"].endswith(" GB")
    assert rows["judged by"] == "written rule"
    width = max(map(len, rows))
    assert max(2 + width + 2 + len(value) for value in rows.values()) <= 80


def test_prompts_that_name_a_split_are_taken_as_they_are(tmp_path):
    path = Path(
        write_rows(tmp_path / "p.jsonl", [{"prompt": "a", "split": "train"}, {"prompt": "b"}])
    )
    own = module._own_prompts(str(path), tmp_path / "run", None)
    assert own == dict.fromkeys(("sample.data", "ppo.data", "evaluate.data"), str(path))
    assert not (tmp_path / "run").exists()


def test_too_few_prompts_to_hold_some_out(tmp_path):
    path = Path(write_rows(tmp_path / "p.jsonl", [{"prompt": "a"}]))
    with pytest.raises(UserError, match="too few to hold some out") as raised:
        module._own_prompts(str(path), tmp_path / "run", None)
    sentence(raised)


@pytest.fixture
def recorded(monkeypatch):
    """What the pipeline is told, instead of a run."""
    told = {}

    def run_pipeline(out, **settings):
        told.update(settings, out=out)
        write_rows(Path(out) / "pipeline.json", [{"stages": []}])
        return Path(out) / "report.html"

    monkeypatch.setattr(module, "run_pipeline", run_pipeline)
    monkeypatch.setattr(module, "check_needs", lambda *_, **__: None)
    monkeypatch.setattr(module, "_shipped_model", lambda _show: "the/shipped/model")
    return told


def test_the_default_is_the_shipped_model(recorded, tmp_path):
    quickstart(tmp_path, seed=7)
    assert recorded["presets"] == ["quickstart"]
    assert recorded["flags"] == {
        "common.seed": 7,
        "rank.seed": 7,
        "sft.model": "the/shipped/model",
        "evaluate.base": "the/shipped/model",
    }
    assert recorded["shares"] == SHARES
    assert (recorded["rounds"], recorded["plain_arm"]) == (1, False)


def test_everything_of_ones_own(recorded, prompts, demonstrations, tmp_path):
    own = {"demonstrations": demonstrations, "prose": "t.txt", "label_by": "me"}
    quickstart(tmp_path, model="my/model", prompts=prompts, **own, flags={"rank.prompts": 5})
    flags = recorded["flags"]
    assert flags["sft.model"] == flags["evaluate.base"] == "my/model"
    assert flags["sft.data"] == flags["reward.demonstrations"] == demonstrations
    assert flags["ppo.pretrain_data"] == "t.txt"
    for key in ("sample.data", "ppo.data", "evaluate.data"):
        assert flags[key] == str(tmp_path / "prompts.jsonl")
    assert (flags["rank.by"], flags["rank.prompts"]) == ("me", 5)
    assert (flags["reward.eval_split"], flags["reward.eval_fraction"]) == ("", 0.25)


def test_tiny_takes_no_model(recorded, tmp_path):
    with pytest.raises(UserError, match="leave out --tiny or --model") as raised:
        quickstart(tmp_path, tiny=True, model="m")
    sentence(raised)


@pytest.fixture
def snapshot(tmp_path, monkeypatch):
    """A snapshot of an intake: prompts of ten people and of labelers, demonstrations of a few."""
    monkeypatch.setattr(looking, "Language", Words)
    monkeypatch.setattr(looking, "PersonalData", AtSigns)
    things = ("the sea", "tea", "rain", "books", "dogs", "bread", "snow", "cats", "trees", "bees")
    asked = ("Why do people like {}?", "What is {}?", "Say it of {}.", "A poem about {}, please.")
    rows = [
        {"id": f"{thing}/{n}", "prompt": ask.format(thing), "user_id": thing, "consent": True}
        for thing in things
        for n, ask in enumerate(asked)
    ]
    file = write_rows(tmp_path / "rows.jsonl", rows)
    with opened(tmp_path / "store.db") as store:
        running.intake(store, [file], Rules(splits="60/20/20", uses="1/3/3"))
        store.add(
            Demonstration(prompt_id=row["id"], prompt=row["prompt"], response=SEA) for row in rows
        )
        store.snapshot("one", tmp_path / "one")
    return tmp_path / "one"


def test_a_snapshot_of_an_intake_is_split_as_it_says(snapshot, tmp_path):
    """Each prompt serves what intake decided; whose users are held out, they are everywhere."""
    out, own = tmp_path / "run", str(snapshot)
    quickstart(out, tiny=True, prompts=own, demonstrations=own, flags=TINY | {"sample.split": ""})
    prompts = [json.loads(line) for line in (snapshot / "prompts.jsonl").read_text().splitlines()]
    held = {row["prompt"] for row in prompts if row["split"] in ("valid", "test")}
    by_use = {use: {row["prompt"] for row in prompts if row.get("use") == use} for use in USES}
    assert all((held, *by_use.values(), {row["split"] for row in prompts} == set(SPLITS)))

    assert Run(out / "03-sft").info["config"]["eval_split"] == "heldout"
    lines = (out / "04-sample" / "candidates.jsonl").read_text().splitlines()
    assert {json.loads(line)["prompt"] for line in lines} == by_use["reward"]
    texts = (out / "07-ppo" / "samples.jsonl").read_text().splitlines()
    asked = {json.loads(line)["prompt"] for line in texts}
    assert asked <= by_use["ppo"] - held
    judged = {pair["prompt"] for pair in Run(out / "08-evaluate").evaluation["pairs"]}
    assert judged == held
    files = [snapshot / "prompts.jsonl", snapshot / "demonstrations.jsonl"]
    readers = {folder.name for folder, _ in readers_of(files, [out])}
    assert readers == {"03-sft", "04-sample", "06-reward", "07-ppo", "08-evaluate"}


def models_held_when_a_stage_begins(monkeypatch):
    """The classes of the networks, made from now on, that are still alive then; by stage."""
    before = {id(model) for model in living_models()}
    held, run = [], Stage.run

    def observed(stage, config):
        held.append([type(m).__name__ for m in living_models() if id(m) not in before])
        return run(stage, config)

    monkeypatch.setattr(Stage, "run", observed)
    return held


def living_models():
    return [found for found in gc.get_objects() if issubclass(type(found), PreTrainedModel)]


def test_the_preset_runs_on_another_model(tmp_path, own, monkeypatch, patched, capsys):
    """Every stage of the preset `quickstart`, on a random model that fits in a test."""
    patched(module, "check_needs", lambda *_, **__: None)
    model = write_policy(
        tmp_path / "base", model=tiny_model(layers=2, context=256), tokenizer=byte_tokenizer()
    )
    small = {key: value for key, value in TINY.items() if not key.startswith(("init", "pretrain"))}
    small |= {"ppo.ptx_length": 16, "common.template": "{prompt}\n"}
    out = tmp_path / "run"
    held = models_held_when_a_stage_begins(monkeypatch)
    quickstart(out, model=model, **own, flags=small)
    won = [line for line in capsys.readouterr().err.splitlines() if " preferred to " in line]
    assert len(won) == 2 * 3, "base, ppo and greedy, when they are known and in the table"
    assert max(map(len, won)) <= 80
    assert held == [[]] * 6, "a stage's networks are freed before the next one begins"
    assert set(read_preset("quickstart")) - {"common"} == set(SHARES)
    assert Run(out / "03-rank").evaluation["by"] == "simulated"
    evaluation = Run(out / "06-evaluate").evaluation
    assert evaluation["judge"] == "6 held-out simulated labelers"
    assert list(evaluation["others"]) == ["base"]
    assert {"base", "sft", "ppo"} == set(evaluation["prose_loss"])
    assert "human_claims" in evaluation["texts"]["ppo"]

    measured = runpy.run_path(str(ROOT / "benchmarks" / "quickstart.py"))["figures"](out)
    assert measured["win_rate"] == evaluation["win_rate"]
    assert measured["greedy"] == evaluation["controls"]["greedy decoding of sft"]
    assert set(measured["agreement"]) == {"training", "heldout"}
    assert set(measured["seconds"]) == set(SHARES)
    last = [row for row in Run(out / "05-ppo").metrics if "objective/kl" in row][-1]
    assert measured["kl"] == last["objective/kl"]
