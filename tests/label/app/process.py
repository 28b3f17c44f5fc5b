"""`instructgpt label serve` in a process of its own, as a team runs it."""

import re
import signal
import time
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tests.preloaded import Program


class Server:
    """The labelers' app on a port that is free.

    Args:
        db: the store's URL.
        folder: where it runs; by default where the test does.
        flags: further ones.

    Attributes:
        address: where it answers, also when it is started again.
        program: its process.
    """

    def __init__(self, db: str, folder: Path | None = None, flags: Sequence[str] = ()) -> None:
        self._words = ["-m", "instructgpt", "label", "serve", "--db", db, *flags, "--port"]
        self._folder = folder
        self.address = ""
        self.start()

    def start(self) -> None:
        """Serve; returns when it answers."""
        port = self.address.rpartition(":")[2] or "0"
        self.program = Program([*self._words, port], folder=self._folder)
        for _ in range(600):
            if found := re.search(r"labeling on (\S+),", self.program.complained):
                self.address = found[1]
                with suppress(OSError), urllib.request.urlopen(f"{found[1]}/healthz", timeout=5):
                    return
            assert self.program.poll() is None, self.program.complained
            time.sleep(0.1)
        raise AssertionError("the server does not answer")

    def end(self, number: int = signal.SIGTERM) -> int:
        """With a signal, by default the one that asks; its exit code."""
        self.program.send_signal(number)
        return self.program.wait(30)
