"""One process at a time writes a run or a pipeline."""

import os
import stat
from pathlib import Path

from instructgpt.errors import UserError
from instructgpt.run.disk import make_folder, refuse_unfit
from instructgpt.run.system import NO_LINK, hold, require_locks


class Lock:
    """Keeps other processes out of a folder until it is closed, or this process dies.

    Raises:
        UserError: another process has it, or this system has no locks.
        OSError: `.lock` cannot be opened there, because it is a link, say.
    """

    def __init__(self, folder: Path) -> None:
        require_locks()
        path = folder / ".lock"
        flags = os.O_RDWR | os.O_CREAT | NO_LINK
        self._file = os.fdopen(os.open(path, flags, 0o666), "rb", buffering=0)
        try:
            if not stat.S_ISREG(os.fstat(self._file.fileno()).st_mode):
                raise UserError(f"{path} is not a file; remove it, or choose another --out")
            hold(self._file)
        except BlockingIOError:
            self._file.close()
            raise UserError(
                f"{folder}: another process is writing this run; wait for it to end"
            ) from None
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Let others in."""
        self._file.close()


def open_locked(out: str | Path) -> Lock:
    """Make the folder that `--out` names, and lock it.

    Raises:
        UserError: it is named by nothing, is no folder, cannot be written, or somebody has it.
    """
    folder = out_folder(out)
    try:
        make_folder(folder)
        return Lock(folder)
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be written ({error.strerror}); choose another --out"
        ) from None


def out_folder(out: str | Path) -> Path:
    """The folder that `--out` names, there or not.

    Raises:
        UserError: it is named by nothing, or something else stands there: a file, a device, a link.
    """
    if not str(out):
        raise UserError("--out is empty; name a folder to write to")
    folder = Path(out)
    refuse_unfit(folder, stat.S_ISDIR)
    return folder
