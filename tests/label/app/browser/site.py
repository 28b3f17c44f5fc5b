"""The app as a team runs it, on SQLite, and what is asked of its people."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from argon2 import PasswordHasher
from playwright.sync_api import Page

from instructgpt.data.records import Candidates
from instructgpt.store import Store
from instructgpt.store.accounts import Role
from instructgpt.store.desk import Asked, Item
from tests.label.app.process import Server

PEOPLE = {"ann": Role.LABELER, "ben": Role.LABELER, "rae": Role.RESEARCHER, "ada": Role.ADMIN}
PASSWORD = "a long sentence that is a password"


class Site(AbstractContextManager):
    """A store and a server on it.

    Args:
        folder: for the store's file.
        people: who has an account, and in which role.

    Attributes:
        server: the process.
        address: of the server.
        store: the same database as the server's.
    """

    def __init__(self, folder: Path, people: dict[str, Role] = PEOPLE) -> None:
        url = f"sqlite:///{folder / 'store.db'}"
        self.store = Store.open(url)
        hashed = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(PASSWORD)
        for name, role in people.items():
            token = self.store.accounts.add(name, role, by="setup")
            self.store.accounts.accept(token, hashed)
        self.server = Server(url, folder)
        self.address = self.server.address
        self._queues: list[str] = []

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

    def __exit__(self, *_: object) -> None:
        self.server.end()
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
    names = "red green blue white black gray pink brown orange teal gold navy".split()
    return answers(*[f"The color is {name}." for name in names[:count]], **more)


def by_place(item: Item, **ranks: int) -> tuple[int, ...]:
    """Ranks by letter as the ranks of the answers as they were queued."""
    letters = "ABCDEFGHIJKL"[: len(item.shown_order)]
    return tuple(
        ranks[letters[item.shown_order.index(place)]] for place in range(len(item.shown_order))
    )
