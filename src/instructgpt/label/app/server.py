"""The app as a whole, and the process that serves it."""

import errno
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import chain, count
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.convertors import CONVERTOR_TYPES, IntegerConvertor
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

from instructgpt.errors import UserError
from instructgpt.label.app.files import files
from instructgpt.label.app.guard import Rule, Threads
from instructgpt.label.app.pages import refused, templates
from instructgpt.label.app.routes import RULES
from instructgpt.label.app.security import Address, Headers
from instructgpt.label.app.sessions import attempts
from instructgpt.run.progress import say, show
from instructgpt.store import Store
from instructgpt.store.accounts import Role

PATIENCE = 10
"""Seconds that requests have to end when the server stops."""


class RowConvertor(IntegerConvertor):
    """The number of a row, in a path: no more digits than a store can hold."""

    regex = "[0-9]{1,15}"


CONVERTOR_TYPES["row"] = RowConvertor()


def make_app(
    store: Store,
    address: Address,
    runs: Path,
    *,
    rules: Sequence[Rule] = RULES,
    alone: object = None,
) -> Starlette:
    """The app.

    Args:
        store: where all of it is.
        address: under which people reach it.
        runs: the folder in which runs of `sample` are offered for queues.
        rules: its routes.
        alone: what is known of who ranks alone; None for a team's app.
    """
    app = Starlette(
        routes=[rule.route for rule in rules],
        middleware=[Middleware(Headers)],
        exception_handlers={HTTPException: _no_route},
    )
    templates()
    files()
    app.router.redirect_slashes = False
    app.state.store, app.state.address, app.state.runs = store, address, runs
    app.state.alone = alone
    app.state.attempts, app.state.agreement, app.state.threads = attempts(), {}, Threads()
    return app


def serve(
    db: str | None,
    *,
    host: str,
    port: int,
    url: str | None,
    runs: Path,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve the app until it is stopped.

    Args:
        db: the store's URL.
        host: where to listen.
        port: 0 for any that is free.
        url: under which address people reach it, if not there.
        runs: the folder in which runs of `sample` are offered for queues.
        ready: told the address, once connections are taken.

    Raises:
        UserError: the store cannot be opened, or the port is taken.
    """
    with Store.open(db) as store, listening(host, port) as own:
        address = Address.of(url, host, own.getsockname()[1])
        first = first_link(store, address)
        say(f"labeling on {address.url}, from {store.database.name}; Ctrl-C stops it")
        if first:
            show(f"the first admin logs in once by {first}")
        if ready:
            ready(address.url)
        with suppress(KeyboardInterrupt):  # a signal, after what was begun has ended
            server_of(make_app(store, address, runs)).run(sockets=[own])
        say("stopped; all that was submitted is in the store")


def server_of(app: Starlette) -> uvicorn.Server:
    """What serves the app; a signal stops it, after what was begun has ended."""
    config = uvicorn.Config(
        app,
        access_log=False,
        log_level="warning",
        server_header=False,
        lifespan="off",
        ws="none",
        proxy_headers=app.state.address.is_tls,
        timeout_graceful_shutdown=PATIENCE,
    )
    return uvicorn.Server(config)


def first_link(store: Store, address: Address) -> str | None:
    """The link by which the first admin comes in; None if one has."""
    people = store.accounts.people()
    admins = [person for person in people if person.role == "admin" and person.active]
    if any(person.has_password for person in admins):
        return None
    if admins:
        return address.invitation(store.accounts.invite(admins[0].name, by="label serve"))
    taken = {person.name for person in people}
    names = chain(["admin"], (f"admin-{number}" for number in count(2)))
    name = next(name for name in names if name not in taken)
    return address.invitation(store.accounts.add(name, Role.ADMIN, by="label serve"))


def listening(host: str, port: int, *, flag: str = "--port") -> socket.socket:
    """A socket that is bound, so that a taken port is said before anything begins.

    Raises:
        UserError: it cannot be, or the port is taken; `flag` is what names another.
    """
    if not 0 <= port <= 65535:
        raise UserError(f"{flag} {port}: expected 0 to 65535")
    try:
        kind, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        made = socket.socket(kind, socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise UserError(f"--host {host}: is no address of this machine") from None
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind(place)
        made.listen()  # who comes before the server has begun waits for it
    except OSError as error:
        made.close()
        if error.errno == errno.EADDRINUSE:
            raise UserError(
                f"{flag} {port}: another program listens there; stop it, or choose another, as in "
                f"{flag} {port + 1}"
            ) from None
        raise UserError(f"--host {host} {flag} {port}: {error.strerror}; choose another") from None
    return made


async def _no_route(request: Request, error: Exception) -> Response:
    """What is told where there is no route for a request."""
    assert isinstance(error, HTTPException)
    return refused(request, error)
