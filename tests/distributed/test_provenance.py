"""Runs in miniature whose inputs, checkpoints or figures are exchanged while nobody looks."""

import hashlib
import json
import os
import shutil
import sys

import pytest

from instructgpt import reward as reward_stage
from instructgpt.errors import UserError
from instructgpt.evaluation.config import CompareConfig
from instructgpt.label.simulated.config import LabelConfig
from instructgpt.label.simulated.stage import simulate_labels
from instructgpt.models.config import InitConfig
from instructgpt.models.init import init
from instructgpt.pipeline.config import RankConfig, SampleConfig
from instructgpt.pipeline.evaluate import evaluate
from instructgpt.pipeline.rank import rank_candidates
from instructgpt.pipeline.sample import sample
from instructgpt.reward.model import RewardModel
from instructgpt.run.directory import Run
from tests.files import sentence, write_rows
from tests.ppo.letters import letter_policy
from tests.small_runs import (
    STAGES,
    differing,
    killed_after,
    one_backend,
    results,
    run_stage,
    write_inputs,
)


@pytest.fixture(scope="module", autouse=True)
def same_backend():
    with one_backend():
        yield


@pytest.fixture
def settings(tmp_path):
    """Inputs of this test alone, to be spoiled."""
    return write_inputs(tmp_path / "inputs")


def refused(*arguments, **values):
    with pytest.raises(UserError) as raised:
        run_stage(*arguments, **values)
    return sentence(raised)


def exchange(folder, network):
    """Another model of the same shapes at the same place."""
    shutil.rmtree(folder)
    network.save(folder)


# ---------------------------------------------------------------- every input, by a witness

OPENED: list[str] | None = None


def _note(event, arguments):
    if OPENED is not None and event == "open" and isinstance(arguments[0], str):
        OPENED.append(arguments[0])


sys.addaudithook(_note)


@pytest.fixture
def witness():
    """Calls a stage and says which files it opened, as the interpreter saw it."""

    def witness(call):
        global OPENED
        OPENED = []
        try:
            return call(), OPENED
        finally:
            OPENED = None

    return witness


def _candidates(folder):
    rows = [{"prompt": "cab", "responses": [{"text": "a bad cab."}, {"text": "dad"}]}]
    return write_rows(folder / "candidates.jsonl", rows)


def _other_stages(folder, settings):
    """The stages without a training run, by name: a function of the run directory."""
    model, judge = settings["ppo"]["model"], settings["ppo"]["reward_model"]
    prompts, prose = settings["ppo"]["data"], settings["ppo"]["pretrain_data"]
    queued = _candidates(folder)
    small = {"max_new_tokens": 3}
    return {
        "sample": lambda out: sample(SampleConfig(model=model, data=prompts, out=out, **small)),
        "evaluate": lambda out: evaluate(
            CompareConfig(
                a=model, b=model, base=model, data=prompts, judge=judge, prose=prose, out=out,
                **small,
            )
        ),
        "rank": lambda out: rank_candidates(RankConfig(data=queued, by="rule", out=out)),
        "label": lambda out: simulate_labels(LabelConfig(data=queued, out=out)),
        "init": lambda out: init(InitConfig(preset="gpt3-tiny", tokenizer=model, out=out)),
    }  # fmt: skip


@pytest.mark.parametrize("stage", [*STAGES, "sample", "evaluate", "rank", "label", "init"])
def test_run_json_lists_every_file_that_a_stage_opens(stage, settings, witness, tmp_path):
    out = tmp_path / "out"
    others = _other_stages(tmp_path, settings)
    if stage in STAGES:
        run, opened = witness(lambda: run_stage(stage, settings[stage], out))
    else:
        run, opened = witness(lambda: others[stage](str(out)))
    listed = set()
    for source in run.info["inputs"]:
        names = source.get("files")
        listed |= {f"{source['path']}/{name}" for name in names} if names else {source["path"]}
    here = {path for path in opened if path.startswith(str(tmp_path)) and str(out) not in path}
    # What a model's card says of its origin is copied into the next one's, and decides nothing.
    here = {path for path in here if os.path.isfile(path) and not path.endswith("/README.md")}
    assert here, "the witness slept"
    assert here <= listed
    weights = {f"{path}/model.safetensors" for path in (settings["ppo"]["model"],)}
    assert stage in {"rank", "label", "init"} or weights <= listed


def test_every_file_of_a_finished_run_is_an_output_or_known_to_be_none(settings, tmp_path):
    run = run_stage("ppo", settings["ppo"], tmp_path / "out")
    outputs = run.info["outputs"]
    others = {"run.json", "config.yaml", "timings.jsonl", "checkpoints"}
    names = {path.name for path in run.dir.iterdir() if not path.name.startswith(".")}
    assert names == {*outputs, *(others & names)}
    assert {"model", "model-ema", "critic", "metrics.jsonl", "samples.jsonl"} <= set(outputs)
    for name, entry in outputs.items():
        for file, digest in entry.get("files", {"": entry.get("digest")}).items():
            content = (run.dir / name / file if file else run.dir / name).read_bytes()
            assert hashlib.sha256(content).hexdigest() == digest
    written = {path.name for path in (run.dir / "model").iterdir()}
    assert written == {*outputs["model"]["files"], "README.md"}


# ---------------------------------------------------------------- inputs that were exchanged


@pytest.mark.parametrize(
    ("stage", "key"), [("ppo", "model"), ("ppo", "reward_model"), ("reward", "model")]
)
def test_another_model_put_there_while_the_run_was_stopped(stage, key, settings, tmp_path):
    with killed_after(3):
        run_stage(stage, settings[stage], tmp_path / "out", save_every=1)
    before = results(tmp_path / "out")
    place = settings[stage][key]
    other = letter_policy(width=16, context=48, seed=7)
    exchange(place, RewardModel(other) if key == "reward_model" else other)
    said = refused(stage, settings[stage], tmp_path / "out", save_every=1)
    assert said.startswith(f"{place} ({key}) has changed since {tmp_path / 'out'} was begun (")
    assert results(tmp_path / "out") == before


def test_a_moved_run_with_its_inputs_ends_as_one_that_stayed(settings, tmp_path):
    straight = run_stage("sft", settings["sft"], tmp_path / "straight")
    with killed_after(3):
        run_stage("sft", settings["sft"], tmp_path / "out", save_every=1)
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("inputs", "out"):
        (tmp_path / name).rename(moved / name)
    there = {
        key: value.replace(str(tmp_path), str(moved)) if isinstance(value, str) else value
        for key, value in settings["sft"].items()
    }
    assert differing(run_stage("sft", there, moved / "out").dir, straight.dir) == []


# ---------------------------------------------------------------- checkpoints


def test_the_checkpoint_of_another_run_with_the_right_shapes(settings, tmp_path):
    with killed_after(3):
        run_stage("sft", settings["sft"], tmp_path / "out", save_every=1)
    with killed_after(4):
        run_stage("sft", settings["sft"], tmp_path / "other", save_every=1, learning_rate=0.1)
    stranger = tmp_path / "other" / "checkpoints" / "step-4"
    said = refused("sft", settings["sft"], tmp_path / "out", resume=str(stranger))
    different = "learning_rate is 0.1 there and 0.2 here"
    assert f"{stranger} is a checkpoint of another run: {different}; give one of this run" in said
    planted = tmp_path / "out" / "checkpoints" / "step-4"
    shutil.copytree(stranger, planted)
    assert f"{planted} is a checkpoint of another run" in refused(
        "sft", settings["sft"], tmp_path / "out"
    )
    own = {path.name for path in (tmp_path / "out" / "checkpoints").iterdir()}
    assert own == {"step-2", "step-3", "step-4"}


def test_the_checkpoint_of_a_run_from_another_model(settings, tmp_path):
    with killed_after(2):
        run_stage("sft", settings["sft"], tmp_path / "out", save_every=1)
    other = str(letter_policy(width=16, context=48, seed=7).save(tmp_path / "other_model"))
    theirs = settings["sft"] | {"model": other}
    with killed_after(2):
        run_stage("sft", theirs, tmp_path / "other", save_every=1)
    stranger = str(tmp_path / "other" / "checkpoints" / "step-2")
    said = refused("sft", settings["sft"], tmp_path / "out", resume=stranger)
    assert "of another run: model is another file or model there" in said


def test_a_checkpoint_of_this_run_is_taken_from_anywhere(settings, tmp_path):
    straight = run_stage("sft", settings["sft"], tmp_path / "straight")
    with killed_after(4):
        run_stage("sft", settings["sft"], tmp_path / "out", save_every=1, keep_checkpoints=9)
    (tmp_path / "out" / "checkpoints" / "step-2").rename(tmp_path / "kept")
    run = run_stage("sft", settings["sft"], tmp_path / "out", resume=str(tmp_path / "kept"))
    assert differing(run.dir, straight.dir) == []


@pytest.mark.parametrize(
    ("name", "damage", "what"),
    [
        ("metrics.jsonl", None, "is missing"),
        ("metrics.jsonl", lambda lines: lines[1:], "has no line of step 1"),
        ("metrics.jsonl", lambda lines: [*lines[:2], *lines[3:]], "has no line of step 3"),
        ("samples.jsonl", None, "is missing"),
        ("samples.jsonl", lambda lines: lines[1:], "has other lines up to step 4"),
        (
            "metrics.jsonl",
            lambda lines: [lines[0].replace(b'"step": 1, ', b'"step": 1, "x": 0, '), *lines[1:]],
            "has other lines up to step 4",
        ),
    ],
)
def test_lines_that_are_lost_behind_a_checkpoint(name, damage, what, settings, tmp_path):
    out = tmp_path / "out"
    with killed_after(5):
        run_stage("sft", settings["sft"], out, save_every=2)
    whole = (out / name).read_bytes()
    (out / name).unlink()
    if damage:
        (out / name).write_bytes(b"".join(damage(whole.splitlines(keepends=True))))
    said = refused("sft", settings["sft"], out)
    assert f"{out / name} {what}, but the checkpoint of step 4 has them behind it; restore" in said
    assert (out / "checkpoints" / "step-4").is_dir()
    (out / name).write_bytes(whole)
    assert run_stage("sft", settings["sft"], out).info["status"] == "done"


# ---------------------------------------------------------------- what may be mended


def test_demonstrations_of_the_reward_model_may_be_mended_after_the_training(
    settings, tmp_path, monkeypatch
):
    """Hours of training must not be lost to the file that is read for the shift at the end."""
    spoiled = settings["reward"] | {"demonstrations": settings["sft"]["eval_data"]}

    def fail(*_):
        raise UserError("the demonstrations are bad; mend them")

    with monkeypatch.context() as patch:
        patch.setattr(reward_stage.stage, "_set_shift", fail)
        with pytest.raises(UserError, match="bad"):
            run_stage("reward", spoiled, tmp_path / "out", save_every=1)
    run = run_stage("reward", settings["reward"], tmp_path / "out", save_every=1)
    straight = run_stage("reward", settings["reward"], tmp_path / "straight")
    assert differing(run.dir, straight.dir) == []
    assert run.info["inputs"][-1]["path"] == settings["reward"]["demonstrations"]
    said = refused("reward", spoiled, tmp_path / "out")
    assert "holds a run with other settings: demonstrations" in said


def test_a_validation_that_has_not_happened_may_be_another(settings, tmp_path):
    values = {"eval_every": 4, "save_every": 1}
    with killed_after(3):
        run_stage("sft", settings["sft"], tmp_path / "out", **values)
    mended = settings["sft"] | {"eval_data": settings["sft"]["data"], "reward_prompts": 2}
    run = run_stage("sft", mended, tmp_path / "out", **values)
    straight = run_stage("sft", mended, tmp_path / "straight", **values)
    assert differing(run.dir, straight.dir) == []


def test_a_stage_that_died_of_memory_goes_on_with_smaller_budgets(settings, tmp_path, capsys):
    with killed_after(3):
        run_stage("reward", settings["reward"], tmp_path / "out", save_every=1)
    run = run_stage("reward", settings["reward"], tmp_path / "out", micro_batch_tokens=16)
    assert "micro_batch_tokens 32 -> 16 (from Python)" in capsys.readouterr().err.replace("\n", " ")
    straight = run_stage("reward", settings["reward"], tmp_path / "straight")
    losses = [[row["reward/loss"] for row in r.metrics] for r in (run, straight)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert json.loads((run.dir / "run.json").read_text())["config"]["micro_batch_tokens"] == 16
    assert isinstance(run, Run)
