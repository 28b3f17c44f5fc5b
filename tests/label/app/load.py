"""People at work on a real server: they open items and submit rankings, some twice at once; in the
middle the server is killed. Afterwards all that was acknowledged is counted in the database.

The long form is `benchmarks/label_load.py`.
"""

import asyncio
import random
import re
import signal
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

import httpx
from sqlalchemy import func, select

from instructgpt.label.app.sessions import SECONDS
from instructgpt.store import Store
from instructgpt.store.accounts import Role
from instructgpt.store.desk import Asked
from instructgpt.store.tables import rankings, submissions
from tests.label.app.process import Server
from tests.label.app.served import candidates

OVERLAP, TWICE, K = 2, 0.1, 4
CATCHING_UP = 10.0
"""Seconds after the server is back in which what everybody sent again is answered."""
KEY = re.compile(r'name="key" value="([\w-]+)"')


@dataclass
class Seen:
    """What people saw: seconds of each answered request by kind, those apart that all sent again
    when the server was back; the order that was acknowledged of each item; how often nobody
    answered; until when the server is catching up.
    """

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    acknowledged: dict[int, tuple[str, str]] = field(default_factory=dict)
    unanswered: int = 0
    catching_up: float = 0.0
    refused: Counter[int] = field(default_factory=Counter)


class Person:
    """Somebody at work."""

    def __init__(self, client: httpx.AsyncClient, name: str, token: str, seen: Seen) -> None:
        self._client, self._seen, self._random = client, seen, random.Random(name)
        self.name = name
        cookie = f"session-{client.base_url.port or 80}={token}"
        self._headers = {"Cookie": cookie, "Origin": str(client.base_url).rstrip("/")}

    async def work(self, until: float, pause: tuple[float, float]) -> None:
        """Rank one item after the other; what was begun is brought to its end."""
        await asyncio.sleep(self._random.uniform(0, pause[1]))
        while time.monotonic() < until:
            answer = await self._ask("next", "POST", "/work/next")
            place = answer.headers.get("location", "")
            while place.startswith("/item/") and time.monotonic() < until:
                page = await self._ask("page", "GET", place)
                await asyncio.sleep(self._random.uniform(*pause))
                place = await self._submit(place.partition("?")[0], page.text)

    async def _submit(self, path: str, page: str) -> str:
        """Hand in an order; where to go then."""
        key = KEY.search(page)
        assert key, page[:500]
        letters = self._random.sample("abcd", K)
        order = "".join(a + self._random.choice(">=") for a in letters)[:-1]
        form = {"key": key[1], "order": order, "seconds": "9.5"}
        times = 2 if self._random.random() < TWICE else 1
        answers = [self._ask("submit", "POST", path, data=form) for _ in range(times)]
        answer, *_ = await asyncio.gather(*answers)
        if answer.status_code == 303:
            self._seen.acknowledged[int(path.rpartition("/")[2])] = (self.name, order)
        else:
            self._seen.refused[answer.status_code] += 1
        return answer.headers.get("location", "")

    async def _ask(self, kind: str, method: str, path: str, **more: Any) -> httpx.Response:
        """Ask until somebody answers, as the page does."""
        while True:
            begun = time.monotonic()
            try:
                answer = await self._client.request(method, path, headers=self._headers, **more)
            except httpx.TransportError:
                self._seen.unanswered += 1
                await asyncio.sleep(1)
            else:
                kind += " after the kill" if begun < self._seen.catching_up else ""
                self._seen.seconds[kind].append(time.monotonic() - begun)
                return answer


def run(db: str, people: int, seconds: float, pause: tuple[float, float], kill: bool) -> Any:
    """Let people work, and count; what came of it."""
    with Store.open(db) as store:
        names = [f"person{number}" for number in range(people)]
        for name in names:
            store.accounts.add(name, Role.LABELER, by="the load")
        count = 20 + int(people * (seconds + pause[1]) / sum(pause) * 2 / OVERLAP * 1.5)
        batch = candidates(count, k=K, text="An answer of some length. " * 20)
        store.desk.make_queue("load", batch, overlap=OVERLAP, ratings=Asked.NONE, by="the load")
        tokens = [store.accounts.open_session(name, SECONDS) for name in names]
        server, seen = Server(db), Seen()
        asyncio.run(_all(server, list(zip(names, tokens, strict=True)), seconds, pause, kill, seen))
        ended = server.end()
        return _told(seen) | _counted(store, seen) | {"server_exit": ended}


async def _all(
    server: Server,
    people: list[tuple[str, str]],
    seconds: float,
    pause: tuple[float, float],
    kill: bool,
    seen: Seen,
) -> None:
    limits = httpx.Limits(max_connections=len(people), max_keepalive_connections=len(people))
    options: dict[str, Any] = {"limits": limits, "timeout": 60, "trust_env": False}
    async with httpx.AsyncClient(base_url=server.address, **options) as client:
        until = time.monotonic() + seconds
        at_work = [Person(client, *one, seen).work(until, pause) for one in people]
        work = asyncio.gather(*at_work)
        if kill:
            await asyncio.sleep(seconds / 2)
            seen.catching_up = float("inf")
            server.end(signal.SIGKILL)
            await asyncio.to_thread(server.start)
            seen.catching_up = time.monotonic() + CATCHING_UP
        await work


def _told(seen: Seen) -> dict[str, Any]:
    """Milliseconds, by kind of request."""
    told = {}
    for kind, taken in seen.seconds.items():
        ordered = sorted(1000 * one for one in taken)
        at = {name: ordered[int(share * (len(ordered) - 1))] for name, share in SHARES.items()}
        told[kind] = {"requests": len(ordered), **{k: round(v, 1) for k, v in at.items()}}
    return {
        "milliseconds": told,
        "unanswered": seen.unanswered,
        "refused": dict(seen.refused),
        "acknowledged": len(seen.acknowledged),
    }


SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "worst": 1.0}


def _counted(store: Store, seen: Seen) -> dict[str, int]:
    """What the database has of it: `lost` are acknowledged and not there as they were said;
    `double` are records, labels of one item or of one person that are one too many.
    """
    lost = 0
    for number, (name, order) in seen.acknowledged.items():
        item = store.desk.held(number)
        said = item.submission if item and item.state == "done" else None
        ranks = _ranks(order)
        expected = {place: ranks["abcd"[at]] for at, place in enumerate(item.shown_order)}
        mine = said and item.labeler == name and said.ranking.labeler_id == name
        lost += not (mine and said.ranking.ranks == tuple(expected[n] for n in range(K)))
    rows = store.rankings("load")
    by_task, by_person = Counter(key for key, _ in rows), Counter()
    by_person.update((key, ranking.labeler_id) for key, ranking in rows)
    with store.database.reading() as connection:
        submitted = connection.scalar(select(func.count()).select_from(submissions)) or 0
        facts = connection.scalar(select(func.count()).select_from(rankings)) or 0
    known = len(seen.acknowledged)
    double = sum(n - OVERLAP for n in by_task.values() if n > OVERLAP)
    double += sum(n - 1 for n in by_person.values()) + abs(submitted - known) + abs(facts - known)
    return {"lost": lost, "double": double, "in_database": len(rows)}


def _ranks(order: str) -> dict[str, int]:
    """By letter, reckoned from the order line: one more than how many are before."""
    groups = [group.split("=") for group in order.split(">")]
    before, found = 0, {}
    for group in groups:
        found |= dict.fromkeys(group, before + 1)
        before += len(group)
    return found
