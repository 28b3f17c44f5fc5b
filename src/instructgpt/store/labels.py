"""The door for labels: answers are queued, a labeler claims one, and submits a ranking of it.

A claim is a lease: who goes away leaves the answers to others when it runs out. No answers get more
labels than the queue's overlap, and nobody labels the same twice. Within a queue claims and
submissions follow each other: each locks the queue's row (on SQLite a writer has the file alone).
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, and_, exists, func, insert, select, update

from instructgpt.data.records import Candidates, Ranking
from instructgpt.errors import UserError
from instructgpt.run.digest import MODEL_FILES, digest_of
from instructgpt.store.audit import now
from instructgpt.store.records import (
    add_labelers,
    add_labels,
    as_row,
    insert_new,
    key_of,
    links_of,
)
from instructgpt.store.tables import assignments, candidates, completions, queues, rankings, tasks

LEASE = 3600.0
"""Seconds for which claimed answers are nobody else's."""


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


class Progress(NamedTuple):
    """How many prompts of a queue have all their labels, of how many, and how many labels each."""

    done: int
    tasks: int
    overlap: int


def enqueue(
    connection: Connection, name: str, batch: Iterable[Candidates], overlap: int, first: int = 0
) -> None:
    """Add answers to a queue, which is made if there is none of this name; those that are in it
    already stay as they are.

    Raises:
        UserError: the queue has another overlap.
    """
    if overlap < 1:
        raise UserError(f"overlap {overlap}: answers need a label; give 1 or more")
    insert_new(connection, queues, [{"name": name, "overlap": overlap, "at": now()}])
    queue = connection.execute(select(queues).where(queues.c.name == name)).one()
    if queue.overlap != overlap:
        raise UserError(
            f"the queue {name} gives answers {queue.overlap} labels, not {overlap}; keep that, or "
            "name another queue"
        )
    queued = list(batch)
    keys = _add_candidates(connection, queued)
    rows = [
        {"queue": queue.number, "place": place, "candidates_key": key, "labels": 0}
        for place, key in enumerate(keys, first)
    ]
    insert_new(connection, tasks, rows)


def claim(
    connection: Connection, labeler: str, queue: str | None, only: str | None, lease: float
) -> Assignment | None:
    """Take answers in hand: those that the labeler has there already, else the first that need a
    label and that the labeler has not labeled; None where there are none.

    Args:
        connection: in a transaction that writes.
        labeler: who ranks.
        queue: of which queue; None for any, the oldest first.
        only: the key of the only candidates that are wanted.
        lease: seconds.

    Raises:
        UserError: there is no such queue.
    """
    if not labeler.strip():
        raise UserError("who ranks has no name; give one")
    rows, at = _locked(connection, queue), time.time()
    add_labelers(connection, [labeler])
    for row in rows:
        wanted = [tasks.c.queue == row.number, tasks.c.labels < row.overlap]
        wanted += [tasks.c.candidates_key == only] if only else []
        wanted += [tasks.c.labels + _others(labeler, at) < row.overlap]
        held = _held(connection, labeler, wanted)
        if held is None and (task := _free(connection, labeler, wanted)) is not None:
            values = {"task": task, "labeler_id": labeler, "leased_until": at + lease}
            added = insert(assignments).values(values).returning(assignments.c.number)
            held = connection.scalar(added)
        if held is not None:
            its = assignments.c.number == held
            connection.execute(update(assignments).where(its).values(leased_until=at + lease))
            return _assignment(connection, held)
    return None


def submit(connection: Connection, number: int, record: Ranking) -> str:
    """Take the ranking of an assignment; a second one is an edit of the first.

    Args:
        connection: in a transaction that writes.
        number: of the assignment.
        record: the ranking; a missing `labeler_id` is the assignment's.

    Returns:
        The ranking's key.

    Raises:
        UserError: there is no such assignment, the record is of other answers or another labeler,
            or the lease ran out and others have labeled instead.
    """
    task = _task_of(connection, number)
    _refuse_another(_candidates_of(connection, task.candidates_key), record, task.labeler_id)
    record = record.model_copy(update={"labeler_id": task.labeler_id})
    own: dict[str, Any] = {"candidates_key": task.candidates_key}
    if task.label_key is None and task.others >= task.overlap - task.labels:
        raise UserError(
            f"the lease of assignment {number} ran out and others have these answers; claim others"
        )
    if task.label_key is not None:
        old = connection.scalar(select(rankings.c.record).where(rankings.c.key == task.label_key))
        if old == as_row(record):
            return task.label_key
        own["replaces"] = task.label_key
    (key,) = add_labels(connection, Ranking, [record], **own)
    its = assignments.c.number == number
    connection.execute(update(assignments).where(its).values(label_key=key))
    if task.label_key is None:
        more = update(tasks).where(tasks.c.number == task.task)
        connection.execute(more.values(labels=tasks.c.labels + 1))
    return key


def progress(connection: Connection, queue: str) -> Progress:
    """How far a queue is; nothing of nothing where there is none."""
    query = (
        select(queues.c.overlap, func.count(), func.count().filter(_is_done()))
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


def _is_done() -> Any:
    return tasks.c.labels >= queues.c.overlap


def _add_candidates(connection: Connection, batch: Sequence[Candidates]) -> list[str]:
    """Add answers to rank, each with its model's digest; their keys."""
    rows = [as_row(queued) for queued in batch]
    keys = [key_of(row) for row in rows]
    links = links_of(connection, [row["prompt_id"] for row in rows])
    heads, answers = [], []
    for key, row in zip(keys, rows, strict=True):
        own = {"key": key, "prompt_id": row["prompt_id"], "prompt_key": links.get(row["prompt_id"])}
        rest = {name: row[name] for name in row if name != "responses"}
        heads.append({**own, "record": rest, "at": now()})
        for place, answer in enumerate(row["responses"]):
            named = {name: answer.get(name) for name in ("text", "model", "sampling")}
            more = {name: answer[name] for name in answer if name not in named}
            own = {"candidates_key": key, "place": place, "weights": _weights(named["model"])}
            answers.append({**own, **named, "record": more})
    insert_new(connection, candidates, heads)
    insert_new(connection, completions, answers)
    return keys


@cache
def _weights(model: str | None) -> str | None:
    """The digest of a model's files, where the name is that of a folder that is here."""
    found = digest_of(Path(model), MODEL_FILES) if model and Path(model).is_dir() else None
    return found.digest if found else None


def _candidates_of(connection: Connection, key: str) -> Candidates:
    head = connection.execute(select(candidates).where(candidates.c.key == key)).one()
    if head.erased:
        raise UserError("these answers were erased, at a person's wish; claim others")
    query = select(completions).where(completions.c.candidates_key == key)
    answers = [
        {"text": row.text, "model": row.model, "sampling": row.sampling, **row.record}
        for row in connection.execute(query.order_by(completions.c.place))
    ]
    return Candidates.model_validate({**head.record, "responses": answers})


def _locked(connection: Connection, queue: str | None) -> Sequence[Row[Any]]:
    """The queues, or the one of a name, which nobody else then claims from."""
    query = select(queues).order_by(queues.c.number).with_for_update()
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


def _held(connection: Connection, labeler: str, wanted: list[Any]) -> int | None:
    """The assignment that a labeler has open, also one whose lease ran out and that is free."""
    its = and_(assignments.c.labeler_id == labeler, assignments.c.label_key.is_(None))
    query = select(assignments.c.number).select_from(assignments.join(tasks).join(candidates))
    query = query.where(its, candidates.c.erased.is_(None), *wanted)
    return connection.scalar(query.order_by(tasks.c.place, tasks.c.number).limit(1))


def _free(connection: Connection, labeler: str, wanted: list[Any]) -> int | None:
    """The first task that a labeler may take."""
    own = exists().where(assignments.c.task == tasks.c.number, assignments.c.labeler_id == labeler)
    query = select(tasks.c.number).select_from(tasks.join(candidates))
    query = query.where(~own, candidates.c.erased.is_(None), *wanted)
    return connection.scalar(query.order_by(tasks.c.place, tasks.c.number).limit(1))


def _assignment(connection: Connection, number: int) -> Assignment:
    query = select(assignments, tasks.c.candidates_key).select_from(assignments.join(tasks))
    row = connection.execute(query.where(assignments.c.number == number)).one()
    queued = _candidates_of(connection, row.candidates_key)
    return Assignment(number, row.labeler_id, queued, row.leased_until)


def _task_of(connection: Connection, number: int) -> Row[Any, Any, Any, Any, Any, Any, Any]:
    """An assignment with its task and queue, locked; `others` have its task in hand now."""
    its = assignments.c.number == number
    joined = assignments.join(tasks).join(queues)
    name = connection.scalar(select(queues.c.name).select_from(joined).where(its))
    if name is None:
        raise UserError(f"there is no assignment {number}; claim one")
    _locked(connection, name)
    labeler = connection.scalar(select(assignments.c.labeler_id).where(its))
    columns = (
        *(assignments.c.task, assignments.c.labeler_id, assignments.c.label_key),
        *(tasks.c.candidates_key, tasks.c.labels, queues.c.overlap),
        _others(labeler or "", time.time()).label("others"),
    )
    return connection.execute(select(*columns).select_from(joined).where(its)).one()


def _refuse_another(queued: Candidates, record: Ranking, labeler: str) -> None:
    if record.labeler_id not in (None, labeler):
        raise UserError(f"the answers were claimed by {labeler}; {record.labeler_id} claims others")
    same = (record.prompt_id, record.prompt) == (queued.prompt_id, queued.prompt)
    texts = [[answer.text for answer in one.responses] for one in (queued, record)]
    if not same or texts[0] != texts[1]:
        raise UserError(
            f"the ranking is not of the answers that were claimed (prompt {queued.prompt_id}); "
            "submit it with the prompt and the answers as they were given"
        )
