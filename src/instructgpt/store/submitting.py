"""Handing in and taking back: what a labeler says of answers becomes a submission, whose labels are
facts. Of an assignment the last submission counts; each names what it is an edit of.
"""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, delete, insert, select, update

from instructgpt.data.records import Candidates, Ranking, Rating, Record
from instructgpt.errors import UserError
from instructgpt.store.answers import candidates_of
from instructgpt.store.audit import now
from instructgpt.store.labels import lock_queue_of
from instructgpt.store.records import LABELS, add_labels, as_row
from instructgpt.store.tables import (
    assignments,
    drafts,
    submissions,
    submitted_labels,
    tasks,
    withdrawals,
)


@dataclass(frozen=True)
class Submission:
    """What was handed in of some answers, one version of it.

    Attributes:
        number: of the submission; a later version has a greater one.
        ranking: of all answers.
        ratings: of each answer, as far as they were asked for.
        seconds: of work, those of the versions before among them.
        guidelines: the version that was read.
        at: when, in UTC.
        withdrawn: whether it was taken back.
        key: the ranking's.
    """

    number: int
    ranking: Ranking
    ratings: tuple[Rating, ...]
    seconds: float
    guidelines: int | None
    at: str
    withdrawn: bool
    key: str

    def is_late(self, seconds: float) -> bool:
        """Whether it is so old."""
        return _is_late(self.at, seconds)


class _Kept(NamedTuple):
    """Labels that are there: their keys and rows, the ranking first."""

    keys: list[str]
    rows: list[dict[str, Any] | None]


def submit(
    connection: Connection,
    number: int,
    ranking: Ranking,
    ratings: Sequence[Rating] = (),
    *,
    page: str | None = None,
    seconds: float = 0.0,
    guidelines: int | None = None,
    within: float | None = None,
) -> Submission:
    """Take what a labeler says of the answers of an assignment. A second time it is an edit, if it
    says something else or what was said has been withdrawn.

    Args:
        connection: in a transaction that writes.
        number: of the assignment.
        ranking: of its answers; a missing `labeler_id` is the assignment's.
        ratings: of its answers.
        page: whatever names the page that was sent: sent again, it is nothing new.
        seconds: of work.
        guidelines: the version that was read.
        within: seconds in which a submission can be edited; None for any time.

    Returns:
        What then counts; of a page that was sent before, what it said then.

    Raises:
        UserError: there is no such assignment, a record is of other answers or another labeler, or
            it is too late.
    """
    task = _task_of(connection, number)
    queued = candidates_of(connection, task.candidates_key)
    _refuse_another(queued, ranking, ratings, task.labeler_id)
    versions = connection.execute(_versions(number)).all()
    if known := next((row for row in versions if row.page == page), None):
        return _known(connection, known)
    before = versions[0] if versions else None
    if before and not before.withdrawn:
        _refuse_late(before.at, within)
    gone = bool(before and before.withdrawn)
    kept = _kept(connection, before)
    made = _add(connection, task, kept, ranking, ratings, gone=gone)
    if not gone and sorted(made) == sorted(kept.keys):
        assert before
        return _known(connection, before)
    at, named = now(), {"labeler_id": task.labeler_id}
    values = {"assignment": number, "page": page or secrets.token_urlsafe(12), "seconds": seconds}
    values |= {"guidelines": guidelines, "at": at}
    added = insert(submissions).values(values).returning(submissions.c.number)
    own = connection.execute(added).scalar_one()
    links = [{"submission": own, "key": key, "place": n} for n, key in enumerate(made)]
    connection.execute(insert(submitted_labels), links)
    connection.execute(delete(drafts).where(drafts.c.assignment == number))
    its = assignments.c.number == number
    connection.execute(update(assignments).where(its).values(label_key=made[0], skipped=False))
    if task.label_key is None:
        _count(connection, task.task, 1)
    return Submission(
        number=own,
        ranking=ranking.model_copy(update=named),
        ratings=tuple(rating.model_copy(update=named) for rating in ratings),
        seconds=seconds,
        guidelines=guidelines,
        at=at,
        withdrawn=False,
        key=made[0],
    )


def withdraw(
    connection: Connection, number: int, by: str, until: float, *, within: float | None = None
) -> None:
    """Take back what was submitted of an assignment, all versions: it is in hand again, leased
    until then.

    Raises:
        UserError: there is nothing to take back, or it is too late: more than `within` seconds.
    """
    task, last = _task_of(connection, number), last_of(connection, number)
    if task.label_key is None or last is None:
        raise UserError("nothing is submitted that could be taken back; load the page again")
    _refuse_late(last.at, within)
    counting = [row.number for row in connection.execute(_versions(number)) if not row.withdrawn]
    rows = [{"submission": own, "by": by, "at": now()} for own in counting]
    connection.execute(insert(withdrawals), rows)
    its = assignments.c.number == number
    values = {"label_key": None, "leased_until": until}
    connection.execute(update(assignments).where(its).values(values))
    _count(connection, task.task, -1)


def last_of(connection: Connection, number: int) -> Row[Any] | None:
    """The last submission of an assignment, with `withdrawn`: by whom it was taken back."""
    return connection.execute(_versions(number).limit(1)).one_or_none()


def versions_of(connection: Connection, number: int) -> list[Submission]:
    """All submissions of an assignment, the latest first; those that were erased are left out."""
    found = (read(connection, row) for row in connection.execute(_versions(number)).all())
    return [one for one in found if one]


def read(connection: Connection, row: Row[Any]) -> Submission | None:
    """A submission with its records; None if they were erased."""
    keys = _labels_of(connection, row.number)
    (ranking, *ratings) = [_row_of(connection, key, n) for n, key in enumerate(keys)]
    if ranking is None:
        return None
    return Submission(
        number=row.number,
        ranking=Ranking.model_validate(ranking),
        ratings=tuple(Rating.model_validate(one) for one in ratings if one),
        seconds=row.seconds,
        guidelines=row.guidelines,
        at=row.at,
        withdrawn=bool(row.withdrawn),
        key=keys[0],
    )


def _known(connection: Connection, row: Row[Any]) -> Submission:
    """A submission whose answers were not erased."""
    found = read(connection, row)
    assert found
    return found


def _is_late(at: str, seconds: float) -> bool:
    return (datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds() > seconds


def _refuse_late(at: str, within: float | None) -> None:
    if within is not None and _is_late(at, within):
        raise UserError("this was submitted more than 24 hours ago; it stays as it is")


def _versions(number: int) -> Any:
    joined = submissions.outerjoin(withdrawals)
    return (
        select(submissions, withdrawals.c.at.label("withdrawn"))
        .select_from(joined)
        .where(submissions.c.assignment == number)
        .order_by(submissions.c.number.desc())
    )


def _labels_of(connection: Connection, submission: int) -> list[str]:
    """The keys of a submission's labels, the ranking first."""
    own = submitted_labels.c
    query = select(own.key).where(own.submission == submission).order_by(own.place)
    return list(connection.scalars(query))


def _row_of(connection: Connection, key: str, place: int) -> dict[str, Any] | None:
    table = LABELS[Rating if place else Ranking]
    return connection.scalar(select(table.c.record).where(table.c.key == key))


def _kept(connection: Connection, last: Row[Any] | None) -> _Kept:
    """The labels of the last submission, if there is one."""
    keys = _labels_of(connection, last.number) if last else []
    return _Kept(keys, [_row_of(connection, key, place) for place, key in enumerate(keys)])


def _add(
    connection: Connection,
    task: Row[Any],
    kept: _Kept,
    ranking: Ranking,
    ratings: Iterable[Rating],
    *,
    gone: bool,
) -> list[str]:
    """Add the labels that say something else than those that are there, each as an edit of its
    own; their keys, the ranking's first. What is `gone` does not count, whatever it says.
    """
    own = {"candidates_key": task.candidates_key}
    named = {"labeler_id": task.labeler_id}
    old = (kept.keys[0], kept.rows[0]) if kept.keys else (None, None)
    made = [_edit(connection, ranking.model_copy(update=named), old, gone, **own)]
    at = {_answer(row): n for n, row in enumerate(kept.rows) if n and row}
    for rating in ratings:
        row = as_row(rating.model_copy(update=named))
        place = at.get(_answer(row))
        old = (kept.keys[place], kept.rows[place]) if place else (None, None)
        made.append(_edit(connection, rating.model_copy(update=named), old, gone))
    return list(dict.fromkeys(made))


def _edit(
    connection: Connection,
    record: Record,
    old: tuple[str | None, dict[str, Any] | None],
    gone: bool,
    **columns: Any,
) -> str:
    key, row = old
    if key and row == as_row(record) and not gone:
        return key
    columns |= {"replaces": key} if key else {}
    return add_labels(connection, type(record), [record], **columns)[0]


def _answer(row: dict[str, Any]) -> tuple[Any, Any]:
    """Which answer a rating is of."""
    return row.get("response"), row.get("model")


def _count(connection: Connection, task: int, more: int) -> None:
    its = update(tasks).where(tasks.c.number == task)
    connection.execute(its.values(labels=tasks.c.labels + more))


def _task_of(connection: Connection, number: int) -> Row[Any]:
    """An assignment with its task, the queue locked."""
    lock_queue_of(connection, number)
    columns = (assignments.c.task, assignments.c.labeler_id, assignments.c.label_key)
    query: Any = select(*columns, tasks.c.candidates_key).select_from(assignments.join(tasks))
    return connection.execute(query.where(assignments.c.number == number)).one()


def _refuse_another(
    queued: Candidates, ranking: Ranking, ratings: Iterable[Rating], labeler: str
) -> None:
    for record in (ranking, *ratings):
        if record.labeler_id not in (None, labeler):
            raise UserError(
                f"the answers were claimed by {labeler}; {record.labeler_id} claims others"
            )
    texts = [[answer.text for answer in one.responses] for one in (queued, ranking)]
    of = (queued.prompt_id, queued.prompt)
    same = of == (ranking.prompt_id, ranking.prompt) and texts[0] == texts[1]
    rated = all((one.prompt_id, one.prompt) == of and one.response in texts[0] for one in ratings)
    if not (same and rated):
        raise UserError(
            f"the ranking is not of the answers that were claimed (prompt {queued.prompt_id}); "
            "submit it with the prompt and the answers as they were given"
        )
