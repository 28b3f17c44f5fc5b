"""The crash harness in its short form: ten stories, and proof that it would notice."""

import json
import os
from pathlib import Path

import pytest

from tests.preloaded import Program

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
PROCESSES = ["1", "2"]


def heard(folder, *command):
    """Exit code and output of a Python command, whose temporary files go to `folder`."""
    program = Program(command, folder=ROOT, environment=os.environ | {"TMPDIR": str(folder)})
    code = program.wait()
    print(program.said, program.complained)
    return code, program.said + program.complained


def test_ten_stories_end_as_if_nobody_had_been_killed(tmp_path):
    result = tmp_path / "crash.json"
    flags = ["--stories", "10", "--json", str(result), "--processes", *PROCESSES]
    code, said = heard(tmp_path, "-m", "tests.crash.stories", *flags)
    assert code == 0
    told = json.loads(result.read_text())
    assert told["stories"] == 10
    assert len(told["stories_by_kind"]) == 5 * len(PROCESSES)
    assert told["failures"] == {}
    assert told["kills_landed"] >= 10
    assert told["kills_missed"] <= 3
    assert told["places_never_reached"] == []
    assert all(f"seed {seed}: " in said for seed in range(10))


# A harness that cannot fail proves nothing: what is lost here, it has to notice.

STORY = """
import sys
from instructgpt.training import checkpoint, state
from tests.crash import stories
stories.draw = lambda *_: stories.Kill(
    "minibatch", "torch.optim.AdamW.step", 9, "before", 0, 0, 0
)
{loss}
sys.exit(stories.main(["--only", "2", "--processes", "1"]))
"""
"""A PPO run of one process, saved every 3 steps and killed in the fifth after its start."""
LOST = {
    "moments": (
        "state.MOMENTS = ()",
        "unlike the undisturbed run: run/critic/model.safetensors",
    ),
    "checkpoints": (
        "checkpoint._steps = lambda _: []",
        "run was saved at step 3, but went on after None",
    ),
    "place": (
        "stories.TARGETS += ('instructgpt.rollout.engine:RolloutEngine.gone',)",
        "instructgpt.rollout.engine:RolloutEngine.gone is no longer there",
    ),
}


@pytest.mark.parametrize("lost", LOST)
def test_what_is_lost_is_noticed(lost, tmp_path):
    loss, complaint = LOST[lost]
    code, said = heard(tmp_path, "-c", STORY.format(loss=loss))
    assert code == 1
    assert complaint in said
    assert lost == "place" or "again: python -m tests.crash.stories --only 2 --processes 1" in said
