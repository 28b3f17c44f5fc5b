"""The labelers' app over a store of its own, and people who use it."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Self

from starlette.testclient import TestClient

from instructgpt.data.records import Candidates, Response
from instructgpt.label.app.security import Address
from instructgpt.label.app.server import make_app
from instructgpt.label.app.sessions import SECONDS, cookie_name
from instructgpt.store import Store
from instructgpt.store.accounts import Role
from instructgpt.store.desk import Asked

HOST = "http://127.0.0.1:8765"
SCRIPT = {"Accept": "application/json"}
ROLES = {"lena": Role.LABELER, "lars": Role.LABELER, "rosa": Role.RESEARCHER, "ada": Role.ADMIN}


def candidates(count: int = 4, *, k: int = 4, text: str = "answer") -> list[Candidates]:
    """Prompts with K answers each, none of which is equal to another."""
    return [
        Candidates(
            prompt=f"prompt {number}",
            responses=tuple(
                Response(text=f"{text} {number} {place}", model=f"m{place}") for place in range(k)
            ),
        )
        for number in range(count)
    ]


class Site(AbstractContextManager):
    """The app in this process.

    Attributes:
        store: what it works on; in the folder given.
        app: Starlette's.
    """

    def __init__(self, folder: Path, url: str | None = None) -> None:
        self.store = Store.open(f"sqlite:///{folder / 'store.db'}")
        self.address = Address.of(url, "127.0.0.1", 8765)
        self.app = make_app(self.store, self.address, folder / "runs")
        self.clients: list[TestClient] = []

    def with_people(self) -> Self:
        """Two labelers, a researcher and an admin."""
        for name, role in ROLES.items():
            self.store.accounts.add(name, role, by="the test")
        return self

    def with_queue(self, name: str = "first", count: int = 4, ratings: Asked = Asked.NONE) -> Self:
        """A queue of some prompts, each for two labelers."""
        self.store.desk.make_queue(
            name, candidates(count), overlap=2, ratings=ratings, guidelines="Be *kind*.", by="rosa"
        )
        return self

    def client(self, name: str | None = None) -> TestClient:
        """A browser, of somebody who is logged in or of nobody; what it sends comes from a page."""
        made = TestClient(self.app, base_url=self.address.url, follow_redirects=False)
        made.headers["Origin"] = self.address.url
        made.__enter__()
        if name:
            token = self.store.accounts.open_session(name, SECONDS)
            made.cookies.set(cookie_name(self.address), token)
        self.clients.append(made)
        return made

    def __exit__(self, *_: object) -> None:
        for client in self.clients:
            client.__exit__(None, None, None)
        self.store.close()
