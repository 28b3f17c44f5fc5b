"""A process that dies or hangs ends the others within half a minute, and says why.

Collectives alone would wait: NCCL does not notice a peer that is gone, and nobody notices one that
is stopped. Each process therefore leaves a sign of life in the store that brought them together and
looks for its neighbour's; whoever finds the neighbour gone, or fails itself, writes the reason
where all others look.
"""

import os
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta

from torch.distributed import PrefixStore, Store

EVERY_SECONDS = 2.0
SILENT_SECONDS = 20.0
"""A process without a sign of life for this long counts as gone."""
TELLING_SECONDS = 3.0
"""How long a process that was told of a failure may take to tell its own."""
LOST = ("gloo/", "NCCL", "TCPStore")
"""What stands in the error of a collective whose other end is gone."""


class Watch:
    """Watches the next process in the ring, in threads of its own, until `end`.

    Args:
        store: reached by all processes; the watch uses a connection of its own.
        rank: this process.
        size: how many there are.
    """

    def __init__(self, store: Store, rank: int, size: int) -> None:
        self.store = PrefixStore("watch", store.clone())  # type: ignore[attr-defined]
        self.store.set_timeout(timedelta(seconds=SILENT_SECONDS))
        self.rank, self.size, self.neighbour = rank, size, (rank + 1) % size
        self._told = ""  # why another process ended
        self._ended = threading.Event()
        self._beats, self._turned = 0, time.monotonic()
        self._threads = [
            threading.Thread(target=target, name="watch", daemon=True)
            for target in (self._watch, self._watch_store)
        ]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """All processes have come to their end."""
        self._ended.set()
        # A thread still inside the store's C++ when the interpreter ends would abort the process.
        for thread in self._threads:
            thread.join(TELLING_SECONDS)

    def tell(self, reason: str) -> bool:
        """Let the others know why this process ends.

        Returns:
            Whether it is still to be said: not if another process was first to say the same, nor if
            this one only lost another, whose end was then said.
        """
        lost = any(sign in reason for sign in LOST)
        try:
            if lost and (end := self._end_of_another()):
                self._say(end)
                self._tell_all(end)
                return False
            if self.rank and self._within(TELLING_SECONDS / 2, self._is_told):
                return reason not in self._told
            self._tell_all(f"process {self.rank}: {reason}")
        except RuntimeError:
            self._ended.set()
            self._say(self._told or self._end_of_store)
            return not lost
        finally:
            self.end()
        return True

    def _tell_all(self, reason: str) -> None:
        self._ended.set()
        if not self._is_told():
            self.store.set("failed", reason)
        if self.rank == 0:  # the store may end with it: the others must have heard the reason
            self._within(TELLING_SECONDS, lambda: self.store.add("heard", 0) >= self.size - 1)

    def _is_told(self) -> bool:
        """Whether a process has told its end; keeps what it was."""
        if not self._told and self.store.check(["failed"]):
            self._told = self.store.get("failed").decode()
            self.store.add("heard", 1)
        return bool(self._told)

    def _end_of_another(self) -> str:
        """Why another process ended, or which gives no more signs of life; else an empty string."""
        others = [rank for rank in range(self.size) if rank != self.rank]
        before = [self._sign(rank) for rank in others]
        if self._within(2 * EVERY_SECONDS + 1, self._is_told):
            return self._told
        now = [self._sign(rank) for rank in others]
        gone = [str(r) for r, a, b in zip(others, before, now, strict=True) if a == b]
        return f"process {' and '.join(gone)}, which is gone" if gone else ""

    def _sign(self, rank: int) -> bytes:
        """The last sign of life of a process."""
        name = f"alive/{rank}"
        return self.store.get(name) if self.store.check([name]) else b""

    @property
    def _end_of_store(self) -> str:
        """torchrun keeps the store itself; without it the first process does."""
        holder = "torchrun" if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") else "process 0"
        return f"{holder}, which is gone"

    @staticmethod
    def _within(seconds: float, is_so: Callable[[], bool]) -> bool:
        """Whether something becomes true in that time."""
        begun = time.monotonic()
        while time.monotonic() - begun < seconds:
            if is_so():
                return True
            time.sleep(0.1)
        return False

    def _watch(self) -> None:
        seen, since = b"", time.monotonic()
        while not self._ended.wait(EVERY_SECONDS):
            try:
                self._beats += 1
                self.store.set(f"alive/{self.rank}", str(self._beats))
                if self._is_told():
                    self._give_up(self._told)
                latest = self._sign(self.neighbour)
                if latest != seen:
                    seen, since = latest, time.monotonic()
                elif time.monotonic() - since > SILENT_SECONDS:
                    end = f"process {self.neighbour}, silent for {SILENT_SECONDS:.0f} s"
                    self.store.set("failed", end)
                    self._give_up(end)
            except RuntimeError:
                self._give_up(self._told or self._end_of_store)
            self._turned = time.monotonic()

    def _watch_store(self) -> None:
        """A store whose process is stopped never answers, whatever its timeout."""
        while not self._ended.wait(EVERY_SECONDS):
            if time.monotonic() - self._turned > SILENT_SECONDS + EVERY_SECONDS:
                self._give_up(self._end_of_store)

    def _give_up(self, reason: str) -> None:
        """Leave, whatever collective the main thread waits in."""
        if not self._ended.wait(TELLING_SECONDS):  # else it found the failure itself
            self._say(reason)
            os._exit(1)

    def _say(self, reason: str) -> None:
        print(
            f"instructgpt: process {self.rank} ends because of {reason}; run the same command "
            "again to go on from the last checkpoint",
            file=sys.stderr,
            flush=True,
        )
