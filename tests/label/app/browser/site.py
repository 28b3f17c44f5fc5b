"""The app as a team runs it: `instructgpt label serve` in a process of its own, on SQLite."""

import os
import signal
import socket
import time
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from argon2 import PasswordHasher
from playwright.sync_api import Page

from instructgpt.data.records import Candidates
from instructgpt.store import Store
from instructgpt.store.accounts import Role
from instructgpt.store.desk import Asked, Item
from tests.preloaded import Program

PEOPLE = {"ann": Role.LABELER, "ben": Role.LABELER, "rae": Role.RESEARCHER, "ada": Role.ADMIN}
PASSWORD = "a long sentence that is a password"


class Site:
    """A store and a server on it.

    Args:
        folder: for the store's file.
        people: who has an account, and in which role.

    Attributes:
        store: the same database as the server's.
        address: of the server.
    """

    def __init__(self, folder: Path, people: dict[str, Role] = PEOPLE) -> None:
        self.url = f"sqlite:///{folder / 'store.db'}"
        self.folder = folder
        self.store = Store.open(self.url)
        hashed = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(PASSWORD)
        for name, role in people.items():
            token = self.store.accounts.add(name, role, by="setup")
            self.store.accounts.accept(token, hashed)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self._queues: list[str] = []
        self.start()

    def start(self) -> None:
        """Serve; returns when it answers."""
        arguments = ["-m", "instructgpt", "label", "serve", "--db", self.url]
        self.server = Program([*arguments, "--port", str(self.port)], folder=self.folder)
        for _ in range(300):
            with suppress(OSError), urllib.request.urlopen(f"{self.address}/healthz", timeout=5):
                return
            assert self.server.poll() is None, self.server.complained
            time.sleep(0.1)
        raise AssertionError("the server does not answer")

    def kill(self) -> None:
        """Kill the server at once, as a power cut would."""
        os.kill(self.server.pid, signal.SIGKILL)
        self.server.wait(30)

    def log_in(self, page: Page, name: str) -> None:
        """Log in on the page."""
        page.goto(f"{self.address}/login")
        page.get_by_label("Name").fill(name)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url("**/work")

    def queue(self, name: str, batch: Sequence[Candidates], **settings: Any) -> str:
        """Make a queue, of which alone there are items from now on."""
        for earlier in self._queues:
            self.store.desk.change_queue(earlier, by="rae", paused=True)
        settings = {"overlap": 1, "ratings": Asked.FULL, "by": "rae"} | settings
        self.store.desk.make_queue(name, batch, **settings)
        self._queues = [name]
        return name

    def item(self, page: Page) -> Item:
        """The store's item of the page's address."""
        number = int(page.url.partition("/item/")[2].partition("?")[0])
        found = self.store.desk.item(number)
        assert found
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.server.poll() is None:
            os.kill(self.server.pid, signal.SIGTERM)
            self.server.wait(30)
        self.store.close()


def answers(*texts: str, prompt: Any = "Name a color.", **more: Any) -> Candidates:
    """Answers by models of these texts; one that ends with … was cut off."""
    responses = [
        {
            "text": text,
            "model": f"secret-model-{place}",
            "sampling": {"temperature": 0.7310585, "finished": not text.endswith("…")},
        }
        for place, text in enumerate(texts)
    ]
    return Candidates.model_validate({"prompt": prompt, "responses": responses, **more})


def colors(count: int, **more: Any) -> Candidates:
    """So many different answers."""
    names = "red green blue white black gray pink brown orange".split()
    return answers(*[f"The color is {name}." for name in names[:count]], **more)


def by_place(item: Item, **ranks: int) -> tuple[int, ...]:
    """Ranks by letter as the ranks of the answers as they were queued."""
    letters = "ABCDEFGHI"[: len(item.shown_order)]
    return tuple(
        ranks[letters[item.shown_order.index(place)]] for place in range(len(item.shown_order))
    )
