"""The run directory: one run, one process, one configuration; small files whole or as they were."""

import hashlib
import json
import os

import pytest
from pydantic import Field

from instructgpt.errors import UserError
from instructgpt.run.config import Config, Resolved, resolve
from instructgpt.run.directory import Run, RunDirectory
from instructgpt.run.disk import write_atomically
from instructgpt.run.inputs import Policy, Prompts
from instructgpt.run.streams import read_lines
from tests.files import sentence


class Small(Config):
    out: str = Field(description="where")
    seed: int = Field(0, description="decides a result")
    rate: float = Field(1.0, description="decides a result")
    threads: int = Field(0, description="does not")
    resume: str = Field("auto", description="auto or never")
    model: Policy = Field("m", description="a path")
    data: Prompts = Field((), description="paths")


@pytest.fixture
def open_run(tmp_path):
    """Opens the test's run directory as a stage would."""

    def open_run(stage="sft", **values):
        config = Small(**{"out": str(tmp_path / "run"), **values})
        return RunDirectory(config.out, stage, Resolved.of(config))

    return open_run


def begin(open_run, **values):
    """A run that has logged its first step, and was left."""
    with open_run(**values) as directory:
        directory.start()
        directory.append("metrics.jsonl", {"step": 1})


def begin_and_raise(open_run, error, **values):
    """A run that fails before its first result."""
    with open_run(**values) as directory:
        directory.start()
        raise error


def test_the_first_start_writes_config_and_provenance(tmp_path):
    resolved = resolve(Small, flags={"out": str(tmp_path / "a" / "run"), "rate": "2", "seed": "3"})
    with RunDirectory(tmp_path / "a" / "run", "sft", resolved) as directory:
        directory.start({"threads": 1})
        info = Run(directory.path).info
    assert (info["stage"], info["status"], info["seed"]) == ("sft", "running", 3)
    assert info["tuning"] == {"threads": 1}
    assert info["config"] == {
        "out": str(directory.path),
        "seed": 3,
        "rate": 2.0,
        "threads": 0,
        "resume": "auto",
        "model": "m",
        "data": [],
    }
    assert info["config_sources"]["rate"] == "--rate"
    assert {"python", "torch", "transformers", "instructgpt"} <= set(info["versions"])
    assert (directory.path / "config.yaml").read_text() == resolved.to_yaml()


def test_done_is_done(open_run):
    with open_run() as directory:
        assert not directory.is_done
        directory.start()
        directory.finish()
    with open_run() as again:
        assert again.is_done
    run = Run(directory.path)
    assert run.info["status"] == "done"
    assert run.info["finished"] >= run.info["started"]
    assert (run.metrics, run.evaluation, run.model_path) == ([], {}, directory.path / "model")


@pytest.mark.parametrize(
    ("error", "status"), [(KeyboardInterrupt(), "interrupted"), (ValueError(), "failed")]
)
def test_an_error_on_the_way_is_the_status(error, status, open_run, tmp_path):
    with pytest.raises(type(error)):
        begin_and_raise(open_run, error)
    assert Run(tmp_path / "run").info["status"] == status
    with open_run() as again:
        assert not again.is_done


def test_an_error_before_the_start_leaves_no_trace(open_run, tmp_path):
    with pytest.raises(ValueError, match="bad"), open_run():
        raise ValueError("bad")
    assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]


def test_other_settings_are_refused_with_both_values(open_run):
    begin(open_run)
    with pytest.raises(
        UserError, match=r"other settings: rate 1\.0 -> 2\.0 \(from Python\)"
    ) as raised:
        open_run(rate=2.0)
    sentence(raised)
    open_run(threads=4).close()  # decides no result


def test_a_directory_that_was_moved_with_its_inputs_goes_on(open_run, tmp_path):
    """What lay beside the run lies beside it still; what lies elsewhere must be named as before."""
    model, words = str(tmp_path / "model"), "words.jsonl"
    begin(lambda: open_run(model=model, data=[str(tmp_path / "data.jsonl"), words]))
    moved = tmp_path / "moved"
    moved.mkdir()
    (tmp_path / "run").rename(moved / "run")
    here = {"out": str(moved / "run"), "data": [str(moved / "data.jsonl"), words]}
    open_run(model=str(moved / "model"), **here).close()
    with pytest.raises(UserError, match="other settings: model"):
        open_run(model=str(tmp_path / "other" / "model"), **here)


def test_another_stage_and_never_are_refused(open_run):
    begin(open_run)
    with pytest.raises(UserError, match="holds a run of 'sft', not of 'ppo'") as raised:
        open_run("ppo")
    sentence(raised)
    with pytest.raises(UserError, match="already holds a run and --resume is 'never'") as raised:
        open_run(resume="never")
    sentence(raised)


def test_before_the_first_result_everything_may_be_mended(open_run, tmp_path):
    """A bad line in the data stops a run that has begun; its remedies must not be refused."""
    data = tmp_path / "a.jsonl"
    data.write_text("{")
    with pytest.raises(UserError):
        begin_and_raise(open_run, UserError("a.jsonl line 1: not valid JSON"), data=str(data))
    data.write_text("{}")
    with open_run(rate=2.0, data=str(data)) as directory:
        directory.start()
        directory.append("metrics.jsonl", {"step": 1})
    info = Run(directory.path).info
    assert (info["config"]["rate"], info["status"]) == (2.0, "running")
    assert info["inputs"][1]["digest"] == hashlib.sha256(b"{}").hexdigest()
    with pytest.raises(UserError, match="other settings"):
        open_run(data=str(data))


def test_one_process_at_a_time(open_run):
    first = open_run()
    with pytest.raises(UserError, match="another process is writing this run") as raised:
        open_run()
    sentence(raised)
    first.close()
    open_run().close()


def test_run_json_that_cannot_be_read(open_run, tmp_path):
    begin(open_run)
    (tmp_path / "run" / "run.json").write_text("{")
    with pytest.raises(
        UserError, match=r"run\.json: not valid JSON .*restore it, or choose another"
    ) as raised:
        open_run()
    sentence(raised)
    (tmp_path / "run" / "run.json").unlink()
    open_run().close()  # the lock was given back


def test_lines_after_the_checkpoint_are_cut(open_run, tmp_path):
    with open_run() as directory:
        for step in (1, 2, 3):
            for name in ("metrics.jsonl", "samples.jsonl", "timings.jsonl"):
                directory.append(name, {"step": step, "text": "é\n\u2028", "value": 0.1 + 0.2})
        directory.sync()
    lines = (tmp_path / "run" / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    with open_run() as directory:
        directory.cut_back(2)
    for name, kept in (("metrics.jsonl", 2), ("samples.jsonl", 2), ("timings.jsonl", 3)):
        assert (tmp_path / "run" / name).read_bytes() == b"".join(lines[:kept])


def test_the_next_start_sweeps_what_a_killed_one_left(open_run, tmp_path):
    begin(open_run)
    run = tmp_path / "run"
    elsewhere = tmp_path / "elsewhere"
    for folder in (run, run / "checkpoints", elsewhere):
        folder.mkdir(exist_ok=True)
        (folder / ".model.tmp-4711").mkdir()
        (folder / ".model.tmp-4711" / "model.safetensors").write_bytes(b"half")
        (folder / ".run.json.tmp-4711").write_bytes(b"half")
    open_run().close()
    assert {path.name for path in run.iterdir()} == {
        *(".lock", "config.yaml", "run.json", "metrics.jsonl", "checkpoints")
    }
    assert list((run / "checkpoints").iterdir()) == []
    (run / "checkpoints").rmdir()
    (run / "checkpoints").symlink_to(elsewhere)
    open_run().close()
    assert len(list(elsewhere.iterdir())) == 2  # a link is not followed


def test_a_folder_that_holds_no_run_is_not_swept(open_run, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".notes.tmp-1").write_text("somebody's")
    open_run().close()
    assert (tmp_path / "run" / ".notes.tmp-1").exists()


def test_what_a_power_cut_left_in_unsynced_lines_is_written_again(open_run, tmp_path):
    with open_run() as directory:
        for step in (1, 2, 3, 4):
            directory.append("metrics.jsonl", {"step": step})
    path = tmp_path / "run" / "metrics.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1] + b"\0" * (len(lines[2]) - 1) + b"\n" + lines[3])
    with open_run() as directory:
        directory.cut_back(2)
    assert path.read_bytes() == lines[0] + lines[1]


def test_lines_of_the_checkpoints_own_step_that_came_after_it_are_cut(open_run, tmp_path):
    """A validation after an update that was left out speaks of the step before."""
    with open_run() as directory:
        for step in (1, 2):
            directory.append("metrics.jsonl", {"step": step})
            directory.append("samples.jsonl", {"step": step, "text": "before"})
        facts = directory.checkpoint_facts(2)
        lines = b'{"step": 1, "text": "before"}\n{"step": 2, "text": "before"}\n'
        known = {"lines": 2, "sha256": hashlib.sha256(lines).hexdigest()}
        assert facts["streams"]["samples.jsonl"] == known
        directory.append("samples.jsonl", {"step": 2, "text": "after"})
        directory.append("metrics.jsonl", {"step": 3})
    with open_run() as directory:
        directory.refuse_foreign(tmp_path / "step-2", 2, facts)
        directory.cut_back(2, facts)
    assert (tmp_path / "run" / "samples.jsonl").read_bytes() == lines
    assert read_lines(tmp_path / "run" / "metrics.jsonl") == [{"step": 1}, {"step": 2}]


def test_reading_lines(tmp_path):
    path = tmp_path / "lines.jsonl"
    assert read_lines(path) == []
    path.write_bytes(b'{"a": 1}\n\n{"a": 2}\n{"a": "\xc3')
    assert read_lines(path) == [{"a": 1}, {"a": 2}]
    path.write_bytes(b'{"a": 1}\n{"a": \n{"a": 2}\n')
    with pytest.raises(UserError, match=r"lines\.jsonl line 2: not valid JSON") as raised:
        read_lines(path)
    sentence(raised)


def test_writing_atomically(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    write_atomically(path, "old")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(UserError, match=r"a\.json: cannot be written \(No space left") as raised:
        write_atomically(path, "new")
    sentence(raised)
    assert path.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_line_that_cannot_be_written_is_one_sentence(open_run):
    with open_run() as directory:
        (directory.path / "metrics.jsonl").mkdir()
        with pytest.raises(UserError, match=r"metrics\.jsonl: cannot be written") as raised:
            directory.append("metrics.jsonl", {"step": 1})
    sentence(raised)


def test_the_evaluation_is_read(tmp_path):
    (tmp_path / "evaluation.json").write_text(json.dumps({"shift": 1.5}))
    assert Run(tmp_path).evaluation == {"shift": 1.5}
