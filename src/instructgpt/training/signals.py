"""A stage finishes its step before a signal stops it."""

import signal
import threading
from types import FrameType
from typing import Any

from instructgpt.distributed.world import World
from instructgpt.run.progress import say
from instructgpt.run.stopping import leave_terminal
from instructgpt.run.system import HANGUP, STOPPING


class StopSignals:
    """First Ctrl-C, SIGTERM or closed terminal: finish the step, save, stop. Second: stop at once.

    Args:
        world: is asked to stop.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._before: dict[signal.Signals, Any] = {}

    def catch(self) -> None:
        """From now on; who ignores a signal goes on doing so."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGINT, *STOPPING):
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._on_signal)

    def release(self) -> None:
        """As it was before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if number == HANGUP:
            leave_terminal()
        if not self._world.asked_to_stop:
            self._world.ask_to_stop()
            say("finishing this step and saving; press Ctrl-C again to stop at once")
        elif self._world.size == 1:  # torchrun hands every signal on, to processes that had it too
            raise KeyboardInterrupt
