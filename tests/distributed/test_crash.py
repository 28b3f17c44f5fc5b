"""The crash harness in its short form: ten stories, and proof that it would notice."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
PROCESSES = ["1"]

FORGETFUL = """
import sys
sys.path.insert(0, {benchmarks!r})
import crash
from instructgpt.distributed.state import TrainState
{forget}
sys.exit(crash.main({arguments}))
"""


def heard(*command):
    """Exit code and output of a Python command."""
    ended = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=300)
    print(ended.stdout, ended.stderr)
    return ended.returncode, ended.stdout + ended.stderr


def test_ten_stories_end_as_if_nobody_had_been_killed(tmp_path):
    result = tmp_path / "crash.json"
    crash = str(BENCHMARKS / "crash.py")
    code, said = heard(crash, "--stories", "10", "--processes", *PROCESSES, "--json", str(result))
    assert code == 0
    told = json.loads(result.read_text())
    assert told["stories"] == 10
    assert len(told["stories_by_kind"]) == 5 * len(PROCESSES)
    assert told["failures"] == {}
    assert told["kills_landed"] >= 10
    assert told["kills_missed"] <= 3
    assert told["places_never_reached"] == []
    assert all(f"seed {seed}: " in said for seed in range(10))


NOTHING_OF_ADAM = "TrainState._restore_optimizer = lambda *_: None"
NO_STEP_AFTER_2 = (
    "from instructgpt.distributed import checkpoint; real = checkpoint._steps; "
    "checkpoint._steps = lambda folder: [step for step in real(folder) if step <= 2]"
)


@pytest.mark.parametrize(
    ("seed", "forget", "complaint"),
    [
        (12, NOTHING_OF_ADAM, "unlike the undisturbed run: run/critic/model.safetensors"),
        (7, NO_STEP_AFTER_2, "was saved at step 6, but went on after None"),
    ],
    ids=["moments", "a checkpoint"],
)
def test_a_run_that_forgets_fails(seed, forget, complaint):
    arguments = ["--only", str(seed)]
    code, said = heard(
        "-c", FORGETFUL.format(benchmarks=str(BENCHMARKS), forget=forget, arguments=arguments)
    )
    assert code == 1
    assert complaint in said
    assert f"again: python benchmarks/crash.py --only {seed}" in said


def test_a_place_that_is_gone_stops_the_harness():
    gone = "import killing; killing.PLACES['rollout'] = ('instructgpt.rollout.engine:_gone',)"
    code, said = heard(
        "-c", FORGETFUL.format(benchmarks=str(BENCHMARKS), forget=gone, arguments=[])
    )
    assert code == 1
    assert "instructgpt.rollout.engine:_gone is no longer there" in said
