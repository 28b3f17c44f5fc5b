"""Files and folders that survive a kill and a power cut: each is whole in its place, or not there.

A file system that has not been asked to sync may keep a rename and lose the bytes, or keep a
removal and lose what came instead. So everything is written beside its place, synced, files before
folders, renamed, and the folder of the rename synced; only then may another file speak of it, or
what it replaces go.

Whoever writes under a temporary name holds a lock on it. One that nobody holds was left by a
process that died, and is swept.
"""

import ctypes
import errno
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from instructgpt.errors import UserError
from instructgpt.run.system import NO_LINK, hold

LEFTOVER = re.compile(
    r"\.(?P<name>.+)\.(?P<kind>tmp|old)-[0-9]+"
    r"|\.step-[0-9]+\.tmp|\.writing-[a-z0-9_]{8}"  # by version 0.1.0 before its release
)
"""The names of what is on its way to its place, or on its way out."""
KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISREG, "a file"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISLNK, "a link"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
)
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Write a file that takes its place when the block ends, whole; an older one stays till then.

    Raises:
        UserError: something that is not a file stands there.
        OSError: it cannot be written; nothing has changed.
    """
    refuse_unfit(path)
    sweep(path.parent, path.name)
    temporary = _beside(path, "tmp")
    try:
        with temporary.open("xb") as file:
            _hold(file.fileno())
            yield file
            file.flush()
            os.fsync(file.fileno())
            temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Fill the folder that is given; it takes its place when the block ends, with all that is in
    it. An older one stays till then.

    Raises:
        UserError: something that is not a folder stands there.
        OSError: it cannot be written; nothing has changed.
    """
    with scratch(path) as temporary:
        yield temporary
        for folder, _, names in os.walk(temporary, topdown=False):
            for name in names:
                settle(Path(folder, name))
            sync_folder(Path(folder))
        put(temporary, path)


@contextmanager
def scratch(path: Path) -> Iterator[Path]:
    """A folder beside `path` for what is being made; gone when the block ends."""
    refuse_unfit(path, stat.S_ISDIR)
    sweep(path.parent, path.name)
    temporary = _beside(path, "tmp")
    temporary.mkdir()
    holder = os.open(temporary, os.O_RDONLY)
    try:
        _hold(holder)
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        os.close(holder)


def write_atomically(path: Path, text: str) -> None:
    """Write a small file so that a reader, a crash or a power cut sees the old or the new one.

    Raises:
        UserError: it cannot be written.
    """
    with explained(path), new_file(path) as file:
        file.write(text.encode())


def append_line(path: Path, line: str) -> None:
    """Add a line to a file, on the disk when this returns.

    Raises:
        UserError: it cannot be written.
    """
    refuse_unfit(path)
    with explained(path):
        with path.open("ab") as file:
            file.write(line.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        sync_folder(path.parent)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Say in one sentence why something cannot be written."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror}); free space and run the same command "
            f"again, or choose another --out"
        ) from None


def put(temporary: Path, path: Path) -> None:
    """Give a folder, with all in it synced, its name; what had the name gets the temporary one."""
    if not path.exists():
        temporary.rename(path)
    elif not _exchange(temporary, path):
        old = _beside(path, "old")  # where `sweep` finds it, if we die before the next line
        path.rename(old)
        temporary.rename(path)
        old.rename(temporary)
    sync_folder(path.parent)


def remove_folder(path: Path) -> None:
    """Take a folder away as a whole: no part of it is ever found under its name."""
    temporary = _beside(path, "tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    path.rename(temporary)
    sync_folder(path.parent)
    shutil.rmtree(temporary, ignore_errors=True)


def make_folder(path: Path) -> None:
    """A folder and those above it, where they are missing.

    Raises:
        OSError: one cannot be made.
    """
    missing = [folder for folder in (path, *path.parents) if not folder.is_dir()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing or [path]:
        sync_folder(folder.parent)


def settle(path: Path) -> None:
    """Sync a file that other code wrote, and let those read it who may read its folder.

    (safetensors writes for the owner alone. The folder is one that we made, as the umask says.)
    """
    mode = path.parent.stat().st_mode & 0o666
    with path.open("rb") as file:
        if stat.S_IMODE(os.fstat(file.fileno()).st_mode) != mode:
            with suppress(OSError):  # a file system without modes
                os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Push the names in a folder to the disk."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError:  # one may write there and not look
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # it has no such thing
            raise
    finally:
        os.close(descriptor)


def sweep(folder: Path, name: str | None = None) -> None:
    """Remove what processes that died were writing in a folder, or to one name in it.

    Links are never followed, and what a living process holds is left.
    """
    try:
        paths = sorted(folder.iterdir())
    except OSError:  # not there, or not to be listed
        return
    for path in paths:
        match = LEFTOVER.fullmatch(path.name)
        if not match or name not in (None, match["name"]):
            continue
        with suppress(OSError), _held(path) as mode:
            if match["kind"] == "old" and not (folder / match["name"]).exists():
                path.rename(folder / match["name"])
            elif stat.S_ISDIR(mode):
                shutil.rmtree(path)
            elif stat.S_ISREG(mode):
                path.unlink()


def refuse_unfit(path: Path, fits: Callable[[int], bool] = stat.S_ISREG) -> None:
    """Only a file may be written where a file stands, a folder where a folder stands.

    Raises:
        UserError: a link, a device or the like stands there; to write would replace it, or what it
            leads to.
    """
    try:
        mode = path.lstat().st_mode
    except OSError:  # nothing is there, or whoever writes will say why not
        return
    if fits(mode):
        return
    found = next((name for is_one, name in KINDS if is_one(mode)), "a device")
    wanted = next(name for is_one, name in KINDS if is_one is fits)
    leads = f" to {path.resolve()}" if stat.S_ISLNK(mode) else ""
    raise UserError(
        f"{path}: cannot be written (it is {found}{leads}, not {wanted}); choose another --out"
    )


def _beside(path: Path, kind: str) -> Path:
    return path.with_name(f".{path.name}.{kind}-{os.getpid()}")


def _hold(descriptor: int) -> None:
    """As long as this process lives, and has it open."""
    with suppress(OSError):  # a file system without locks, on which nothing is swept
        hold(descriptor)


@contextmanager
def _held(path: Path) -> Iterator[int]:
    """What kind of thing a leftover is, while nobody else may have it.

    Raises:
        OSError: it is a link, or somebody holds it.
    """
    descriptor = os.open(path, os.O_RDONLY | NO_LINK)
    try:
        hold(descriptor)
        yield os.fstat(descriptor).st_mode
    finally:
        os.close(descriptor)


def _exchange(one: Path, other: Path) -> bool:
    """Let two names change places at one instant, where system and file system can."""
    try:
        rename = ctypes.CDLL(None).renameat2
    except (OSError, AttributeError):
        return False
    names = os.fsencode(one), os.fsencode(other)
    return rename(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0
