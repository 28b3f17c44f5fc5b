"""Real processes, really killed: the same command ends with the bytes of an undisturbed run."""

import os
import random
import signal
import time

import pytest

from instructgpt.cli import main
from instructgpt.pipeline.config import SampleConfig
from instructgpt.pipeline.sample import sample
from instructgpt.run.directory import Run
from instructgpt.training.checkpoint import latest_checkpoint
from tests.files import write_rows
from tests.preloaded import Program
from tests.small_runs import differing, one_backend, run_stage, write_inputs

pytestmark = pytest.mark.slow

LAUNCH = (
    "from instructgpt.run import tuning; "
    "tuning.faster_matmul = lambda *_: tuning.Choice('highest', '', ''); "
    "from instructgpt.cli import main; main()"
)
LONGER = {
    "sft": {"epochs": 16, "save_every": 4},
    "reward": {"epochs": 24, "save_every": 3},
    "ppo": {"total_episodes": 48, "save_every": 3},
    "sample": {},
}
"""A second or so of work, in which a kill can fall anywhere."""


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    made = write_inputs(folder)
    prompts = write_rows(
        folder / "many.jsonl", [{"prompt": "abcdefg"[i % 7] * (1 + i % 5)} for i in range(100)]
    )
    made["sample"] = {
        "model": made["sft"]["model"],
        "data": prompts,
        "max_new_tokens": 24,
        "rollout_slots": 8,
    }
    return {stage: made[stage] | LONGER[stage] for stage in LONGER}


@pytest.fixture(scope="module")
def straight(settings, tmp_path_factory):
    """Undisturbed runs, in this process: the directory and the seconds of each."""
    runs = {}

    def run(stage):
        if stage not in runs:
            out = tmp_path_factory.mktemp("straight")
            begun = time.monotonic()
            with one_backend():
                if stage == "sample":
                    sample(SampleConfig(**settings[stage], out=str(out)))
                else:
                    run_stage(stage, settings[stage], out)
            runs[stage] = out, time.monotonic() - begun
        return runs[stage]

    return run


def start(stage, settings, out):
    """The command in a process of its own."""
    flags = [f"--{key}={value}" for key, value in (settings | {"out": out}).items()]
    flags += [] if stage == "sample" else ["--threads=1"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return Program(["-c", LAUNCH, stage, *flags], environment=environment)


def stamp(path):
    return path.stat().st_mtime_ns if path.exists() else None


def wait_for_change(path, before, process):
    while stamp(path) == before:
        assert process.poll() is None, process.complained
        time.sleep(0.002)


@pytest.mark.parametrize(
    ("stage", "seed"),
    [("sft", 1), ("reward", 2), ("ppo", 3), ("ppo", 4), ("sample", 5)],
)
def test_killed_at_random_instants(stage, seed, settings, straight, tmp_path):
    expected, seconds = straight(stage)
    dice = random.Random(seed)
    print(f"seed {seed}, an undisturbed run takes {seconds:.2f} s")
    written = tmp_path / ("candidates.partial.jsonl" if stage == "sample" else "timings.jsonl")
    for killed in range(2):
        before = stamp(written)
        process = start(stage, settings[stage], tmp_path)
        wait_for_change(written, before, process)
        instant = dice.uniform(0, 0.3 * seconds)
        time.sleep(instant)
        process.kill()
        code = process.wait()
        if killed and code == 0:  # it had little left, and was faster
            break
        lines = written.read_bytes().count(b"\n")
        print(f"killed {instant:.3f} s after its first line, {lines} lines written")
        assert code == -signal.SIGKILL, process.complained
    process = start(stage, settings[stage], tmp_path)
    assert process.wait() == 0, process.complained
    assert differing(tmp_path, expected) == []


@pytest.mark.parametrize(("stage", "number"), [("ppo", signal.SIGINT), ("sft", signal.SIGTERM)])
def test_asked_to_stop(stage, number, settings, straight, tmp_path):
    expected, _ = straight(stage)
    process = start(stage, settings[stage], tmp_path)
    wait_for_change(tmp_path / "metrics.jsonl", None, process)
    process.send_signal(number)
    assert process.wait() == 130, process.complained
    assert "run the same command again to go on" in process.complained
    assert "Traceback" not in process.complained
    run = Run(tmp_path)
    assert run.info["status"] == "interrupted"
    checkpoint = latest_checkpoint(tmp_path / "checkpoints", notice=pytest.fail)
    assert checkpoint.step == run.metrics[-1]["step"]
    with one_backend():
        run_stage(stage, settings[stage], tmp_path)
    assert differing(tmp_path, expected) == []


def test_the_lock_holds_while_a_process_lives_and_no_longer(settings, straight, tmp_path, capsys):
    expected, _ = straight("sft")
    process = start("sft", settings["sft"], tmp_path)
    wait_for_change(tmp_path / "metrics.jsonl", None, process)
    process.send_signal(signal.SIGSTOP)
    flags = [f"--{key}={value}" for key, value in settings["sft"].items()]
    with pytest.raises(SystemExit) as ended:
        main(["sft", *flags, f"--out={tmp_path}", "--threads=1"])
    assert ended.value.code == 2
    assert "another process is writing this run" in capsys.readouterr().err
    process.kill()
    process.wait()
    with one_backend():
        run_stage("sft", settings["sft"], tmp_path)
    assert differing(tmp_path, expected) == []
