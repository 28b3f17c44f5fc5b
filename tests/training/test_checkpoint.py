"""Checkpoints: whole or not there, every byte checked, earlier ones never at risk."""

import json
import os
import shutil

import pytest
import torch

from instructgpt.errors import UserError
from instructgpt.training.checkpoint import (
    DamagedCheckpointError,
    forget_after,
    latest_checkpoint,
    open_checkpoint,
    save_checkpoint,
)
from tests.files import sentence

FILES = ("manifest.json", "state.json", "tensors-00001-of-00001.safetensors")


def save(folder, step, *, keep=9, **tensors):
    tensors = tensors or {"weight": torch.full((3,), float(step))}
    return save_checkpoint(folder, step, tensors, {"step": step, "kl_coef": 0.1 * step}, keep=keep)


def read(checkpoint):
    """All its tensors."""
    places = {n: torch.empty(s.size, dtype=s.dtype) for n, s in checkpoint.shapes.items()}
    checkpoint.read(places)
    return places


def steps(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_is_saved_comes_back_to_the_bit(tmp_path):
    tensors = {
        "float": torch.tensor([1.0, -0.0, float("nan"), 1e-45]),
        "half": torch.randn(2, 3).bfloat16(),
        "ids": torch.tensor([[1, -(2**40)]]),
        "flags": torch.tensor([True, False]),
        "scalar": torch.tensor(7.0),
        "empty": torch.empty(0, 5),
    }
    state = {"positions": {"a": 3}, "best": None, "kl_coef": 0.1 + 0.2, "text": "é\n"}
    path = save_checkpoint(tmp_path, 12, tensors, state, keep=1)
    loaded = open_checkpoint(path)
    assert (loaded.step, loaded.path, loaded.state) == (12, path, state)
    found = read(loaded)
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        again = found[name]
        assert (again.dtype, again.shape) == (tensor.dtype, tensor.shape)
        assert bits(again).equal(bits(tensor))


def bits(tensor):
    """As bytes: NaN equals itself, and -0 is not 0."""
    return tensor.flatten().view(torch.uint8)


def test_tensors_that_share_memory_come_back_under_each_name(tmp_path):
    whole = torch.arange(12.0).reshape(3, 4)
    tensors = {
        "one": whole,
        "same": whole,
        "rows": whole[1:],  # overlaps, and begins elsewhere
        "column": whole[:, 1],
        "turned": whole.T,
    }
    loaded = open_checkpoint(save_checkpoint(tmp_path, 1, tensors, {}, keep=1))
    found = read(loaded)
    for name, tensor in tensors.items():
        assert found[name].equal(tensor), name


def test_the_newest_are_kept(tmp_path):
    for step in (2, 4, 10, 12):
        save(tmp_path, step, keep=2)
    assert steps(tmp_path) == ["step-10", "step-12"]
    assert latest_checkpoint(tmp_path, notice=pytest.fail).step == 12


def test_no_folder_and_an_empty_one_have_no_checkpoint(tmp_path):
    assert latest_checkpoint(tmp_path / "none", notice=pytest.fail) is None
    assert latest_checkpoint(tmp_path, notice=pytest.fail) is None


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_byte_is_found_wherever_it_is(name, tmp_path):
    file = save(tmp_path, 3) / name
    content = file.read_bytes()
    assert open_checkpoint(file.parent).step == 3
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1
        file.write_bytes(changed)
        with pytest.raises(DamagedCheckpointError, match="step-3"):
            open_checkpoint(file.parent)


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_short_or_gone_is_found(name, tmp_path):
    file = save(tmp_path, 3) / name
    content = file.read_bytes()
    for length in (0, 1, len(content) // 2, len(content) - 2):
        file.write_bytes(content[:length])
        with pytest.raises(DamagedCheckpointError):
            open_checkpoint(file.parent)
    file.unlink()
    with pytest.raises(DamagedCheckpointError):
        open_checkpoint(file.parent)


@pytest.mark.parametrize("name", FILES)
def test_the_checkpoint_before_a_damaged_one_is_taken_and_that_is_said(name, tmp_path):
    save(tmp_path, 3)
    save(tmp_path, 6)
    file = save(tmp_path, 9) / name
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    said = []
    assert latest_checkpoint(tmp_path, notice=said.append).step == 6
    assert len(said) == 1
    assert "step-9" in said[0]
    assert "going back to the checkpoint before it" in said[0]


def test_a_directory_of_others_with_our_name_is_passed_over(tmp_path):
    save(tmp_path, 3)
    (tmp_path / "step-9").mkdir()
    (tmp_path / "step-9" / "notes.txt").write_text("mine")
    (tmp_path / "step-x").mkdir()
    said = []
    assert latest_checkpoint(tmp_path, notice=said.append).step == 3
    assert "step-9" in said[0]
    for step in (4, 5):
        save(tmp_path, step, keep=1)
    assert steps(tmp_path) == ["step-5", "step-9", "step-x"]  # it is not counted among ours


def put_odd_things(folder):
    """What people leave among checkpoints; returns their names."""
    (folder / "step-5").write_text("a file")
    (folder / "step-3.bak").mkdir()
    for name in ("step-007", "step-9 copy", "step-+8", "step-٣"):
        shutil.copytree(folder / "step-3", folder / name)
    (folder / "step-8").symlink_to(folder / "step-3")
    (folder / "step-10").symlink_to(folder / "nowhere")
    return [path.name for path in folder.iterdir() if path.name != "step-3"]


def test_odd_things_among_checkpoints_are_passed_over_and_never_deleted(tmp_path):
    save(tmp_path, 3)
    odd = put_odd_things(tmp_path)
    assert latest_checkpoint(tmp_path, notice=pytest.fail).step == 3
    save(tmp_path, 4, keep=1)
    save(tmp_path, 12, keep=1)
    save(tmp_path, 13, keep=1)
    forget_after(tmp_path, 12)
    assert steps(tmp_path) == sorted(odd)
    assert (tmp_path / "step-8").is_symlink()
    assert (tmp_path / "step-007" / "manifest.json").is_file()


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_what_is_in_the_way_of_a_checkpoint_is_not_replaced(kind, tmp_path):
    save(tmp_path, 3)
    if kind == "folder":
        (tmp_path / "step-5").mkdir()
        (tmp_path / "step-5" / "notes").write_text("dear")
    elif kind == "file":
        (tmp_path / "step-5").write_text("dear")
    else:
        (tmp_path / "step-5").symlink_to(tmp_path / "step-3")
    with pytest.raises(UserError, match="step-5") as raised:
        save(tmp_path, 5, keep=1)
    sentence(raised)
    assert steps(tmp_path) == ["step-3", "step-5"]
    save(tmp_path, 6, keep=1)  # "step-5" is not counted, nor removed
    forget_after(tmp_path, 3)
    assert "step-5" in steps(tmp_path)


def test_whole_is_said_of_what_was_verified(tmp_path, monkeypatch):
    save(tmp_path, 1)
    save(tmp_path, 2)
    (tmp_path / "step-2" / "state.json").write_text("{}")
    (tmp_path / "step-4").symlink_to(tmp_path / "step-1")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("instructgpt.training.checkpoint.save_file", full)
    with pytest.raises(UserError, match="the checkpoint of step 1 is whole") as raised:
        save(tmp_path, 5)
    sentence(raised)
    shutil.rmtree(tmp_path / "step-1")
    with pytest.raises(UserError, match="none before it is whole"):
        save(tmp_path, 5)


def test_a_checkpoint_is_readable_as_the_umask_says(tmp_path):
    before = os.umask(0o027)
    try:
        path = save(tmp_path / "checkpoints", 3)
    finally:
        os.umask(before)
    assert {file.stat().st_mode & 0o777 for file in path.iterdir()} == {0o640}


def test_a_damaged_checkpoint_costs_no_whole_one(tmp_path):
    """It is later than all that are written after going back, but not the newest of them."""
    save(tmp_path, 3)
    (save(tmp_path, 6) / "manifest.json").write_text("{}")
    save(tmp_path, 4, keep=1)
    assert latest_checkpoint(tmp_path, notice=lambda _: None).step == 4
    save(tmp_path, 6, keep=1)
    assert latest_checkpoint(tmp_path, notice=pytest.fail).step == 6
    assert steps(tmp_path) == ["step-6"]


def test_another_format_is_refused(tmp_path):
    manifest = save(tmp_path, 3) / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"format": 2', '"format": 1'))
    with pytest.raises(DamagedCheckpointError, match="format 1, this version reads 2"):
        open_checkpoint(manifest.parent)


def test_going_back_forgets_what_came_after(tmp_path):
    for step in (2, 4, 6):
        save(tmp_path, step)
    forget_after(tmp_path, 4)
    assert steps(tmp_path) == ["step-2", "step-4"]


def test_half_written_ones_are_cleared_away(tmp_path):
    half = tmp_path / ".step-3.tmp-4711"
    half.mkdir()
    (half / "tensors.safetensors").write_bytes(b"half")
    assert latest_checkpoint(tmp_path, notice=pytest.fail) is None
    save(tmp_path, 3)
    assert steps(tmp_path) == ["step-3"]


def test_a_crash_while_writing_leaves_the_earlier_checkpoint(tmp_path, monkeypatch):
    save(tmp_path, 3)
    for function in ("fsync", "rename"):
        monkeypatch.setattr(os, function, crash)
        with pytest.raises(Crash):
            save(tmp_path, 6, keep=1)
        monkeypatch.undo()
        assert latest_checkpoint(tmp_path, notice=pytest.fail).step == 3
    assert read(latest_checkpoint(tmp_path, notice=pytest.fail))["weight"].tolist() == [3.0] * 3


class Crash(BaseException):
    pass


def crash(*_):
    raise Crash


def test_a_full_disk_is_said_in_one_sentence_and_harms_nothing(mounted):
    folder = mounted("size=1m")
    large = {"weight": torch.arange(100_000.0)}
    save(folder, 1, **large)
    save(folder, 2, **large)
    with pytest.raises(UserError, match="the disk is full, the checkpoint of step 3") as raised:
        save(folder, 3, keep=1, **large)
    assert "the checkpoint of step 2 is whole" in sentence(raised)
    assert steps(folder) == ["step-1", "step-2"]
    assert read(latest_checkpoint(folder, notice=pytest.fail))["weight"].equal(large["weight"])
    shutil.rmtree(folder / "step-1")
    save(folder, 3, keep=1, **large)
    assert latest_checkpoint(folder, notice=pytest.fail).step == 3


def test_a_full_disk_before_the_first_checkpoint(mounted):
    with pytest.raises(UserError, match=r"disk is full.* no checkpoint was written yet") as raised:
        save(mounted("size=64k"), 1, weight=torch.zeros(100_000))
    sentence(raised)


def test_a_folder_that_cannot_be_written(mounted, tmp_path):
    (tmp_path / "checkpoints").write_text("a file in the way")
    with pytest.raises(UserError, match="checkpoint of step 3 cannot be written") as raised:
        save(tmp_path / "checkpoints", 3)
    sentence(raised)
    with pytest.raises(UserError, match="Read-only file system") as raised:
        save(mounted("ro"), 3)
    sentence(raised)


def test_the_manifest_is_json_and_no_file_is_a_pickle(tmp_path):
    path = save(tmp_path, 3)
    assert steps(path) == sorted(FILES)
    assert set(json.loads((path / "manifest.json").read_text())["files"]) == {
        "state.json",
        "tensors-00001-of-00001.safetensors",
    }


def test_a_name_in_a_manifest_cannot_write_on_a_terminal(tmp_path):
    file = save(tmp_path, 3) / "manifest.json"
    content = json.loads(file.read_text())
    content["files"]["a\r\x1b[2Jb\nc"] = {"bytes": 1, "sha256": ""}
    file.write_text(json.dumps(content))
    with pytest.raises(DamagedCheckpointError) as damaged:
        open_checkpoint(file.parent)
    assert r"a\u000d\u001b[2Jb c is missing" in str(damaged.value)
