"""What Linux and macOS have and Windows lacks, so that the package can be imported without it."""

import os
import signal
from typing import IO

from instructgpt.errors import UserError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

HANGUP = getattr(signal, "SIGHUP", None)
"""The signal of a terminal that was closed."""
STOPPING = tuple(number for number in (signal.SIGTERM, HANGUP) if number is not None)
"""The signals that ask a command to end, besides Ctrl-C."""
NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
"""How to open a file so that a link is refused and a pipe does not wait for its other end."""


def hold(file: int | IO[bytes] | IO[str], *, wait: bool = False) -> None:
    """Keep others from an open file until it is closed or this process dies.

    Raises:
        BlockingIOError: somebody has it, and we do not `wait`.
        OSError: the file system, or the whole system, has no such locks.
    """
    if fcntl is None:
        raise OSError("this system has no such file locks")
    fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


def require_locks() -> None:
    """Runs are written under a lock, and in folders that are synced.

    Raises:
        UserError: this system has neither.
    """
    if fcntl is None:
        raise UserError(
            "runs cannot be written on Windows, which lacks the file locks that keep them whole; "
            "run the command in WSL 2"
        )
