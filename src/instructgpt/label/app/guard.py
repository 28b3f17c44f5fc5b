"""A rule says of a route who may use it; the guard lets nobody else through to its handler."""

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import monotonic

from anyio import CapacityLimiter, to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from instructgpt.errors import UserError
from instructgpt.label.app.pages import refusal, refused, require_text, wants_json
from instructgpt.label.app.security import bounded, read_body, refuse_host, refuse_stranger
from instructgpt.label.app.sessions import log_in, person_of
from instructgpt.run.progress import say

NOBODY = ()
LABELERS = ("labeler", "researcher", "admin")
RESEARCHERS = ("researcher", "admin")
ADMINS = ("admin",)
BODY, UPLOAD = 2 * 2**20, 256 * 2**20
"""Bytes of a request: of a form or a draft, and of one that brings a file."""


class Threads:
    """How many handlers run at a time. More would wait for each other: those that read for Python's
    lock, those that change for the database's, and neither in the order in which they came.

    Attributes:
        reading: those that change nothing.
        changing: those of labelers, one by one.
        long: those that take a while, as reading a file.
        hashing: those that hash passwords, each of which takes 64 MiB.
    """

    def __init__(self) -> None:
        self.reading, self.changing = CapacityLimiter(4), CapacityLimiter(1)
        self.long, self.hashing = CapacityLimiter(2), CapacityLimiter(2)


@dataclass(frozen=True)
class Rule:
    """A route, and who may use it.

    Attributes:
        method: GET or POST.
        path: as Starlette has it.
        handler: a function of a request, which runs in a thread.
        roles: who may use it; `NOBODY` for a page that needs no account.
        own: whether `number` in the path names an item of the person who asks: of others' items
            nobody is told that they are there.
        brings_file: whether the form may hold a file.
        is_long: whether it may take a while.
        hashes: whether it hashes passwords.
        quiet: whether it is too frequent for the log.
    """

    method: str
    path: str
    handler: Callable[[Request], Response]
    roles: tuple[str, ...]
    own: bool = False
    brings_file: bool = False
    is_long: bool = False
    hashes: bool = False
    quiet: bool = False

    @property
    def route(self) -> Route:
        """The route, with the guard before its handler."""
        return Route(self.path, Guard(self), methods=[self.method])


class Guard:
    """An ASGI application: the handler of a rule, for those who may use it.

    Attributes:
        rule: what it keeps.
    """

    def __init__(self, rule: Rule) -> None:
        self.rule = rule

    async def __call__(self, scope, receive, send) -> None:
        """As any ASGI application."""
        request, begun = Request(scope, receive), monotonic()
        try:
            answer = await self._answer(request)
        except HTTPException as error:
            answer = refused(request, error)
        except UserError as error:
            answer = refusal(request, 422, str(error))
        except Exception as error:
            # Its words may hold what somebody wrote, or a secret; where it came from does not.
            place = "".join(traceback.format_tb(error.__traceback__))
            say(f"failed: {type(error).__name__} at\n{place}")
            answer = refusal(request, 500, "This failed on the server. Nothing was changed.")
        self._log(request, answer.status_code, monotonic() - begun)
        await answer(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        """What the handler answers, or what whoever may not use it is told.

        Raises:
            HTTPException: the request is refused.
            UserError: what it asks for cannot be.
        """
        rule, state = self.rule, request.app.state
        refuse_host(request, state.address)
        try:
            for value in request.path_params.values():
                require_text(str(value))
        except UserError:
            raise HTTPException(404) from None
        if request.method != "POST":
            return await to_thread.run_sync(
                lambda: self._admit(request) or self._handle(request),
                limiter=state.threads.reading,
            )
        refuse_stranger(request, state.address)
        admit = partial(self._admit, request)
        refused = await to_thread.run_sync(admit, limiter=state.threads.reading)
        if refused and not (refused.status_code == 401 and rule.own and not wants_json(request)):
            return refused
        if rule.brings_file and request.headers.get("content-type", "").startswith("multipart/"):
            async with bounded(request, UPLOAD).form(max_files=1, max_fields=50) as form:
                request.state.fields = form.multi_items()
                return await self._change(request)
        request.state.body = await read_body(request, BODY)
        if refused:
            return log_in(request)
        return await self._change(request)

    async def _change(self, request: Request) -> Response:
        """What the handler answers to a POST."""
        rule, threads = self.rule, request.app.state.threads
        limiter = threads.hashing if rule.hashes else threads.changing
        limiter = threads.long if rule.is_long else limiter
        return await to_thread.run_sync(partial(self._handle, request), limiter=limiter)

    def _admit(self, request: Request) -> Response | None:
        """Nothing for whoever may use it; for others the answer."""
        rule = self.rule
        if rule.roles == NOBODY:
            return None
        person = person_of(request)
        if person is None:
            return log_in(request)
        request.state.person = person
        if person.role not in rule.roles:
            return refusal(request, 403, "This page is for others. Ask an admin for the role.")
        return None

    def _handle(self, request: Request) -> Response:
        """What the handler answers, if the item of the path is the person's who asks. It is read
        here, so that nothing changes between this and what the handler does.
        """
        if self.rule.own:
            desk, number = request.app.state.store.desk, request.path_params["number"]
            item = desk.held(number) if request.method == "POST" else desk.item(number)
            if item is None or item.labeler != request.state.person.name:
                raise HTTPException(404)
            request.state.item = item
        return self.rule.handler(request)

    def _log(self, request: Request, status: int, seconds: float) -> None:
        """Changes and refusals; no query, no invitation, nothing that was sent."""
        if self.rule.quiet or (
            status < 400 and (request.method != "POST" or request.app.state.alone)
        ):
            return
        path = self.rule.path if "token" in request.path_params else request.url.path
        person = getattr(request.state, "person", None)
        name = person.name if person else "nobody"
        say(f"{request.method} {path} {status} {1000 * seconds:.0f} ms {name}")
