"""What the quickstart asks for before it begins: of what is left to do, and not of what is done."""

import json

import pytest

from instructgpt.errors import UserError
from instructgpt.pipeline import needs
from instructgpt.pipeline.needs import check_needs
from instructgpt.pipeline.quickstart import quickstart
from tests.files import sentence

NAMES = ("sft", "sample", "rank", "reward", "ppo", "evaluate")


@pytest.fixture
def machine(monkeypatch):
    """A machine with so much free memory and disk (GB)."""

    def has(memory: float | None, disk: float) -> None:
        monkeypatch.setattr(needs, "free_memory_gb", lambda: memory)
        usage = type("Usage", (), {"free": disk * 1e9})
        monkeypatch.setattr(needs.shutil, "disk_usage", lambda _path: usage)

    return has


def finished(out, *names):
    for number, name in enumerate(NAMES, 1):
        if name in names:
            folder = out / f"{number:02d}-{name}"
            folder.mkdir(parents=True)
            (folder / "run.json").write_text(json.dumps({"status": "done"}))


@pytest.mark.parametrize(
    ("memory", "disk", "words"),
    [(2.5, 50, "7 GB of free memory"), (12.0, 1, "8.6 GB of free disk")],
)
def test_too_little_room_is_said_before_the_first_stage(memory, disk, words, tmp_path, machine):
    """8.6: what SFT and the reward model leave (0.6, 0.4), PPO's two checkpoints (6.7) and the
    frozen networks (0.9).
    """
    machine(memory, disk)
    with pytest.raises(UserError, match=words) as raised:
        quickstart(tmp_path / "not" / "there", model="m")
    sentence(raised)
    assert not (tmp_path / "not").exists()


def test_a_finished_run_asks_for_nothing(tmp_path, machine):
    machine(0.1, 0.1)
    finished(tmp_path, *NAMES)
    check_needs(tmp_path)
    with pytest.raises(UserError, match="7 GB of free memory"):
        check_needs(tmp_path, rounds=2)  # the second round is left


def test_it_asks_for_the_stages_that_are_left(tmp_path, machine):
    finished(tmp_path, *NAMES[:5])
    machine(2.6, 0.1)
    check_needs(tmp_path)
    machine(2.4, 50)
    with pytest.raises(UserError, match=r"needs 2\.5 GB of free memory"):
        check_needs(tmp_path)


def test_what_a_stage_has_written_is_not_asked_for_again(tmp_path, machine):
    finished(tmp_path, *NAMES[:4])
    machine(None, 5.0)
    with pytest.raises(UserError, match=r"needs 7\.6 GB of free disk"):
        check_needs(tmp_path)
    checkpoint = tmp_path / "05-ppo" / "checkpoints" / "step-9"
    checkpoint.mkdir(parents=True)
    with (checkpoint / "tensors").open("wb") as file:
        file.truncate(3_300_000_000)
    check_needs(tmp_path)


def test_an_unreadable_run_is_not_done(tmp_path, machine):
    finished(tmp_path, *NAMES)
    (tmp_path / "06-evaluate" / "run.json").write_text("{")
    machine(0.1, 50)
    with pytest.raises(UserError, match=r"needs 2\.5 GB"):
        check_needs(tmp_path)
