"""Writing: whole in its place or not there, readable for whom it should be, no harm beside it."""

import fcntl
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from instructgpt.errors import UserError
from instructgpt.run import disk
from instructgpt.run.disk import (
    append_line,
    make_folder,
    new_file,
    new_folder,
    remove_folder,
    scratch,
    settle,
    sweep,
    write_atomically,
)
from instructgpt.run.lock import Lock, open_locked, out_folder
from tests.files import sentence


class Crash(BaseException):
    pass


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fill(folder: Path, text: str) -> None:
    with new_folder(folder) as inside:
        (inside / "a").write_text(text)
        (inside / "below").mkdir()
        (inside / "below" / "b").write_text(text)


def half_a_folder(path: Path) -> None:
    with new_folder(path) as inside:
        (inside / "a").write_text("half")
        raise Crash


def half_a_file(path: Path) -> None:
    with new_file(path / "a") as file:
        file.write(b"half")
        raise Crash


@pytest.mark.parametrize("exchanges", [True, False])
def test_a_folder_replaces_another_and_leaves_nothing(exchanges, tmp_path, patched):
    """With and without a system call that lets two names change places."""
    if not exchanges:
        patched(disk, "_exchange", lambda *_: False)
    fill(tmp_path / "model", "old")
    fill(tmp_path / "model", "new")
    assert names(tmp_path) == ["model"]
    assert (tmp_path / "model" / "below" / "b").read_text() == "new"


def test_an_error_on_the_way_leaves_the_old_one(tmp_path):
    fill(tmp_path / "model", "old")
    for half in (half_a_folder, half_a_file):
        with pytest.raises(Crash):
            half(tmp_path / "model")
    assert names(tmp_path) == ["model"]
    assert names(tmp_path / "model") == ["a", "below"]
    assert (tmp_path / "model" / "a").read_text() == "old"


def test_one_that_was_moved_aside_by_a_process_that_died_comes_back(tmp_path):
    (tmp_path / ".model.old-4711").mkdir()
    (tmp_path / ".model.old-4711" / "a").write_text("old")
    sweep(tmp_path)
    assert names(tmp_path) == ["model"]
    (tmp_path / ".model.old-4711").mkdir()
    sweep(tmp_path)
    assert names(tmp_path) == ["model"]
    assert (tmp_path / "model" / "a").read_text() == "old"


@pytest.mark.parametrize(
    ("umask", "file", "folder"),
    [(0o022, 0o644, 0o755), (0o027, 0o640, 0o750), (0o002, 0o664, 0o775)],
)
def test_what_others_may_read_follows_the_umask(umask, file, folder, tmp_path):
    before = os.umask(umask)
    try:
        with new_folder(tmp_path / "model") as inside:
            (inside / "weights").touch(0o600)  # as safetensors does
        with new_file(tmp_path / "rows.jsonl") as rows:
            rows.write(b"{}")
        (tmp_path / "model" / "more").touch(0o600)
        settle(tmp_path / "model" / "more")
        Lock(tmp_path).close()
    finally:
        os.umask(before)
    for name, mode in (("model", folder), ("model/weights", file), ("model/more", file)):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == mode, name
    for name in ("rows.jsonl", ".lock"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == file, name


def leave_leftovers(folder: Path) -> None:
    for name in (".run.json.tmp-4711", ".answers-1.json.tmp-1"):
        (folder / name).write_text("half")
    for name in (".model.tmp-4711", ".step-3.tmp", ".writing-ab_c1d2e"):
        (folder / name).mkdir()
        (folder / name / "model.safetensors").write_text("half")


def test_what_dead_processes_left_is_swept_and_nothing_else(tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis").write_text("dear")
    run = tmp_path / "run"
    run.mkdir()
    leave_leftovers(run)
    others = {".vimrc", ".notes.tmp", "a.tmp-1", ".x.tmp-1b", ".x.bak-12", ".writing-x", "run.json"}
    for name in others:
        (run / name).write_text("other")
    (run / ".link.tmp-7").symlink_to(mine)
    (run / ".file.tmp-8").symlink_to(mine / "thesis")
    (run / ".model.tmp-9").mkdir()
    (run / ".model.tmp-9" / "inside").symlink_to(mine)
    os.mkfifo(run / ".pipe.tmp-10")
    sweep(run)
    assert names(run) == sorted(others | {".link.tmp-7", ".file.tmp-8", ".pipe.tmp-10"})
    assert (mine / "thesis").read_text() == "dear"


def test_what_a_living_process_writes_is_not_swept(tmp_path):
    with new_file(tmp_path / "a.json") as file, scratch(tmp_path / "model") as folder:
        assert len(names(tmp_path)) == 2
        sweep(tmp_path)
        assert folder.is_dir()
        file.write(b"1")
    assert names(tmp_path) == ["a.json"]


def test_writing_again_sweeps_what_was_left_of_the_same_name(tmp_path):
    leave_leftovers(tmp_path)
    write_atomically(tmp_path / "run.json", "{}")
    fill(tmp_path / "model", "new")
    left = [".answers-1.json.tmp-1", ".step-3.tmp", ".writing-ab_c1d2e"]
    assert names(tmp_path) == [*left, "model", "run.json"]


KINDS = ("device", "pipe", "link", "dangling link", "folder or file")


def put_there(kind: str, path: Path, *, file_is_fine: bool) -> None:
    if kind == "device":
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    elif kind == "pipe":
        os.mkfifo(path)
    elif "link" in kind:
        target = path.with_name("target")
        if kind == "link":
            target.write_text("dear") if file_is_fine else target.mkdir()
        path.symlink_to(target)
    elif file_is_fine:
        path.mkdir()
    else:
        path.write_text("dear")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "write",
    [
        lambda path: write_atomically(path, "new"),
        lambda path: append_line(path, "new"),
        lambda path: fill(path, "new"),
        open_locked,
        out_folder,
    ],
    ids=["file", "line", "folder", "run", "pipeline"],
)
def test_only_a_file_is_written_over_a_file_and_a_folder_over_a_folder(
    kind, write, tmp_path, request
):
    if kind == "device" and os.geteuid():
        pytest.skip("only root makes devices")
    path = tmp_path / "out"
    is_file = request.node.callspec.id.split("-")[0] in {"file", "line"}
    put_there(kind, path, file_is_fine=is_file)
    before = path.lstat()
    with pytest.raises(UserError, match=r"cannot be written.* --out") as raised:
        write(path)
    sentence(raised)
    after = path.lstat()
    assert (after.st_ino, after.st_mode, after.st_size) == (
        before.st_ino,
        before.st_mode,
        before.st_size,
    )
    assert set(names(tmp_path)) <= {"out", "target"}
    if kind == "link" and is_file:
        assert (tmp_path / "target").read_text() == "dear"


def test_a_linked_parent_is_fine(tmp_path):
    (tmp_path / "scratch").mkdir()
    (tmp_path / "runs").symlink_to(tmp_path / "scratch")
    open_locked(tmp_path / "runs" / "one").close()
    assert names(tmp_path / "scratch") == ["one"]


def test_an_empty_name_is_refused():
    for call in (open_locked, out_folder):
        with pytest.raises(UserError, match="--out is empty") as raised:
            call("")
        sentence(raised)


def test_the_lock_is_not_followed_and_not_cut(tmp_path):
    (tmp_path / "dear").write_text("dear")
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / ".lock").symlink_to(tmp_path / "dear")
    with pytest.raises(UserError, match="cannot be written") as raised:
        open_locked(tmp_path / "linked")
    sentence(raised)
    assert (tmp_path / "dear").read_text() == "dear"
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").write_text("a note")
    lock = open_locked(tmp_path / "run")
    with pytest.raises(UserError, match="another process"):
        open_locked(tmp_path / "run")
    lock.close()
    assert (tmp_path / "run" / ".lock").read_text() == "a note"
    (tmp_path / "odd").mkdir()
    os.mkfifo(tmp_path / "odd" / ".lock")
    with pytest.raises(UserError, match="is not a file") as raised:
        open_locked(tmp_path / "odd")
    sentence(raised)


def test_a_folder_is_removed_as_a_whole(tmp_path, monkeypatch):
    fill(tmp_path / "step-1", "old")

    def crash(*_, **__):
        raise Crash

    monkeypatch.setattr(disk.shutil, "rmtree", lambda path, **_: crash() if path.exists() else None)
    with pytest.raises(Crash):
        remove_folder(tmp_path / "step-1")
    monkeypatch.undo()
    assert not (tmp_path / "step-1").exists()
    sweep(tmp_path)
    assert names(tmp_path) == []


def test_a_writer_that_is_killed_leaves_what_the_next_sweeps(tmp_path):
    code = (
        "import os, sys; from pathlib import Path; from instructgpt.run.disk import scratch\n"
        "with scratch(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'weights').write_text('half'); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "model")], check=False)
    assert len(names(tmp_path)) == 1
    sweep(tmp_path)
    assert names(tmp_path) == []


def test_a_file_system_without_locks_or_folder_syncs(tmp_path, patched):
    def no_locks(*_):
        raise OSError(37, "No locks available")

    real = os.fsync

    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(22, "Invalid argument")
        real(descriptor)

    patched(fcntl, "flock", no_locks)
    patched(os, "fsync", fsync)
    (tmp_path / ".a.tmp-1").write_text("perhaps somebody's")
    write_atomically(tmp_path / "a", "new")
    make_folder(tmp_path / "b" / "c")
    fill(tmp_path / "b" / "c" / "model", "new")
    assert names(tmp_path) == [".a.tmp-1", "a", "b"]


def test_an_error_of_the_disk_is_one_sentence(tmp_path, monkeypatch):
    def broken(_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    for write in (write_atomically, append_line):
        with pytest.raises(UserError, match=r"Input/output error\); free space") as raised:
            write(tmp_path / "a", "new")
        sentence(raised)
