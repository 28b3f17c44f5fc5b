"""What every request is held against, whoever sends it, and what every answer carries."""

import asyncio
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from instructgpt.errors import UserError

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    # Not `no-referrer`, with which browsers say of a form of ours that it comes from nowhere.
    "Referrer-Policy": "same-origin",
}
SLOWEST = 60.0
"""Seconds in which a request's body has to be here."""
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True)
class Address:
    """Under which address people reach the app.

    Attributes:
        url: without a slash at its end.
        hosts: what the Host header may say.
    """

    url: str
    hosts: frozenset[str]

    @classmethod
    def of(cls, url: str | None, host: str, port: int) -> "Address":
        """From `--url`, or else from where the server listens.

        Raises:
            UserError: it is none of http or https, or is missing where it cannot be told.
        """
        own = f"[{host}]" if ":" in host else host
        if url is None and own in ("0.0.0.0", "[::]"):
            raise UserError(
                f"--host {host}: listens on every address of this machine; say with --url under "
                "which one people reach it, as in --url https://label.example.org"
            )
        try:
            parts = urlsplit(f"http://{own}:{port}" if url is None else url)
            is_one = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            is_one, parts = False, urlsplit("")
        if not is_one or parts.path.strip("/") or parts.query or parts.fragment or parts.username:
            raise UserError(f"--url {url}: give scheme and host, as in https://label.example.org")
        hosts = {parts.netloc.lower()}
        if parts.scheme == "http" and own in LOOPBACK:
            hosts |= {f"{name}:{port}" for name in LOOPBACK}
        return cls(f"{parts.scheme}://{parts.netloc.lower()}", frozenset(hosts))

    def invitation(self, token: str) -> str:
        """The link that one gives to somebody who is invited."""
        return f"{self.url}/invite/{token}"

    @property
    def is_tls(self) -> bool:
        """Whether a proxy in front speaks TLS."""
        return self.url.startswith("https:")


class Headers:
    """Adds to every answer what browsers have to know. Pages are not to be kept by anybody; what is
    under /static/ may be, if it is asked for whether it is still so.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As any ASGI application."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        return await self.app(scope, receive, sent)


def refuse_host(request: Request, address: Address) -> None:
    """The Host header must name this app: another name that leads here may be an attack on it.

    Raises:
        HTTPException: 400, it does not.
    """
    if request.headers.get("host", "").lower() not in address.hosts:
        raise HTTPException(400, f"This is not the address of this app: it is {address.url} .")


def refuse_stranger(request: Request, address: Address) -> None:
    """A change must come from a page of ours. Every browser says where it comes from; a program has
    to say so, too (`Origin: URL`), so that nothing passes for lack of a header.

    Raises:
        HTTPException: 403, it comes from elsewhere, or does not say.
    """
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
    scheme = "https" if address.is_tls else "http"
    ours = f"{scheme}://{request.headers.get('host', '').lower()}"
    is_ours = origin.lower() == ours if origin is not None else site is not None
    if not is_ours or site not in (None, "same-origin"):
        raise HTTPException(403, "This did not come from a page of this app. Load the page again.")


async def read_body(request: Request, limit: int) -> bytes:
    """The body of a request.

    Raises:
        HTTPException: 413, it is longer than `limit` bytes; 408, it does not arrive.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(SLOWEST):
            async for part in bounded(request, limit).stream():
                body += part
    except TimeoutError:
        raise HTTPException(408, "The request did not arrive. Try again.") from None
    return bytes(body)


def bounded(request: Request, limit: int) -> Request:
    """The same request, whose body breaks off where it gets longer than `limit` bytes.

    Raises:
        HTTPException: 413, it says itself that it is longer, or is when it is read.
    """
    too_long = HTTPException(413, f"Too much was sent: {limit:,} bytes are taken.")
    said = request.headers.get("content-length", "0")
    if not said.isdigit() or int(said[:20]) > limit:
        raise too_long
    count = 0

    async def receive() -> Message:
        nonlocal count
        message = await request.receive()
        count += len(message.get("body", b""))
        if count > limit:
            raise too_long
        return message

    return Request(request.scope, receive)


class Attempts:
    """How often something was tried lately, by whom; of at most `keys` of them, those that tried
    last.
    """

    def __init__(self, most: int, seconds: float, keys: int = 10_000) -> None:
        self.most, self.seconds, self.keys = most, seconds, keys
        self._tried: OrderedDict[str, deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def try_once(self, key: str) -> float:
        """Count an attempt; 0.0, or the seconds until the next is allowed (and this one is not)."""
        now = time.monotonic()
        with self._lock:
            tried = self._tried.setdefault(key, deque())
            self._tried.move_to_end(key)
            while tried and tried[0] <= now - self.seconds:
                tried.popleft()
            if len(tried) >= self.most:
                return tried[0] + self.seconds - now
            tried.append(now)
            while len(self._tried) > self.keys:
                self._tried.popitem(last=False)
            return 0.0

    def take_back(self, key: str, *, all: bool = False) -> None:
        """The last attempt was none to be counted, or none of them was."""
        with self._lock:
            tried = self._tried.get(key)
            if tried:
                tried.pop()
            if all or not tried:
                self._tried.pop(key, None)


def limited(pairs: Sequence[tuple[Attempts, str]]) -> float:
    """Count an attempt with each; the longest of the seconds that one has to wait."""
    waits = [attempts.try_once(key) for attempts, key in pairs]
    if wait := max(waits):
        for (attempts, key), own in zip(pairs, waits, strict=True):
            if not own:
                attempts.take_back(key)
        return wait
    return 0.0
