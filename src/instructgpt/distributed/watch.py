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
    """Watches the next process in the ring, in a thread of its own, until `end`.

    Args:
        store: reached by all processes; the watch uses a connection of its own.
        rank: this process.
        size: how many there are.
    """

    def __init__(self, store: Store, rank: int, size: int) -> None:
        self.store = PrefixStore("watch", store.clone())
        self.store.set_timeout(timedelta(seconds=SILENT_SECONDS))
        self.rank, self.size, self.neighbour = rank, size, (rank + 1) % size
        self._ended = threading.Event()
        self._beats = 0
        self._thread = threading.Thread(target=self._watch, name="watch", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """All processes have come to their end."""
        self._ended.set()
        self._thread.join()

    def tell(self, reason: str) -> bool:
        """Let the others know why this process ends.

        Returns:
            Whether it is still to be said: not if another process was first to say the same, nor if
            this one only lost another, whose end was then said.
        """
        try:
            if any(sign in reason for sign in LOST) and (end := self._end_of_another()):
                self._say(end)
                self._tell_all(end)
                return False
            if self.rank and self._within(TELLING_SECONDS / 2, self._is_told):
                self._ended.set()
                return reason not in self._told()
            self._tell_all(f"process {self.rank}: {reason}")
        except RuntimeError:
            self._ended.set()
            self._say(self._store_is_gone)
            return not any(sign in reason for sign in LOST)
        return True

    def _tell_all(self, reason: str) -> None:
        """Before the first process takes the store with it, all others have heard the reason."""
        self._ended.set()
        if not self._is_told():
            self.store.set("failed", reason)
        if self.rank == 0:
            self._within(
                TELLING_SECONDS, lambda: self.store.add("heard", 0) >= self.size - 1
            )

    def _is_told(self) -> bool:
        return self.store.check(["failed"])

    def _told(self) -> str:
        self.store.add("heard", 1)
        return self.store.get("failed").decode()

    def _end_of_another(self) -> str:
        """Why another process ended, or which gives no more signs of life; else an empty string."""
        others = [rank for rank in range(self.size) if rank != self.rank]
        before = {rank: self._sign(rank) for rank in others}
        if self._within(2 * EVERY_SECONDS + 1, self._is_told):
            return self._told()
        gone = [str(rank) for rank in others if self._sign(rank) == before[rank]]
        return f"process {' and '.join(gone)}, which is gone" if gone else ""

    def _sign(self, rank: int) -> bytes:
        name = f"alive/{rank}"
        return self.store.get(name) if self.store.check([name]) else b""

    @property
    def _store_is_gone(self) -> str:
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
                    self._give_up(self._told())
                    return
                latest = self._sign(self.neighbour)
                if latest != seen:
                    seen, since = latest, time.monotonic()
                elif time.monotonic() - since > SILENT_SECONDS:
                    reason = (
                        f"process {self.neighbour}, which gave no sign of life for "
                        f"{SILENT_SECONDS:.0f} s"
                    )
                    self.store.set("failed", reason)
                    self._give_up(reason)
                    return
            except RuntimeError:
                self._give_up(self._store_is_gone)
                return

    def _give_up(self, reason: str) -> None:
        """Leave, whatever collective the main thread waits in."""
        if self._ended.wait(TELLING_SECONDS):  # it found the failure itself
            return
        self._say(reason)
        os._exit(1)

    def _say(self, reason: str) -> None:
        print(
            f"instructgpt: process {self.rank} ends because of {reason}; run the same command "
            "again to go on from the last checkpoint",
            file=sys.stderr,
            flush=True,
        )
