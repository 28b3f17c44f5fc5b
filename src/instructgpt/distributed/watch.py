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
from datetime import timedelta

from torch.distributed import PrefixStore, Store

EVERY_SECONDS = 2.0
SILENT_SECONDS = 20.0
"""A process without a sign of life for this long counts as gone."""
TELLING_SECONDS = 3.0
"""How long a process that was told of a failure may take to tell its own."""


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
        self.rank, self.neighbour = rank, (rank + 1) % size
        self._ended = threading.Event()
        self._beats = 0
        self._thread = threading.Thread(target=self._watch, name="watch", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """All processes have come to their end."""
        self._ended.set()
        self._thread.join()

    def tell(self, reason: str) -> bool:
        """Let the others know why this process ends; False if another was first to say the same."""
        self._ended.set()
        try:
            if self.rank and self._wait_for_first():
                return reason not in self.store.get("failed").decode()
            if not self.store.check(["failed"]):
                self.store.set("failed", f"process {self.rank}: {reason}")
        except RuntimeError:  # the store is gone: its process failed first
            return True
        return True

    def _wait_for_first(self) -> bool:
        """A mistake of the user is found by all; the first process speaks for them."""
        begun = time.monotonic()
        while time.monotonic() - begun < TELLING_SECONDS / 2:
            if self.store.check(["failed"]):
                return True
            time.sleep(0.1)
        return False

    def _watch(self) -> None:
        seen, since = b"", time.monotonic()
        while not self._ended.wait(EVERY_SECONDS):
            try:
                self._beats += 1
                self.store.set(f"alive/{self.rank}", str(self._beats))
                if self.store.check(["failed"]):
                    self._give_up(self.store.get("failed").decode())
                    return
                sign = f"alive/{self.neighbour}"
                latest = self.store.get(sign) if self.store.check([sign]) else b""
            except RuntimeError:
                self._give_up("the process that holds the others together is gone")
                return
            if latest != seen:
                seen, since = latest, time.monotonic()
            elif time.monotonic() - since > SILENT_SECONDS:
                reason = f"process {self.neighbour} gave no sign of life for {SILENT_SECONDS:.0f} s"
                self.store.set("failed", reason)
                self._give_up(reason)
                return

    def _give_up(self, reason: str) -> None:
        """Leave, whatever collective the main thread waits in."""
        if self._ended.wait(TELLING_SECONDS):  # it found the failure itself
            return
        print(
            f"instructgpt: process {self.rank} ends because of {reason}; run the same command "
            "again to go on from the last checkpoint",
            file=sys.stderr,
            flush=True,
        )
        os._exit(1)
