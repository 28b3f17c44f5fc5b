"""Reading items: what a labeler has or had in hand, and what was done when."""

from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Row, and_, func, select

from instructgpt.data.records import Candidates
from instructgpt.store.answers import candidates_of
from instructgpt.store.labels import sensitive_among
from instructgpt.store.overview import Asked, TaskRow, latest_guidelines, task_rows
from instructgpt.store.submitting import Submission, last_of, read
from instructgpt.store.tables import (
    assignments,
    candidates,
    drafts,
    queues,
    submissions,
    tasks,
)


@dataclass(frozen=True)
class Held:
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
        leased_until: seconds since 1970.
        draft: what was begun, as it was saved.
        revision: of the draft; 0 where there is none.
        submission: what was handed in last, which may have been withdrawn.
    """

    number: int
    labeler: str
    queue: str
    candidates: Candidates
    shown_order: tuple[int, ...]
    state: str
    ratings: Asked
    guidelines: int | None
    leased_until: float
    draft: dict[str, Any] | None
    revision: int
    submission: Submission | None


@dataclass(frozen=True)
class Item(Held):
    """The same with what its page says beside it.

    Attributes:
        sensitive: whether the prompt is said to upset.
        place: the how-manieth it is of those of its queue that are this labeler's to do.
        total: how many those are.
    """

    sensitive: bool
    place: int
    total: int


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


def held_of(connection: Connection, number: int) -> Held | None:
    """An item without what its page says beside it; None as of `item_of`."""
    row = connection.execute(_assigned().where(assignments.c.number == number)).one_or_none()
    return Held(**_held(connection, row)) if row else None


def history_of(connection: Connection, labeler: str, limit: int, before: int | None) -> list[Item]:
    """What a labeler submitted and skipped, the latest item first."""
    over = assignments.c.label_key.is_not(None) | assignments.c.skipped
    query = _assigned().where(assignments.c.labeler_id == labeler, over)
    query = query.where(assignments.c.number < before) if before is not None else query
    rows = connection.execute(query.order_by(assignments.c.number.desc()).limit(limit)).all()
    return [_item(connection, row) for row in rows]


def task_of(connection: Connection, number: int) -> tuple[TaskRow, Candidates, list[Item]] | None:
    """A prompt of a queue with its answers, and every labeler's item of it; None if there is none,
    or it was erased.
    """
    if not (rows := task_rows(connection, number)):
        return None
    query = _assigned().where(assignments.c.task == number).order_by(assignments.c.labeler_id)
    found = [_item(connection, row) for row in connection.execute(query).all()]
    key = connection.execute(select(tasks.c.candidates_key).where(tasks.c.number == number))
    return rows[0], candidates_of(connection, key.scalar_one()), found


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


def _assigned() -> Any:
    """Assignments that were not erased, each with its task, queue and draft."""
    own = (tasks.c.candidates_key, tasks.c.queue, queues.c.name, queues.c.ratings)
    joined = assignments.join(tasks).join(queues).join(candidates).outerjoin(drafts)
    return (
        select(assignments, *own, drafts.c.draft, drafts.c.revision, latest_guidelines())
        .select_from(joined)
        .where(candidates.c.erased.is_(None))
    )


def _item(connection: Connection, row: Row[Any]) -> Item:
    place, total = _share(connection, row)
    sensitive = bool(sensitive_among(connection, [row.candidates_key]))
    return Item(**_held(connection, row), sensitive=sensitive, place=place, total=total)


def _held(connection: Connection, row: Row[Any]) -> dict[str, Any]:
    queued = candidates_of(connection, row.candidates_key)
    last = last_of(connection, row.number)
    submission = read(connection, last) if last else None
    shown = row.shown_order or (submission and submission.ranking.shown_order)
    return {
        "number": row.number,
        "labeler": row.labeler_id,
        "queue": row.name,
        "candidates": queued,
        "shown_order": tuple(shown or range(len(queued.responses))),
        "state": "done" if row.label_key else "skipped" if row.skipped else "open",
        "ratings": Asked(row.ratings),
        "guidelines": row.version,
        "leased_until": row.leased_until,
        "draft": row.draft,
        "revision": row.revision or 0,
        "submission": submission,
    }


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
