"""One person ranks in a browser on this machine, for a program that waits and then goes on."""

import threading
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import uvicorn
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from instructgpt.data.formats import write_records
from instructgpt.data.records import Candidates, Ranking
from instructgpt.errors import UserError
from instructgpt.label.app.guard import LABELERS, NOBODY, Rule
from instructgpt.label.app.labeler import undoable
from instructgpt.label.app.pages import LOST, page
from instructgpt.label.app.routes import RULES
from instructgpt.label.app.security import Address
from instructgpt.label.app.server import listening, make_app, server_of
from instructgpt.label.app.sessions import lost, person_of, with_session
from instructgpt.label.app.view import Row
from instructgpt.label.queued import keys_of
from instructgpt.label.terminal import Session, refuse_unrankable
from instructgpt.run.progress import StageProgress, say, show
from instructgpt.store import Store
from instructgpt.store.accounts import Role
from instructgpt.store.desk import Asked

HOST, FLAG, QUEUE = "127.0.0.1", "--rank.port", "answers"
STORE, KEPT = "labels.db", "own.jsonl"
"""In the folder: where the work is, and a copy of the rankings so far."""
GRACE = 3.0
"""Seconds for the last page, with all that it loads."""


def require_port(port: int) -> None:
    """Nobody else may listen there.

    Raises:
        UserError: somebody does.
    """
    listening(HOST, port, flag=FLAG).close()


def rank_in_browser(
    candidates: Sequence[Candidates], folder: Path, *, labeler_id: str, port: int, stage: str
) -> Session:
    """Serve the answers to each prompt to one person, who comes in by a link that is good once, and
    return when all are ranked or skipped. What was submitted stands in `folder/labels.db`, and the
    same call goes on from there.

    Raises:
        UserError: a prompt has too few or too many answers, or somebody else listens at the port.
        KeyboardInterrupt: Ctrl-C; nothing that was submitted is lost.
    """
    refuse_unrankable(candidates)
    with Store.open(f"sqlite:///{folder / STORE}") as store:
        batch = list(candidates)
        store.desk.make_queue(QUEUE, batch, overlap=1, ratings=Asked.NONE, by=labeler_id)
        if store.accounts.find(labeler_id) is None:
            store.accounts.add(labeler_id, Role.LABELER, by=labeler_id)
        keys = set(keys_of(batch))
        alone = Alone(store, labeler_id, len(keys))

        def keep() -> list[Ranking]:
            rankings = [ranking for key, ranking in store.rankings(QUEUE) if key in keys]
            write_records(folder / KEPT, rankings)
            return rankings

        try:
            if not alone.is_over():
                _serve(alone, port, stage, keep)
        finally:
            rankings = keep()
        return Session(rankings, finished=True)


class Alone:
    """Somebody who ranks alone.

    Args:
        store: with one queue.
        name: of the person's account.
        total: how many prompts are asked: the first ones of the queue.

    Attributes:
        settled: how many of them are ranked or skipped.
        ranked: how many of them are ranked.
    """

    def __init__(self, store: Store, name: str, total: int) -> None:
        self.store, self.name, self.total = store, name, total
        self.settled = self.ranked = 0
        self.changed: Callable[[], None] = lambda: None

    def is_over(self) -> bool:
        """Whether nothing is left to rank, also for who hides sensitive prompts."""
        rows = self.store.desk.items(QUEUE, 0, self.total)
        states = [{holder.state for holder in row.holders} for row in rows]
        settled = sum(bool(one & {"done", "skipped"}) for one in states)
        self.settled, self.ranked = settled, sum("done" in one for one in states)
        return settled == self.total or self.store.desk.take(self.name, QUEUE) is None

    def link(self, address: Address) -> str:
        """By which the person comes in, once; an earlier one is void."""
        return f"{address.url}/enter/{self.store.accounts.invite(self.name, by=self.name)}"


class Ending:
    """Stops a server a moment after nothing is left to rank, if that is not taken back."""

    def __init__(self, alone: Alone, server: uvicorn.Server) -> None:
        self.alone, self.server, self.over = alone, server, threading.Event()
        self._last: threading.Timer | None = None

    def look(self) -> None:
        """Something was done."""
        if self._last:
            self._last.cancel()
        self.over.clear()
        if self.alone.is_over():
            self.over.set()
            self._last = threading.Timer(GRACE, self._end)
            self._last.daemon = True
            self._last.start()

    def _end(self) -> None:
        if self.over.is_set():  # else it was taken back; a server that a signal stops stays stopped
            self.server.should_exit = True


def _serve(alone: Alone, port: int, stage: str, keep: Callable[[], object]) -> None:
    """Until nothing is left to rank."""
    with closing(listening(HOST, port, flag=FLAG)) as own:
        address = Address.of(None, HOST, own.getsockname()[1])
        app = make_app(alone.store, address, Path(), rules=ALONE, alone=alone)
        server = server_of(app)
        ending = Ending(alone, server)
        waiting = alone.total - alone.settled
        say(
            f"{stage}: {waiting} of {alone.total} prompts wait for you; open in your browser, once:"
        )
        show(alone.link(address))
        say(f"{stage}: goes on by itself then; Ctrl-C stops, and the same command goes on")
        with StageProgress(stage, alone.total, alone.settled, phase="you rank") as progress:

            def changed() -> None:
                ending.look()
                # What was submitted is in the store: a full disk or a dead pipe is no answer to it.
                with suppress(OSError, UserError):
                    keep()
                with suppress(OSError):
                    progress.advance(alone.settled, {})

            alone.changed = changed
            server.run(sockets=[own])
    if not ending.over.is_set():
        raise KeyboardInterrupt


# ------------------------------------------------------------------------ the pages


def enter(request: Request) -> Response:
    """Come in by the link, which then is used up; not by a HEAD, which looks ahead."""
    if request.method == "HEAD":
        raise HTTPException(405, headers={"Allow": "GET"})
    accounts = request.app.state.store.accounts
    person = accounts.enter(request.path_params["token"])
    if person is None and person_of(request):
        return RedirectResponse("/work", 303)
    if person is None:
        raise HTTPException(404, LOST)
    return with_session(request, RedirectResponse("/work", 303), person.name)


def work(request: Request) -> Response:
    """How many prompts are left."""
    alone: Alone = request.app.state.alone
    last = request.app.state.store.desk.history(alone.name, limit=5)
    return page(
        request,
        "alone.html",
        over=alone.is_over(),
        settled=alone.settled,
        ranked=alone.ranked,
        total=alone.total,
        last=[Row(one) for one in last],
        before=undoable(request),
    )


def _telling(rule: Rule) -> Rule:
    """The same rule; after what it does, it is asked whether anything is left."""

    def handler(request: Request) -> Response:
        answer = rule.handler(request)
        request.app.state.alone.changed()
        return answer

    changes = rule.method == "POST" and not rule.quiet
    return replace(rule, handler=handler) if changes else rule


OTHERS = {"/work", "/login", "/logout", "/invite/{token}"}
ALONE = (
    Rule("GET", "/enter/{token}", enter, NOBODY),
    Rule("GET", "/login", lost, NOBODY),
    Rule("POST", "/login", lost, NOBODY),
    Rule("GET", "/work", work, LABELERS),
    *(_telling(r) for r in RULES if r.roles in (NOBODY, LABELERS) and r.path not in OTHERS),
)
"""What somebody may do who ranks alone."""
