"""SIGTERM and a closed terminal stop a command as Ctrl-C does: in order, with its status written.

Training finishes its step first (`TrainingRun`); everything else can be left at any moment, because
what it has done is on the disk.
"""

import os
import signal
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from instructgpt.run.system import HANGUP, STOPPING


@contextmanager
def stoppable() -> Iterator[None]:
    """SIGTERM and SIGHUP raise KeyboardInterrupt inside, where they would end the process.

    Who ignores them (nohup) or takes them goes on doing so.
    """
    ours = [n for n in STOPPING if _may_set() and signal.getsignal(n) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, _stop)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def to_the_end() -> Iterator[None]:
    """A few lines that no signal interrupts; one that comes meanwhile is obeyed afterwards."""
    came: list[int] = []
    before = {}
    for number in (signal.SIGINT, *STOPPING):
        if _may_set() and callable(signal.getsignal(number)):
            before[number] = signal.signal(number, lambda number, _: came.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        before[came[0]](came[0], None)


def leave_terminal() -> None:
    """The terminal is closed: whatever is still said goes nowhere, instead of failing."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        if stat.S_ISCHR(os.fstat(descriptor).st_mode):
            os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _stop(number: int, _frame: FrameType | None) -> None:
    if number == HANGUP:
        leave_terminal()
    raise KeyboardInterrupt


def _may_set() -> bool:
    return threading.current_thread() is threading.main_thread()
