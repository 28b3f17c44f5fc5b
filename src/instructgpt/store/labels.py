"""The door for labels: answers are queued, a labeler claims one, and submits a ranking of it.

A claim is a lease: who goes away leaves the answers to others when it runs out; what comes all the
same is kept, as a label more than was asked for. Nobody labels the same twice. Within a queue
claims and submissions follow each other: each locks the queue's row (on SQLite a writer has the
file alone).
"""

import random
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, and_, exists, func, insert, select, update

from instructgpt.data.records import Candidates, Ranking
from instructgpt.errors import UserError
from instructgpt.store.answers import add_candidates, candidates_of
from instructgpt.store.audit import now
from instructgpt.store.records import add_labelers, insert_new
from instructgpt.store.tables import (
    annotations,
    assignments,
    candidates,
    completions,
    queues,
    rankings,
    tasks,
)

LEASE = 3600.0
"""Seconds for which claimed answers are nobody else's."""
SENSITIVE = ("sensitive_content", "sensitive")
"""What says of a prompt that it may upset: table 7's field, and a column of that name."""
BATCH = 50


@dataclass(frozen=True)
class Assignment:
    """Answers that a labeler has in hand.

    Attributes:
        number: names it when its record is submitted.
        labeler: who has it.
        candidates: what is to be ranked.
        leased_until: seconds since 1970.
    """

    number: int
    labeler: str
    candidates: Candidates
    leased_until: float


class Taken(NamedTuple):
    """The number of an assignment, and the name of its queue."""

    number: int
    queue: str


class Progress(NamedTuple):
    """How many prompts of a queue have all their labels, of how many, and how many labels each."""

    done: int
    tasks: int
    overlap: int


def enqueue(
    connection: Connection,
    name: str,
    batch: Iterable[Candidates],
    overlap: int,
    first: int = 0,
    **asked: Any,
) -> int:
    """Add answers to a queue, which is made if there is none of this name; those that are in it
    already stay as they are.

    Args:
        connection: in a transaction that writes.
        name: of the queue.
        batch: the answers to some prompts.
        overlap: how many labels each gets.
        first: the place of the first of them.
        asked: the other columns of a queue that is made.

    Returns:
        How many are new.

    Raises:
        UserError: the queue has another overlap.
    """
    if overlap < 1:
        raise UserError(f"overlap {overlap}: answers need a label; give 1 or more")
    insert_new(connection, queues, [{"name": name, "overlap": overlap, "at": now(), **asked}])
    queue = connection.execute(select(queues).where(queues.c.name == name)).one()
    if queue.overlap != overlap:
        raise UserError(
            f"the queue {name} gives answers {queue.overlap} labels, not {overlap}; keep that, or "
            "name another queue"
        )
    keys = add_candidates(connection, list(batch))
    rows = [
        {"queue": queue.number, "place": place, "candidates_key": key, "labels": 0}
        for place, key in enumerate(keys, first)
    ]
    return insert_new(connection, tasks, rows)


def claim(
    connection: Connection,
    labeler: str,
    queue: str | None,
    only: str | None = None,
    lease: float = LEASE,
    *,
    sensitive: bool = True,
) -> Taken | None:
    """Take answers in hand: those that the labeler has there already, else the first that need a
    label and that the labeler has neither labeled nor skipped; None where there are none.

    Args:
        connection: in a transaction that writes.
        labeler: who ranks.
        queue: of which queue; None for any, by priority, then the oldest first.
        only: the key of the only candidates that are wanted.
        lease: seconds.
        sensitive: whether also answers to sensitive prompts.

    Returns:
        The assignment.

    Raises:
        UserError: there is no such queue.
    """
    if not labeler.strip():
        raise UserError("who ranks has no name; give one")
    rows, at = _locked(connection, queue), time.time()
    add_labelers(connection, [labeler])
    for row in rows:
        if row.paused:
            continue
        wanted = [tasks.c.queue == row.number, tasks.c.labels < row.overlap]
        wanted += [tasks.c.candidates_key == only] if only else []
        wanted += [tasks.c.labels + _others(labeler, at) < row.overlap]
        held = _held(connection, labeler, wanted, sensitive)
        if held is not None:
            renew(connection, held, at + lease)
            return Taken(held, row.name)
        if (task := _free(connection, labeler, wanted, sensitive)) is not None:
            values = {"task": task, "labeler_id": labeler, "leased_until": at + lease}
            values |= {"shown_order": _shuffled(connection, task)}
            added = insert(assignments).values(values).returning(assignments.c.number)
            return Taken(connection.execute(added).scalar_one(), row.name)
    return None


def renew(connection: Connection, number: int, until: float) -> None:
    """Make a lease last until then."""
    its = assignments.c.number == number
    connection.execute(update(assignments).where(its).values(leased_until=until))


def assignment_of(connection: Connection, number: int) -> Assignment:
    """What a labeler has in hand, with the answers."""
    query = select(assignments, tasks.c.candidates_key).select_from(assignments.join(tasks))
    row = connection.execute(query.where(assignments.c.number == number)).one()
    queued = candidates_of(connection, row.candidates_key)
    return Assignment(number, row.labeler_id, queued, row.leased_until)


def progress(connection: Connection, queue: str) -> Progress:
    """How far a queue is; nothing of nothing where there is none."""
    query = (
        select(queues.c.overlap, func.count(), func.count().filter(is_done()))
        .select_from(tasks.join(queues).join(candidates))
        .where(queues.c.name == queue, candidates.c.erased.is_(None))
        .group_by(queues.c.overlap)
    )
    found = connection.execute(query).one_or_none()
    return Progress(found[2], found[1], found[0]) if found else Progress(0, 0, 0)


def labels_of(connection: Connection, queue: str) -> Iterator[tuple[str, Ranking]]:
    """The rankings that a queue has got, each as it was edited last, with the key of its
    candidates: in the order of the queue, then of the labelers' names.
    """
    query = (
        select(tasks.c.candidates_key, rankings.c.record)
        .select_from(tasks.join(queues).join(assignments))
        .join(rankings, rankings.c.key == assignments.c.label_key)
        .where(queues.c.name == queue, rankings.c.erased.is_(None))
        .order_by(tasks.c.place, tasks.c.number, assignments.c.labeler_id)
    )
    for key, record in connection.execute(query):
        yield key, Ranking.model_validate(record)


def is_done() -> Any:
    """Whether a task has all its labels: a condition on `tasks` and `queues`."""
    return tasks.c.labels >= queues.c.overlap


def lock_queue_of(connection: Connection, number: int) -> None:
    """The queue of an assignment, from which nobody else then claims.

    Raises:
        UserError: there is no such assignment.
    """
    query = select(queues.c.number).select_from(assignments.join(tasks).join(queues))
    query = query.where(assignments.c.number == number).with_for_update(of=queues)
    if connection.scalar(query) is None:
        raise UserError(f"there is no assignment {number}; claim one")


def lock_queue(connection: Connection, name: str) -> Row[Any]:
    """The queue of a name, from which nobody else then claims.

    Raises:
        UserError: there is none.
    """
    return _locked(connection, name)[0]


def sensitive_among(connection: Connection, keys: Sequence[str]) -> set[str]:
    """Those of some candidates whose prompt may upset: their record says so, or an annotation."""
    columns = (candidates.c.key, candidates.c.prompt_key, candidates.c.record)
    rows = connection.execute(select(*columns).where(candidates.c.key.in_(keys))).all()
    found = {row.key for row in rows if any((row.record or {}).get(one) for one in SENSITIVE)}
    own = annotations.c
    query = select(own.prompt_key, own.value).where(
        own.field.in_(SENSITIVE), own.prompt_key.in_({row.prompt_key for row in rows})
    )
    said = {row.prompt_key: row.value for row in connection.execute(query.order_by(own.number))}
    return found | {row.key for row in rows if said.get(row.prompt_key) is True}


def _locked(connection: Connection, queue: str | None) -> Sequence[Row[Any]]:
    """The queues, or the one of a name, which nobody else then claims from."""
    query = select(queues).order_by(queues.c.priority.desc(), queues.c.number).with_for_update()
    rows = connection.execute(query.where(queues.c.name == queue) if queue else query).all()
    if queue and not rows:
        raise UserError(f"there is no queue {queue}; put answers into it first")
    return rows


def _others(labeler: str, at: float) -> Any:
    """How many others have a task in hand: a subquery beside `tasks`."""
    open_ = and_(assignments.c.label_key.is_(None), assignments.c.leased_until > at)
    theirs = and_(assignments.c.task == tasks.c.number, assignments.c.labeler_id != labeler)
    query = select(func.count()).select_from(assignments).where(theirs, open_)
    return query.correlate(tasks).scalar_subquery()


def _held(connection: Connection, labeler: str, wanted: list[Any], sensitive: bool) -> int | None:
    """The assignment that a labeler has open, also one whose lease ran out and that is free."""
    its = and_(
        assignments.c.labeler_id == labeler,
        assignments.c.label_key.is_(None),
        assignments.c.skipped.is_(False),
    )
    query = select(assignments.c.number, candidates.c.key)
    query = query.select_from(assignments.join(tasks).join(candidates)).where(its)
    return _first(connection, query, wanted, sensitive)


def _free(connection: Connection, labeler: str, wanted: list[Any], sensitive: bool) -> int | None:
    """The first task that a labeler may take."""
    own = exists().where(assignments.c.task == tasks.c.number, assignments.c.labeler_id == labeler)
    query = select(tasks.c.number, candidates.c.key)
    query = query.select_from(tasks.join(candidates)).where(~own)
    return _first(connection, query, wanted, sensitive)


def _first(connection: Connection, query: Any, wanted: list[Any], sensitive: bool) -> int | None:
    """The number of the first row whose answers may be shown."""
    query = query.where(candidates.c.erased.is_(None), *wanted)
    query = query.order_by(tasks.c.place, tasks.c.number)
    if sensitive:
        found = connection.execute(query.limit(1)).first()
        return found[0] if found else None
    start = 0
    while rows := [tuple(row) for row in connection.execute(query.limit(BATCH).offset(start))]:
        hidden = sensitive_among(connection, [row[1] for row in rows])
        if shown := [row[0] for row in rows if row[1] not in hidden]:
            return shown[0]
        start += BATCH
    return None


def _shuffled(connection: Connection, task: int) -> list[int]:
    """An order in which to show a task's answers: drawn once, so that no place is favored."""
    of = tasks.c.candidates_key == completions.c.candidates_key
    query = select(func.count()).select_from(completions.join(tasks, of))
    count = connection.scalar(query.where(tasks.c.number == task)) or 0
    return random.SystemRandom().sample(range(count), count)
