"""`TrainingRun` around a stage: signals, locks, disks, damaged checkpoints, the run's status."""

import hashlib
import json
import os
import shutil
import signal
import threading

import pytest

from instructgpt.errors import UserError
from instructgpt.run.directory import Run
from instructgpt.training import run as training
from instructgpt.training import signals
from instructgpt.training.run import TrainingRun
from tests.files import sentence
from tests.small_runs import STAGES, differing, killed_after, one_backend, run_stage, write_inputs


@pytest.fixture(scope="module", autouse=True)
def same_backend():
    with one_backend():
        yield


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    settings = write_inputs(tmp_path_factory.mktemp("inputs"))
    settings["sft"]["select_by"] = "last"  # where the step is chosen, the best so far is saved too
    return settings


@pytest.fixture(scope="module")
def straight(settings, tmp_path_factory):
    """An undisturbed run of SFT."""
    return run_stage("sft", settings["sft"], tmp_path_factory.mktemp("straight")).dir


@pytest.fixture
def sft(settings, tmp_path):
    """Runs SFT in the test's own directory."""

    def run(out="run", **values):
        return run_stage("sft", settings["sft"], tmp_path / out, **values)

    return run


def after_each_step(monkeypatch, do):
    """Call `do(step)` when a step has been logged, and saved if it was due."""
    real = TrainingRun.after_step

    def after_step(run, step, *args, **kwargs):
        real(run, step, *args, **kwargs)
        do(step)

    monkeypatch.setattr(TrainingRun, "after_step", after_step)


def during_each_step(monkeypatch, do):
    """Call `do(step)` while a step is being taken."""
    real = TrainingRun.after_step

    def after_step(run, step, *args, **kwargs):
        do(step)
        real(run, step, *args, **kwargs)

    monkeypatch.setattr(TrainingRun, "after_step", after_step)


def checkpoints(run_dir):
    return sorted(path.name for path in (run_dir / "checkpoints").glob("step-*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_finishes_the_step_saves_and_stops(
    number, sft, straight, tmp_path, monkeypatch, patched, capsys
):
    handler = signal.getsignal(number)
    if number == signal.SIGHUP:
        patched(signals, "leave_terminal", lambda: None)
    during_each_step(monkeypatch, lambda step: step == 2 and os.kill(os.getpid(), number))
    with pytest.raises(KeyboardInterrupt):
        sft()
    monkeypatch.undo()
    run = Run(tmp_path / "run")
    assert [row["step"] for row in run.metrics] == [1, 2]
    assert checkpoints(run.dir) == ["step-2"]
    assert run.info["status"] == "interrupted"
    heard = capsys.readouterr().err
    assert "finishing this step and saving" in heard
    assert "stopped after step 2; run the same command again to go on" in heard
    assert signal.getsignal(number) is handler
    with one_backend():
        assert differing(sft().dir, straight) == []


def test_a_second_signal_stops_at_once(sft, tmp_path, monkeypatch):
    def twice(step):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    during_each_step(monkeypatch, twice)
    with pytest.raises(KeyboardInterrupt):
        sft()
    assert not (tmp_path / "run" / "metrics.jsonl").exists()
    assert Run(tmp_path / "run").info["status"] == "interrupted"


def test_a_signal_after_the_last_step_still_stops_what_follows(sft, tmp_path, monkeypatch):
    """A pipeline must not go on to its next stage."""
    finish = TrainingRun.finish

    def interrupted_finish(run):
        os.kill(os.getpid(), signal.SIGINT)
        return finish(run)

    monkeypatch.setattr(TrainingRun, "finish", interrupted_finish)
    with pytest.raises(KeyboardInterrupt):
        sft()
    assert Run(tmp_path / "run").info["status"] == "done"


def test_a_thread_trains_without_touching_signals(sft):
    done = []
    thread = threading.Thread(target=lambda: done.append(sft()))
    thread.start()
    thread.join()
    assert done[0].info["status"] == "done"


def test_the_status_tells_how_a_run_ended(sft, tmp_path, monkeypatch):
    seen = []
    after_each_step(monkeypatch, lambda _: seen.append(Run(tmp_path / "run").info["status"]))
    with killed_after(3):
        sft()
    assert set(seen) == {"running"}
    failed = Run(tmp_path / "run").info
    assert failed["status"] == "failed"
    done = sft().info
    assert done["status"] == "done"
    assert done["started"] == failed["started"]
    assert done["tuning"].items() >= {"threads": 1, "matmul": "highest", "processes": 1}.items()


@pytest.mark.parametrize(
    "file", ["manifest.json", "state.json", "tensors-00001-of-00001.safetensors"]
)
def test_from_a_damaged_checkpoint_to_the_one_before(file, sft, straight, tmp_path, capsys):
    with killed_after(5):
        sft(save_every=2)
    damaged = tmp_path / "run" / "checkpoints" / "step-4" / file
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 0xFF
    damaged.write_bytes(content)
    run = sft(save_every=2, keep_finished=True)
    heard = capsys.readouterr().err
    assert "step-4" in heard
    assert "going back to the checkpoint before it" in heard
    assert "after step 2" in heard
    assert differing(run.dir, straight) == []
    assert checkpoints(run.dir) == ["step-4", "step-6"]


def test_all_checkpoints_damaged_begins_again(sft, straight, tmp_path):
    with killed_after(5):
        sft(save_every=2, keep_checkpoints=1)
    (tmp_path / "run" / "checkpoints" / "step-4" / "state.json").unlink()
    assert differing(sft(save_every=2, keep_checkpoints=1).dir, straight) == []


def test_the_checkpoints_of_a_finished_run_go(sft, straight, tmp_path, monkeypatch):
    """After its model is written and run.json says so, not before; also if that is interrupted."""
    assert not (straight / "checkpoints").exists()
    whole = sft(save_every=2, keep_finished=True)
    assert checkpoints(whole.dir) == ["step-4", "step-6"]

    seen = []

    def killed(folder, **_):
        seen.append((Run(folder.parent).info["status"], (folder.parent / "model").is_dir()))
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "forget_finished", killed)
    with pytest.raises(KeyboardInterrupt):
        sft("killed", save_every=2)
    assert seen == [("done", True)]
    assert checkpoints(tmp_path / "killed") == ["step-4", "step-6"]
    folder = tmp_path / "killed" / "checkpoints"
    (folder / "step-4").rename(folder / ".step-4.tmp-1")  # halfway
    monkeypatch.undo()
    with one_backend():
        again = sft("killed", save_every=2)
    assert not (again.dir / "checkpoints").exists()
    assert differing(again.dir, whole.dir) == []


def test_the_best_checkpoint_outlives_the_run_that_keeps_it(sft):
    values = {"save_every": 2, "keep_best": True, "eval_every": 1, "keep_checkpoints": 1}
    run = sft(**values)
    figures = {row["step"]: row["sft/validation_loss"] for row in run.metrics}
    best = min(figures, key=figures.__getitem__)
    assert checkpoints(run.dir) == [f"step-{best}"]
    assert checkpoints(sft(**values).dir) == [f"step-{best}"]
    assert checkpoints(sft(**values | {"keep_best": False}).dir) == []


def test_what_is_not_a_checkpoint_stays_among_them(sft, tmp_path):
    with killed_after(3):
        sft(save_every=2)
    (tmp_path / "run" / "checkpoints" / "notes.txt").write_text("mine")
    (tmp_path / "run" / "checkpoints" / ".step-4.tmp-1").mkdir()
    folder = sft(save_every=2).dir / "checkpoints"
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_lines_cut_short_by_a_crash_are_written_again(sft, straight, tmp_path):
    with killed_after(5):
        sft(save_every=2)
    for name in ("metrics.jsonl", "samples.jsonl", "timings.jsonl"):
        path = tmp_path / "run" / name
        path.write_bytes(path.read_bytes() + '{"step": 6, "text": "é'.encode()[:-1])
    run = sft(save_every=2)
    assert differing(run.dir, straight) == []
    steps = [
        json.loads(line)["step"] for line in (run.dir / "timings.jsonl").read_text().splitlines()
    ]
    assert steps == [1, 2, 3, 4, 5, 5, 6]


def test_a_named_checkpoint_must_be_one(sft, tmp_path):
    with pytest.raises(UserError, match=r"--resume: .*nowhere") as raised:
        sft(resume=str(tmp_path / "nowhere"))
    sentence(raised)


def test_the_checkpoint_of_another_model_is_refused(sft, settings, tmp_path):
    with killed_after(2):
        sft(save_every=2)
    stranger = str(tmp_path / "run" / "checkpoints" / "step-2")
    with pytest.raises(UserError, match="of another run: it is of 'sft', not of 'ppo'") as raised:
        run_stage("ppo", settings["ppo"], tmp_path / "ppo", resume=stranger)
    assert "step-2" in sentence(raised)


def test_a_checkpoint_that_does_not_say_whose_it_is_must_fit(sft, settings, tmp_path):
    """As earlier versions wrote them."""
    with killed_after(2):
        sft(save_every=2)
    stranger = tmp_path / "run" / "checkpoints" / "step-2"
    state = {"step": 2, "state": json.loads((stranger / "state.json").read_text())["state"]}
    (stranger / "state.json").write_text(json.dumps(state))
    manifest = json.loads((stranger / "manifest.json").read_text())
    content = (stranger / "state.json").read_bytes()
    told = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    manifest["files"]["state.json"] = told
    (stranger / "manifest.json").write_text(json.dumps(manifest))
    with killed_after(2):
        run_stage("ppo", settings["ppo"], tmp_path / "ppo", save_every=9)
    with pytest.raises(UserError, match="does not fit the model") as raised:
        run_stage("ppo", settings["ppo"], tmp_path / "ppo", resume=str(stranger))
    assert "step-2" in sentence(raised)


def contents(folder):
    """Of all files but those that every start writes."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {p: p.read_bytes() for p in files if p.name not in {"run.json", "config.yaml"}}


@pytest.mark.parametrize("wrong", ["another model", "damaged", "nothing", "a whole run"])
def test_a_wrong_checkpoint_costs_nothing(wrong, sft, settings, tmp_path, straight):
    """Neither the run's own checkpoints nor its lines, whatever --resume names."""
    with killed_after(5):
        sft(save_every=2)
    named = tmp_path / "named"
    if wrong == "another model":
        with killed_after(1):
            run_stage("ppo", settings["ppo"], named, save_every=1)
        named = named / "checkpoints" / "step-1"
    elif wrong == "damaged":
        shutil.copytree(tmp_path / "run" / "checkpoints" / "step-2", named)
        (named / "state.json").write_text("{}")
    elif wrong == "a whole run":
        named = tmp_path / "run"
    kept = contents(tmp_path / "run")
    with pytest.raises(UserError) as raised:
        sft(save_every=2, resume=str(named))
    sentence(raised)
    assert contents(tmp_path / "run") == kept
    assert differing(sft(save_every=2).dir, straight) == []


def test_two_at_once_are_refused(sft, settings, tmp_path):
    config = STAGES["sft"][0](**settings["sft"], out=str(tmp_path / "run"), threads=1)
    with TrainingRun("sft", config, type(config)):
        with pytest.raises(UserError, match="another process is writing this run") as raised:
            sft()
        sentence(raised)
    assert sft().info["status"] == "done"


@pytest.mark.parametrize("room", [0, 4096, 16384, 65536])
def test_a_disk_that_fills_up_costs_nothing(room, sft, straight, mounted, monkeypatch):
    """Wherever the writing stops (a line, a checkpoint, the model), the run goes on from there."""
    disk = mounted("size=2m")

    def fill(step):
        free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
        if step == 3:
            (disk / "filler").write_bytes(b"x" * max(0, free - room))

    after_each_step(monkeypatch, fill)
    with pytest.raises(UserError, match="free") as raised:
        sft(out=disk / "run", save_every=1)
    sentence(raised)
    monkeypatch.undo()
    assert "step-3" in checkpoints(disk / "run")
    (disk / "filler").unlink()
    with one_backend():
        run = sft(out=disk / "run", save_every=1)
    assert differing(run.dir, straight) == []
    assert not list(run.dir.glob("**/.*tmp*"))


def test_places_that_cannot_be_written(sft, mounted, tmp_path):
    (tmp_path / "file").write_text("in the way")
    for out in ("file", "file/below", mounted("ro")):
        with pytest.raises(UserError, match=r"cannot be written .* --out") as raised:
            sft(out=out)
        sentence(raised)


@pytest.fixture
def choosing(settings, tmp_path):
    """Runs SFT, which chooses its step, in the test's own directory."""

    def run(**values):
        own = {**settings["sft"], "select_by": "validation_loss"}
        return run_stage("sft", own, tmp_path / "run", save_every=1, **values)

    return run


def test_a_best_checkpoint_that_is_damaged_is_found_before_the_run_goes_on(choosing, tmp_path):
    with killed_after(6):
        choosing()
    run = tmp_path / "run"
    losses = [row["sft/validation_loss"] for row in Run(run).metrics]
    best = 1 + losses.index(min(losses))
    assert best < 5, "neither of the two newest"
    (run / "checkpoints" / f"step-{best}" / "state.json").write_text("{}")
    kept = contents(run)
    with pytest.raises(UserError, match="it is the best step's; begin again") as raised:
        choosing()
    sentence(raised)
    assert contents(run) == kept
