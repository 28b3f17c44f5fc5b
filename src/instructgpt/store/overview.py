"""Reading queues: what they ask, how far they are, and who has what of them."""

import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, and_, func, select, true

from instructgpt.data.records import Message, PromptText
from instructgpt.errors import UserError
from instructgpt.store.labels import is_done
from instructgpt.store.tables import (
    assignments,
    candidates,
    guidelines,
    queues,
    submissions,
    tasks,
)


class Asked(StrEnum):
    """What a queue asks of each answer beside its rank: quality 1 to 7 and table 3's questions,
    quality alone, or nothing.
    """

    FULL = "full"
    LIKERT = "likert"
    NONE = "none"


@dataclass(frozen=True)
class Queue:
    """Answers that wait for labels.

    Attributes:
        name: of the queue.
        overlap: how many labels each prompt's answers get.
        ratings: what is asked of each answer.
        priority: of two queues the one with more is worked on first.
        paused: whether it gives nothing out.
        guidelines: their latest version; None where there are none.
        tasks: how many prompts it has.
        done: how many of them have all their labels.
        labels: how many there are in all.
    """

    name: str
    overlap: int
    ratings: Asked
    priority: int
    paused: bool
    guidelines: int | None
    tasks: int
    done: int
    labels: int


class Holder(NamedTuple):
    """Who has a prompt of a queue: the item's number, its state, and until when or since when."""

    labeler: str
    item: int
    state: str
    at: str


@dataclass(frozen=True)
class TaskRow:
    """A prompt of a queue: how many labels it has, and who has it."""

    number: int
    queue: str
    prompt_id: str
    prompt: PromptText
    labels: int
    overlap: int
    holders: tuple[Holder, ...]


def queues_of(connection: Connection, name: str | None = None) -> list[Queue]:
    """All queues, in the order in which they are worked on; or the one of a name."""
    mine = true() if name is None else queues.c.name == name
    here = candidates.c.erased.is_(None)
    counts = (
        func.count(tasks.c.number).filter(here).label("tasks"),
        func.count(tasks.c.number).filter(and_(here, is_done())).label("done"),
        func.coalesce(func.sum(tasks.c.labels).filter(here), 0).label("labels"),
    )
    counted = (
        select(queues.c.number, *counts)
        .select_from(queues.outerjoin(tasks).outerjoin(candidates))
        .where(mine)
        .group_by(queues.c.number)
        .subquery()
    )
    query = (
        select(queues, counted.c.tasks, counted.c.done, counted.c.labels, latest_guidelines())
        .join(counted, counted.c.number == queues.c.number)
        .order_by(queues.c.priority.desc(), queues.c.number)
    )
    return [
        Queue(
            name=row.name,
            overlap=row.overlap,
            ratings=Asked(row.ratings),
            priority=row.priority,
            paused=row.paused,
            guidelines=row.version,
            tasks=row.tasks,
            done=row.done,
            labels=row.labels,
        )
        for row in connection.execute(query)
    ]


def guidelines_of(
    connection: Connection, queue: str, version: int | None
) -> tuple[int, str] | None:
    """The guidelines of a queue, the latest if no version is named."""
    query = select(guidelines.c.version, guidelines.c.content).join(queues)
    query = query.where(queues.c.name == queue)
    query = query.where(guidelines.c.version == version) if version is not None else query
    row = connection.execute(query.order_by(guidelines.c.version.desc()).limit(1)).first()
    return (row.version, row.content) if row else None


def latest_of(connection: Connection, queue: str) -> int:
    """The number of the last submission of a queue; 0 where there is none."""
    joined = submissions.join(assignments).join(tasks).join(queues)
    last = select(func.max(submissions.c.number)).select_from(joined)
    return connection.scalar(last.where(queues.c.name == queue)) or 0


def tasks_of(connection: Connection, queue: str, offset: int, limit: int) -> list[TaskRow]:
    """Prompts of a queue in its order, those that were erased left out.

    Raises:
        UserError: there is no such queue.
    """
    if not connection.scalar(select(queues.c.number).where(queues.c.name == queue)):
        raise UserError(f"there is no queue {queue}; see the list of queues")
    query = _tasks().where(queues.c.name == queue)
    query = query.order_by(tasks.c.place, tasks.c.number).offset(offset).limit(limit)
    return _task_rows(connection, connection.execute(query).all())


def task_rows(connection: Connection, number: int) -> list[TaskRow]:
    """A prompt of a queue; none if there is none, or it was erased."""
    query = _tasks().where(tasks.c.number == number)
    return _task_rows(connection, connection.execute(query).all())


def latest_guidelines() -> Any:
    """The latest version of a queue's guidelines: a subquery beside `queues`."""
    query = select(func.max(guidelines.c.version)).where(guidelines.c.queue == queues.c.number)
    return query.correlate(queues).scalar_subquery().label("version")


def _tasks() -> Any:
    return (
        select(
            tasks,
            queues.c.overlap,
            queues.c.name,
            candidates.c.prompt_id,
            candidates.c.record,
        )
        .select_from(tasks.join(queues).join(candidates))
        .where(candidates.c.erased.is_(None))
    )


def _prompt(kept: Any) -> PromptText:
    """A prompt as its record keeps it: text, or turns."""
    return kept if isinstance(kept, str) else tuple(Message.model_validate(turn) for turn in kept)


def _task_rows(connection: Connection, rows: Any) -> list[TaskRow]:
    numbers = [row.number for row in rows]
    at = (
        select(func.max(submissions.c.at))
        .where(submissions.c.assignment == assignments.c.number)
        .correlate(assignments)
        .scalar_subquery()
        .label("at")
    )
    query = select(assignments, at).where(assignments.c.task.in_(numbers))
    holders: dict[int, list[Holder]] = {}
    for row in connection.execute(query.order_by(assignments.c.labeler_id)):
        own = Holder(row.labeler_id, row.number, _state(row), row.at or "")
        holders.setdefault(row.task, []).append(own)
    return [
        TaskRow(
            number=row.number,
            queue=row.name,
            prompt_id=row.prompt_id,
            prompt=_prompt(row.record["prompt"]),
            labels=row.labels,
            overlap=row.overlap,
            holders=tuple(holders.get(row.number, ())),
        )
        for row in rows
    ]


def _state(row: Row[Any]) -> str:
    """What an assignment is: done, skipped, open, or over, as its lease ran out."""
    if row.label_key:
        return "done"
    if row.skipped:
        return "skipped"
    return "open" if row.leased_until > time.time() else "over"
