"""Requests of any kind at every route: nothing fails, nothing hangs, and nothing that was sent
becomes a part of a page.

The long form is `benchmarks/label_fuzz.py`.
"""

import asyncio
import json
import re
import time
from collections import Counter
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlencode

from argon2 import PasswordHasher
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from instructgpt.label.app import sessions
from instructgpt.label.app.guard import Rule
from instructgpt.label.app.pages import FORM, JSON
from instructgpt.label.app.routes import RULES
from instructgpt.label.app.security import CSP, Attempts
from instructgpt.label.app.sessions import SECONDS
from instructgpt.store.desk import Asked
from tests.label.app.served import HOST, ROLES, Site, candidates

MARK = "<script>alert(1)</script>"
HOSTILE = (MARK, f"' OR 1=1 --{MARK}", "\u202eevil", "a\0b", "\x1b[2J", "e" + "\u0301" * 999)
HOSTILE += ("javascript:alert(1)", "{{ 7*7 }}", "x" * 5000, "../../x", "", "٣", "²")
HOSTILE += ("1", "-1", "9" * 15, "9" * 99)
NAMES = ("first", "second", "lena", "lars", "rosa", "ada", "victim", "app.css", "nobody")
SLOWEST = 20.0
"""Seconds: of a request on a machine that has other work."""

words = st.one_of(st.sampled_from(HOSTILE), st.sampled_from(NAMES), st.text(max_size=40))
numbers = st.integers(0, 30).map(str) | st.sampled_from(("0", "007", "9" * 15, "9" * 16, "-1", "x"))
KEYS = "name role action password again next order key seconds revision reason note queue overlap k"
KEYS += " priority ratings guidelines run file sure hide_sensitive single_keys kept.order likert.A"
KEYS += " likert.B flag.A.hallucination flag.Z.x note.A note.Q before"
MEANT = {
    "action": ("settings", "pause", "go on", "guidelines", "role", "open", "end", "invite"),
    "role": tuple(ROLES.values()),
    "ratings": ("full", "likert", "none"),
    "order": ("a > b > c > d", "b a=d c", "d c b a", "a"),
    "likert.A": tuple("1234567"),
    "likert.B": tuple("1234567"),
    "reason": ("unclear", "other"),
    "overlap": ("1", "2", "3"),
    "priority": ("0", "5"),
    "key": ("k1", "k2", "k3"),
    "seconds": ("0", "12.5", "nan", "inf", "1e99"),
}
"""What a field is meant to hold."""
fields = st.lists(
    st.sampled_from(KEYS.split()).flatmap(
        lambda key: st.tuples(st.just(key), st.sampled_from(MEANT.get(key, ("",))) | words)
    )
    | st.tuples(words, words),
    max_size=8,
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)
said = st.fixed_dictionaries(
    {},
    optional={
        "likert": st.integers(0, 8) | values,
        "flags": st.just(["hallucination"]) | values,
        "note": words | values,
    },
)
drafts = st.fixed_dictionaries(
    {},
    optional={
        "revision": st.integers(-1, 2**40) | values,
        "draft": st.fixed_dictionaries(
            {},
            optional={
                "ratings": st.dictionaries(st.sampled_from("ABCDZ"), said, max_size=3) | values,
                "order": words | values,
                "seconds": st.floats() | values,
                "ranks": st.dictionaries(st.sampled_from("ABCDZ"), st.integers(-1, 9)) | values,
            },
        )
        | values,
    },
)


class Sent(NamedTuple):
    """A request."""

    who: str | None
    method: str
    path: str
    query: str
    headers: list[tuple[str, str]]
    body: bytes


@st.composite
def bodies(draw: st.DrawFn) -> tuple[str, bytes]:
    """A body, and the type that it is said to have."""
    kind = draw(st.sampled_from((*["form"] * 3, "json", "draft", "file", "bytes", "none")))
    if kind == "form":
        return FORM, urlencode(draw(fields), errors="replace").encode()
    if kind in ("json", "draft"):
        return JSON, json.dumps(draw(drafts if kind == "draft" else values)).encode()
    if kind == "file":
        rows = [one.model_dump(mode="json") for one in candidates(2, text=draw(words))]
        lines = "\n".join(map(json.dumps, rows)) if draw(st.booleans()) else draw(words)
        parts = [(name, "", value) for name, value in draw(fields)]
        parts.append(("file", '; filename="a.jsonl"', lines))
        return "multipart/form-data; boundary=b", _multipart(parts)
    return draw(st.sampled_from(("", "text/plain", JSON))), (
        draw(st.binary(max_size=200)) if kind == "bytes" else b""
    )


def _multipart(parts: list[tuple[str, str, str]]) -> bytes:
    made = [
        f'--b\r\nContent-Disposition: form-data; name="{quote(name)}"{more}\r\n\r\n{value}\r\n'
        for name, more, value in parts
    ]
    return ("".join(made) + "--b--\r\n").encode("utf-8", "replace")


@st.composite
def requests(draw: st.DrawFn) -> Sent:
    """A request, more often than not one that a route takes."""
    rule: Rule = draw(st.sampled_from(RULES))

    def part(found: re.Match[str]) -> str:
        return draw(numbers) if found[2] == ":row" else quote(draw(words), safe="")

    path = re.sub(r"\{(\w+)(:\w+)?\}", part, rule.path)
    if draw(st.integers(0, 19)) == 0:
        path = "/" + quote(draw(words))
    method = draw(
        st.sampled_from((rule.method,) * 8 + ("GET", "POST", "HEAD", "PUT", "OPTIONS", "X"))
    )
    kind, body = draw(bodies()) if method not in ("GET", "HEAD") else ("", b"")
    headers = [("host", HOST.removeprefix("http://")), ("content-type", kind)]
    headers += [("content-length", str(len(body)))] if draw(st.integers(0, 9)) else []
    if draw(st.integers(0, 9)):
        headers.append(("origin", HOST))
    if draw(st.booleans()):
        headers.append(("accept", "application/json"))
    if not draw(st.integers(0, 9)):
        name = draw(st.sampled_from(("host", "cookie", "accept", "range", "x-forwarded-for", "te")))
        headers.append((name, draw(words)))
    query = urlencode(draw(fields), errors="replace") if draw(st.integers(0, 3)) == 0 else ""
    return Sent(draw(st.sampled_from((None, *ROLES))), method, path, query, headers, body)


class Fuzzed(AbstractContextManager):
    """A site that is asked anything.

    Attributes:
        counts: how many requests were answered with which status.
        slowest: the seconds of the one that took longest.
    """

    def __init__(self, folder: Path) -> None:
        sessions._hasher = PasswordHasher(1, 64, 1)
        sessions._nobodys.cache_clear()
        self.site = Site(folder).with_people().with_queue(count=9)
        self.site.with_queue("second", 9, Asked.FULL)
        self.site.store.accounts.add("victim", ROLES["ada"], by="the test")
        self.site.app.state.attempts = (Attempts(10**9, 60), Attempts(10**9, 60))
        for name in ROLES:
            self.site.store.desk.next(name, "second")
        self.tokens = dict.fromkeys(ROLES, "")
        self.loop = asyncio.Runner()
        self.counts: Counter[int] = Counter()
        self.slowest = 0.0

    def ask(self, asked: Sent) -> None:
        """Ask, and look at the answer."""
        begun = time.monotonic()
        status, headers, body = self.loop.run(self._call(asked))
        self.slowest = max(self.slowest, time.monotonic() - begun)
        self.counts[status] += 1
        assert status < 500, (status, asked)
        assert headers["content-security-policy"] == CSP, asked
        assert MARK.encode() not in body, asked
        assert time.monotonic() - begun < SLOWEST, asked

    def look(self) -> None:
        """Whatever was sent, every page is still there."""
        pages = ["/work", "/history", "/keys", "/queues", "/queues/first", "/queues/second"]
        pages += ["/people", "/audit", "/guidelines/first"]
        pages += [f"/queues/second/items/{number}" for number in range(10, 19)]
        for path in pages:
            asked = Sent("ada", "GET", path, "", [("host", HOST.removeprefix("http://"))], b"")
            status, _, body = self.loop.run(self._call(asked))
            assert status == 200, (path, body)
            assert MARK.encode() not in body

    async def _call(self, asked: Sent) -> tuple[int, dict[str, str], bytes]:
        """The answer to a request, as a server would pass it on."""
        headers = [
            (name.encode(), value.encode("utf-8", "replace")) for name, value in asked.headers
        ]
        if asked.who:
            headers.append((b"cookie", f"session-8765={self._token(asked.who)}".encode()))
        scope: dict[str, Any] = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1"}
        scope |= {"method": asked.method, "scheme": "http", "path": unquote(asked.path)}
        scope |= {"raw_path": asked.path.encode(), "query_string": asked.query.encode()}
        scope |= {"root_path": "", "headers": headers, "client": ("127.0.0.1", 1), "server": None}
        sent: list[dict[str, Any]] = []
        parts = [{"type": "http.request", "body": asked.body, "more_body": False}]

        async def receive() -> dict[str, Any]:
            if parts:
                return parts.pop()
            await asyncio.sleep(SLOWEST)  # nothing more comes
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.site.app(scope, receive, send)
        start = {key.decode(): value.decode("latin-1") for key, value in sent[0]["headers"]}
        return sent[0]["status"], start, b"".join(part.get("body", b"") for part in sent[1:])

    def _token(self, name: str) -> str:
        """A session of somebody, whatever was done to the account."""
        accounts = self.site.store.accounts
        if accounts.session(self.tokens[name]) is None:
            accounts.change(name, by="the test", active=True)
            self.tokens[name] = accounts.open_session(name, SECONDS)
        if (person := accounts.find(name)) and person.role != ROLES[name]:
            accounts.change(name, by="the test", role=ROLES[name])
        return self.tokens[name]

    def __exit__(self, *given: object) -> None:
        self.loop.close()
        self.site.__exit__(*given)


def fuzz(fuzzed: Fuzzed, count: int, number: int) -> None:
    """Ask so many requests, drawn by a number."""

    @seed(number)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(requests())
    def any_request(asked: Sent) -> None:
        fuzzed.ask(asked)

    any_request()
    fuzzed.look()
