"""A start compares what the run was made from, and what it wrote, with what is there now."""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field

from instructgpt.errors import UserError
from instructgpt.pipeline.config import RankConfig
from instructgpt.run import vanished
from instructgpt.run.config import Config, Resolved, resolve
from instructgpt.run.directory import Run, RunDirectory
from instructgpt.run.inputs import Demonstrations, Mendable, Policy, Prompts
from tests.files import sentence


class Small(Config):
    out: str = Field(description="where")
    seed: int = 0
    model: Policy = ""
    data: Prompts = ()
    at_the_end: Annotated[Demonstrations, Mendable("end")] = ()
    held_out: Annotated[Prompts, Mendable("validation")] = ()
    eval_every: Annotated[int, Mendable("validation")] = 1
    kl_coef: float = 0.02
    on_error: Literal["stop", "skip"] = "stop"
    micro_batch_tokens: int = 0
    threads: int = 0


@pytest.fixture
def model(tmp_path):
    """A model's folder, as far as digests look."""
    folder = tmp_path / "model"
    folder.mkdir()
    for name, content in (("config.json", "{}"), ("model.safetensors", "w"), ("README.md", "r")):
        (folder / name).write_text(content)
    return folder


@pytest.fixture
def data(tmp_path):
    (tmp_path / "data.jsonl").write_text('{"prompt": "a"}\n')
    return tmp_path / "data.jsonl"


@pytest.fixture
def opened(tmp_path, model, data):
    """Opens the run directory as a stage would."""

    def opened(**values):
        config = Small.model_validate(
            {"out": str(tmp_path / "run"), "model": str(model), "data": str(data)} | values
        )
        return RunDirectory(config.out, "sft", Resolved.of(config))

    return opened


@pytest.fixture
def left(opened):
    """A run that has logged its first step, and was left."""

    def left(metrics=None, **values):
        with opened(**values) as directory:
            directory.start()
            directory.append("metrics.jsonl", {"step": 1, **(metrics or {})})

    return left


@pytest.fixture
def finished(opened):
    """A run that is done, with a model and figures."""

    def finished(**values):
        with opened(**values) as directory:
            directory.start()
            directory.append("metrics.jsonl", {"step": 1})
            (directory.path / "model").mkdir()
            (directory.path / "model" / "config.json").write_text("{}")
            (directory.path / "model" / "model.safetensors").write_bytes(b"trained")
            (directory.path / "evaluation.json").write_text("{}\n")
            (directory.path / "report.html").write_text("a page")
            directory.finish()

    return finished


def refused(open_it, **values):
    with pytest.raises(UserError) as raised:
        open_it(**values)
    return sentence(raised)


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_run_json_names_every_input_and_output_with_its_digest(finished, tmp_path, model, data):
    finished(at_the_end=str(data))
    info = Run(tmp_path / "run").info
    files = {"config.json": sha(b"{}"), "model.safetensors": sha(b"w")}
    folder = "".join(f"{digest}  {name}\n" for name, digest in files.items())
    prompt = sha(b'{"prompt": "a"}\n')
    assert info["inputs"] == [
        {
            "key": "model",
            "kind": "policy",
            "path": str(model),
            "digest": sha(folder.encode()),
            "files": files,
        },
        {"key": "data", "kind": "prompts", "path": str(data), "digest": prompt},
        {"key": "at_the_end", "kind": "demonstrations", "path": str(data), "digest": prompt},
    ]
    assert set(info["outputs"]) == {"model", "evaluation.json", "metrics.jsonl"}
    assert info["outputs"]["evaluation.json"] == {"digest": sha(b"{}\n")}
    assert info["outputs"]["metrics.jsonl"] == {"digest": sha(b'{"step": 1}\n')}
    assert info["outputs"]["model"]["files"]["model.safetensors"] == sha(b"trained")


@pytest.mark.parametrize("made", ["left", "finished"])
def test_other_weights_at_the_same_place_are_refused(made, request, opened, model, tmp_path):
    request.getfixturevalue(made)()
    word = {"left": "begun", "finished": "made"}[made]
    (model / "README.md").write_text("another card")
    opened().close()
    (model / "model.safetensors").write_text("v")
    said = refused(opened)
    assert said.startswith(
        f"{model} (model) has changed since {tmp_path / 'run'} was {word} (model.safetensors); "
    )
    assert f"restore it, choose another --out, or remove {tmp_path / 'run'} to make it anew" in said
    (model / "model.safetensors").write_text("w")
    opened().close()


def test_an_input_that_is_gone_is_named(left, opened, data):
    left()
    data.unlink()
    assert f"{data} (data), from which" in refused(opened)


def test_the_same_model_elsewhere_is_the_same_input(left, opened, model, tmp_path):
    left()
    (tmp_path / "elsewhere").mkdir()
    moved = model.rename(tmp_path / "elsewhere" / "model")
    opened(model=str(moved)).close()
    (moved / "config.json").write_text('{"other": 1}')
    said = refused(opened, model=str(moved))
    assert f"holds a run with other settings: model {model} -> {moved} (from Python)" in said


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lambda run: (run / "evaluation.json").unlink(), "evaluation.json is missing"),
        (lambda run: (run / "evaluation.json").write_text(""), "evaluation.json is empty"),
        (
            lambda run: (run / "model" / "model.safetensors").write_bytes(b"another"),
            "model has changed (model.safetensors)",
        ),
        (
            lambda run: [path.unlink() for path in (run / "model").iterdir()],
            "model is empty",
        ),
        (
            lambda run: (run / "model" / "config.json").unlink(),
            "model has changed (config.json)",
        ),
        (lambda run: (run / "metrics.jsonl").unlink(), "metrics.jsonl is missing"),
    ],
)
def test_a_finished_run_whose_outputs_are_not_its_own(damage, what, finished, opened, tmp_path):
    finished()
    (tmp_path / "run" / "report.html").unlink()  # no output: any command writes it again
    opened().close()
    damage(tmp_path / "run")
    assert f"{what} since the run was finished; restore it" in refused(opened)


def test_a_run_of_an_earlier_version_is_held_to_the_hashes_of_its_data(
    left, opened, tmp_path, data, model
):
    left()
    path = tmp_path / "run" / "run.json"
    info = json.loads(path.read_text())
    del info["inputs"]
    info |= {"data": {str(data): sha(data.read_bytes())}, "parents": [str(model)]}
    path.write_text(json.dumps(info))
    (model / "model.safetensors").write_text("v")  # it said nothing of its models
    with opened() as directory:
        directory.start()
    assert not {"data", "parents"} & set(Run(tmp_path / "run").info)
    path.write_text(json.dumps(info))
    data.write_text('{"prompt": "b"}\n')
    assert f"{data} (data) has changed" in refused(opened)


def test_what_acts_at_the_end_may_be_mended_until_then(left, finished, opened, data, tmp_path):
    left(at_the_end=str(data))
    other = tmp_path / "other.jsonl"
    other.write_text("{}\n")
    with opened(at_the_end=str(other)) as directory:
        directory.start()
    assert Run(tmp_path / "run").info["inputs"][-1]["digest"] == sha(b"{}\n")
    other.write_text("[]\n")  # the same place, mended
    opened(at_the_end=str(other)).close()
    finished(at_the_end=str(other))
    assert "at_the_end" in refused(opened, at_the_end=str(data))
    other.write_text("{}\n")
    assert f"{other} (at_the_end) has changed" in refused(opened, at_the_end=str(other))


def test_what_acts_at_a_validation_may_be_mended_before_the_first(left, opened, data):
    left()
    with opened(held_out=str(data), eval_every=5) as directory:
        directory.start()
        directory.append("metrics.jsonl", {"step": 2, "sft/validation_loss": 1.0})
    assert "eval_every 5 -> 1 (the default; then from Python)" in refused(
        opened, held_out=str(data)
    )
    assert "held_out" in refused(opened, eval_every=5)


def test_a_run_that_met_nothing_to_stop_for_may_become_lenient(left, opened, capsys):
    left()
    with opened(on_error="skip") as directory:
        directory.start()
    assert "goes on with on_error stop -> skip (from Python)" in capsys.readouterr().err
    assert "on_error skip -> stop" in refused(opened)


def test_token_budgets_may_change_and_it_is_said(left, finished, opened, capsys):
    left()
    with opened(micro_batch_tokens=64) as directory:
        directory.start()
    assert "micro_batch_tokens 0 -> 64 (from Python), which rounds" in capsys.readouterr().err
    finished()
    opened(micro_batch_tokens=128).close()


def test_a_refusal_names_the_source_of_every_value(left, tmp_path, model, data):
    file = tmp_path / "my.yaml"
    file.write_text("kl_coef: 0.05\n")
    left()
    flags = {"out": str(tmp_path / "run"), "model": str(model), "seed": "1", "data": [str(data)]}
    resolved = resolve(Small, files=[file], flags=flags)
    with pytest.raises(UserError) as raised:
        RunDirectory(tmp_path / "run", "sft", resolved)
    said = sentence(raised)
    assert f"kl_coef 0.02 -> 0.05 (from {file}), seed 0 -> 1 (from --seed); choose" in said


def test_a_hub_model_that_is_fetched_after_the_start(opened, tmp_path, monkeypatch):
    """Its commit is kept with the first checkpoint, and another one is refused."""
    cache = tmp_path / "cache" / "models--org--small"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))

    def fetch(commit):
        (cache / "snapshots" / commit).mkdir(parents=True)
        (cache / "snapshots" / commit / "config.json").write_text("{}")
        (cache / "refs").mkdir(exist_ok=True)
        (cache / "refs" / "main").write_text(commit)

    with opened(model="org/small") as directory:
        directory.start()
        assert "digest" not in Run(tmp_path / "run").info["inputs"][0]
        fetch("a1" * 20)
        directory.append("metrics.jsonl", {"step": 1})
        facts = directory.checkpoint_facts(1)
    assert facts["identity"]["inputs"]["model"] == ["commit:" + "a1" * 20]
    assert Run(tmp_path / "run").info["inputs"][0]["digest"] == "commit:" + "a1" * 20
    fetch("b2" * 20)
    assert "org/small (model) has changed since" in refused(opened, model="org/small")


def test_what_a_person_has_ranked_outlives_the_refusal_of_a_knob(tmp_path):
    def opened(**values):
        given = {"out": str(tmp_path / "run"), "by": "me", "data": "queue.jsonl"} | values
        return RunDirectory(given["out"], "rank", Resolved.of(RankConfig.model_validate(given)))

    own = tmp_path / "run" / "own.jsonl"
    with opened() as directory:
        directory.start()
        own.write_text("{}\n")
    opened(prompts=6).close()  # who is tired may ask for fewer
    said = refused(opened, seed=1)
    assert f"the rankings made by hand are in {own}: copy them elsewhere" in said
    assert "give the copy with --rank.by people --rank.rankings FILE" in said
    assert own.read_text() == "{}\n"


# ---------------------------------------------------------------- a run that vanished


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A kernel that says what it is told to."""

    def machine(*, boot="b1", kills=0, memory=8_000_000):
        for name, text in (
            ("STAT", f"pgfault 9\noom_kill {kills}\n"),
            ("BOOT", f"{boot}\n"),
            ("INFO", f"MemTotal: {memory} kB\nMemFree: 1 kB\n"),
            ("LIMIT", "max\n"),
        ):
            path = tmp_path / f"kernel-{name}"
            path.write_text(text)
            monkeypatch.setattr(vanished, name, path)

    machine()
    return machine


@pytest.fixture
def told(opened, capsys):
    """What the next start says."""

    def told(**values):
        capsys.readouterr()
        with opened(**values) as directory:
            directory.start()
        return capsys.readouterr().err

    return told


def vanish(opened, path: Path, peak=None):
    """A run of two steps that ends without a word: its `run.json` says `running`."""
    directory = opened()
    directory.start()
    for step in (1, 2):
        directory.append("metrics.jsonl", {"step": step})
        if peak:
            directory.append("timings.jsonl", {"step": step, "memory/peak_bytes": peak})
    directory.close()
    assert Run(path).info["status"] == "running"


def test_a_run_near_the_limit_was_likely_killed_for_memory(machine, opened, told, tmp_path):
    vanish(opened, tmp_path / "run", peak=7_000_000_000)
    said = told()
    assert (
        "sft: the last attempt ended without a word after step 2, likely killed for memory "
        "(peak 7.0 of 8.2 GB); if it happens again, close other programs, or give smaller "
        "--micro_batch_tokens; going on"
    ) in said.replace("\n", " ")


def test_a_kill_that_the_kernel_counts(machine, opened, told, tmp_path):
    vanish(opened, tmp_path / "run", peak=2_000_000_000)
    machine(kills=1)
    assert "the kernel has killed a program for it since" in told().replace("\n", " ")


def test_a_machine_that_went_down(machine, opened, told, tmp_path):
    vanish(opened, tmp_path / "run", peak=7_000_000_000)
    machine(boot="b2")
    assert "after step 2, the machine was restarted; going on" in told().replace("\n", " ")


def test_a_kill_of_which_nothing_is_known(machine, opened, told, tmp_path):
    vanish(opened, tmp_path / "run")
    assert "killed or the machine went down; going on" in told().replace("\n", " ")


def test_a_run_that_was_stopped_in_words_did_not_vanish(opened, left, told):
    left()
    with opened() as directory:
        directory.start()
        directory.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert "without a word" not in told()
