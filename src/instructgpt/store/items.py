"""Reading people's work: queues, items, what was done and when."""

import time
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, and_, func, select

from instructgpt.data.records import Candidates, Message, PromptText
from instructgpt.errors import UserError
from instructgpt.store.answers import candidates_of
from instructgpt.store.labels import is_done, sensitive_among
from instructgpt.store.submitting import Submission, last_of, read
from instructgpt.store.tables import (
    assignments,
    candidates,
    drafts,
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


@dataclass(frozen=True)
class Item:
    """A prompt and its answers, as one labeler has or had them in hand.

    Attributes:
        number: of the assignment.
        labeler: whose it is.
        queue: where it comes from.
        candidates: the prompt and the answers.
        shown_order: in which order the answers are shown, by their places; drawn once.
        state: "open", "done" or "skipped".
        ratings: what is asked of each answer.
        guidelines: their latest version; None where there are none.
        sensitive: whether the prompt is said to upset.
        leased_until: seconds since 1970.
        draft: what was begun, as it was saved.
        revision: of the draft; 0 where there is none.
        submission: what was handed in last, which may have been withdrawn.
        place: the how-manieth it is of those of its queue that are this labeler's to do.
        total: how many those are.
    """

    number: int
    labeler: str
    queue: str
    candidates: Candidates
    shown_order: tuple[int, ...]
    state: str
    ratings: Asked
    guidelines: int | None
    sensitive: bool
    leased_until: float
    draft: dict[str, Any] | None
    revision: int
    submission: Submission | None
    place: int
    total: int


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


def queues_of(connection: Connection) -> list[Queue]:
    """All queues, in the order in which they are worked on."""
    here = candidates.c.erased.is_(None)
    counts = (
        func.count(tasks.c.number).filter(here).label("tasks"),
        func.count(tasks.c.number).filter(and_(here, is_done())).label("done"),
        func.coalesce(func.sum(tasks.c.labels).filter(here), 0).label("labels"),
    )
    counted = (
        select(queues.c.number, *counts)
        .select_from(queues.outerjoin(tasks).outerjoin(candidates))
        .group_by(queues.c.number)
        .subquery()
    )
    query = (
        select(queues, counted.c.tasks, counted.c.done, counted.c.labels, _latest())
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


def of_answers(connection: Connection, number: int) -> dict[str, Any] | None:
    """Which prompt an assignment's answers are of, as columns of what hangs on it; None if there is
    no such assignment, or the answers were erased.
    """
    query = (
        select(candidates.c.prompt_id, candidates.c.prompt_key)
        .select_from(assignments.join(tasks).join(candidates))
        .where(assignments.c.number == number, candidates.c.erased.is_(None))
    )
    row = connection.execute(query).one_or_none()
    return dict(row._mapping) if row else None


def item_of(connection: Connection, number: int) -> Item | None:
    """An item; None if there is none, or its answers were erased."""
    row = connection.execute(_assigned().where(assignments.c.number == number)).one_or_none()
    return _item(connection, row) if row else None


def history_of(connection: Connection, labeler: str, limit: int, before: int | None) -> list[Item]:
    """What a labeler submitted and skipped, the latest item first."""
    over = assignments.c.label_key.is_not(None) | assignments.c.skipped
    query = _assigned().where(assignments.c.labeler_id == labeler, over)
    query = query.where(assignments.c.number < before) if before is not None else query
    rows = connection.execute(query.order_by(assignments.c.number.desc()).limit(limit)).all()
    return [_item(connection, row) for row in rows]


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


def task_of(connection: Connection, number: int) -> tuple[TaskRow, list[Item]] | None:
    """A prompt of a queue, with every labeler's item of it; None if there is none, or it was
    erased.
    """
    rows = connection.execute(_tasks().where(tasks.c.number == number)).all()
    if not rows:
        return None
    query = _assigned().where(assignments.c.task == number).order_by(assignments.c.labeler_id)
    found = [_item(connection, row) for row in connection.execute(query).all()]
    return _task_rows(connection, rows)[0], found


def days_of(connection: Connection, labeler: str) -> list[tuple[str, int, float]]:
    """By day in UTC, the latest first: how many items were submitted, in how many seconds; of each
    item the last version counts.
    """
    later = submissions.alias()
    newer = (later.c.assignment == submissions.c.assignment, later.c.number > submissions.c.number)
    is_last = ~select(later.c.number).where(*newer).exists()
    query = (
        select(submissions.c.at, submissions.c.seconds)
        .join(assignments, assignments.c.number == submissions.c.assignment)
        .where(assignments.c.labeler_id == labeler, assignments.c.label_key.is_not(None), is_last)
        .order_by(submissions.c.at.desc())
    )
    days = groupby(connection.execute(query).all(), lambda row: row.at[:10])
    found = ((day, [row.seconds for row in rows]) for day, rows in days)
    return [(day, len(seconds), sum(seconds)) for day, seconds in found]


def _latest() -> Any:
    """The latest version of a queue's guidelines: a subquery beside `queues`."""
    query = select(func.max(guidelines.c.version)).where(guidelines.c.queue == queues.c.number)
    return query.correlate(queues).scalar_subquery().label("version")


def _assigned() -> Any:
    """Assignments that were not erased, each with its task, queue and draft."""
    own = (tasks.c.candidates_key, tasks.c.queue, queues.c.name, queues.c.ratings)
    joined = assignments.join(tasks).join(queues).join(candidates).outerjoin(drafts)
    return (
        select(assignments, *own, drafts.c.draft, drafts.c.revision, _latest())
        .select_from(joined)
        .where(candidates.c.erased.is_(None))
    )


def _item(connection: Connection, row: Row[Any]) -> Item:
    queued = candidates_of(connection, row.candidates_key)
    last = last_of(connection, row.number)
    submission = read(connection, last) if last else None
    shown = row.shown_order or (submission and submission.ranking.shown_order)
    place, total = _share(connection, row)
    return Item(
        number=row.number,
        labeler=row.labeler_id,
        queue=row.name,
        candidates=queued,
        shown_order=tuple(shown or range(len(queued.responses))),
        state="done" if row.label_key else "skipped" if row.skipped else "open",
        ratings=Asked(row.ratings),
        guidelines=row.version,
        sensitive=bool(sensitive_among(connection, [row.candidates_key])),
        leased_until=row.leased_until,
        draft=row.draft,
        revision=row.revision or 0,
        submission=submission,
        place=place,
        total=total,
    )


def _share(connection: Connection, row: Row[Any]) -> tuple[int, int]:
    """The how-manieth of how many of a queue an item is for its labeler: what is done comes first,
    what is in hand next, then what may still be taken.
    """
    mine = assignments.c.labeler_id == row.labeler_id
    done = assignments.c.label_key.is_not(None)
    joined = assignments.join(tasks).join(queues)
    here = tasks.c.queue == row.queue
    needs = tasks.c.labels < queues.c.overlap
    counts = (
        func.count().filter(done),
        func.count().filter(and_(done, assignments.c.number < row.number)),
        func.count().filter(and_(needs, done | assignments.c.skipped)),
    )
    query = select(*counts).select_from(joined).where(mine, here)
    finished, earlier, not_mine = connection.execute(query).one()
    waiting = select(func.count()).select_from(tasks.join(queues)).where(here, needs)
    left = (connection.scalar(waiting) or 0) - not_mine
    place = earlier + 1 if row.label_key else finished + 1
    return place, max(place, finished + left)


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
