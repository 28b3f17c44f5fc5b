"""What people work on: queues and what they ask, the items that somebody has in hand, drafts, and
what was handed in. Each call is a transaction.
"""

import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, insert, select, update

from instructgpt.data.records import Candidates, Ranking, Rating
from instructgpt.errors import UserError
from instructgpt.store import items, labels, overview, submitting
from instructgpt.store.audit import note, now
from instructgpt.store.engine import Database
from instructgpt.store.items import Held as Held
from instructgpt.store.items import Item as Item
from instructgpt.store.labels import Taken as Taken
from instructgpt.store.overview import Asked as Asked
from instructgpt.store.overview import Queue as Queue
from instructgpt.store.overview import TaskRow as TaskRow
from instructgpt.store.records import batches, insert_new
from instructgpt.store.submitting import Submission as Submission
from instructgpt.store.tables import (
    accounts,
    assignments,
    drafts,
    guidelines,
    queues,
    skips,
    tasks,
)

EDITABLE = 24 * 3600.0
"""Seconds for which a submission can be edited or taken back by who made it."""


class Kept(NamedTuple):
    """A draft, and which revision of it."""

    revision: int
    draft: dict[str, Any]


class Desk:
    """The work of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def queues(self) -> list[Queue]:
        """All queues, in the order in which they are worked on."""
        with self._database.reading() as connection:
            return overview.queues_of(connection)

    def queue(self, name: str) -> Queue | None:
        """The queue of a name."""
        with self._database.reading() as connection:
            return next(iter(overview.queues_of(connection, name)), None)

    def make_queue(
        self,
        name: str,
        batch: Iterable[Candidates],
        *,
        overlap: int,
        ratings: Asked = Asked.FULL,
        priority: int = 0,
        guidelines: str = "",
        by: str,
    ) -> int:
        """Make a queue, or add to the one of this name, which keeps what it asks; how many answers
        are new. All or nothing.

        Raises:
            UserError: the name is none, there are no answers, or the queue has another overlap.
        """
        if not name.strip() or name != name.strip() or not name.isprintable() or "/" in name:
            raise UserError(f"{name!r:.120}: is no name of a queue; give letters that are shown")
        asked = {"ratings": Asked(ratings).value, "priority": priority}
        with self._database.writing() as connection:
            own = queues.c.name == name
            last = select(func.max(tasks.c.place)).join(queues).where(own)
            first, new, total = (connection.scalar(last) or 0) + 1, 0, 0
            for some in batches(batch):
                new += labels.enqueue(connection, name, some, overlap, first + total, **asked)
                total += len(some)
            if not total:
                raise UserError(f"the queue {name} would hold nothing; give it answers to rank")
            note(connection, "fill queue", by=by, queue=name, answers=new)
            if guidelines.strip():
                _add_guidelines(connection, name, guidelines, by)
        return new

    def change_queue(
        self,
        name: str,
        *,
        by: str,
        overlap: int | None = None,
        ratings: Asked | None = None,
        priority: int | None = None,
        paused: bool | None = None,
        guidelines: str | None = None,
    ) -> Queue:
        """Change what a queue asks; labels that were given stay.

        Raises:
            UserError: there is no such queue, or no such overlap.
        """
        if overlap is not None and overlap < 1:
            raise UserError(f"overlap {overlap}: answers need a label; give 1 or more")
        given = {"overlap": overlap, "priority": priority, "paused": paused}
        given |= {"ratings": Asked(ratings).value if ratings else None}
        values: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
        with self._database.writing() as connection:
            row = labels.lock_queue(connection, name)
            values = {key: value for key, value in values.items() if getattr(row, key) != value}
            if values:
                own = queues.c.number == row.number
                connection.execute(update(queues).where(own).values(values))
                note(connection, "change queue", by=by, queue=name, **values)
            if guidelines is not None:
                _add_guidelines(connection, name, guidelines, by)
            return overview.queues_of(connection, name)[0]

    def guidelines(self, queue: str, version: int | None = None) -> tuple[int, str] | None:
        """A queue's guidelines, the latest if no version is named: the version, and the text."""
        with self._database.reading() as connection:
            return overview.guidelines_of(connection, queue, version)

    def next(self, labeler: str, queue: str | None = None) -> Item | None:
        """The next item for a labeler, as `take` says."""
        taken = self.take(labeler, queue)
        return self.item(taken.number) if taken else None  # others may claim meanwhile

    def take(self, labeler: str, queue: str | None = None) -> Taken | None:
        """Put the next item into a labeler's hands, an hour nobody else's: what is there already,
        else by priority and age; None where there is none. Who hides sensitive prompts gets none of
        them.

        Raises:
            UserError: there is no such queue.
        """
        with self._database.writing() as connection:
            own = accounts.c.name == labeler
            preferences = connection.scalar(select(accounts.c.preferences).where(own)) or {}
            sensitive = not preferences.get("hide_sensitive")
            return labels.claim(connection, labeler, queue, sensitive=sensitive)

    def held(self, number: int) -> Held | None:
        """An item as far as it is needed to take what its labeler says of it."""
        with self._database.reading() as connection:
            return items.held_of(connection, number)

    def item(self, number: int) -> Item | None:
        """An item that somebody has or had in hand; None if there is none, or it was erased."""
        with self._database.reading() as connection:
            return items.item_of(connection, number)

    def save(self, number: int, draft: dict[str, Any], revision: int) -> Kept:
        """Keep what was begun, if no later revision is kept; the lease lasts another hour.

        Returns:
            What is kept then.

        Raises:
            UserError: there is no such item.
        """
        with self._database.writing() as connection:
            if (found := items.of_answers(connection, number)) is None:
                raise UserError(f"there is no item {number}; go back to your work")
            values = {"draft": draft, "revision": revision, "at": now()}
            insert_new(connection, drafts, [{"assignment": number, **found, **values}])
            own = drafts.c.assignment == number
            later = update(drafts).where(own, drafts.c.revision < revision)
            connection.execute(later.values(values))
            labels.renew(connection, number, time.time() + labels.LEASE)
            query = select(drafts.c.revision, drafts.c.draft).where(own)
            return Kept(*connection.execute(query).one())

    def skip(self, number: int, reason: str, note: str = "") -> None:
        """Leave an item to others, for a reason; it does not come back to who skipped it.

        Raises:
            UserError: there is no such item, or it is submitted.
        """
        with self._database.writing() as connection:
            if (found := items.of_answers(connection, number)) is None:
                raise UserError(f"there is no item {number}; go back to your work")
            own = assignments.c.number == number
            open_ = (own, assignments.c.label_key.is_(None))
            gone = {"skipped": True, "leased_until": 0.0}
            if not connection.execute(update(assignments).where(*open_).values(gone)).rowcount:
                raise UserError(f"item {number} is submitted; take that back to skip it")
            values = {"reason": reason, "note": note or None, "at": now()}
            connection.execute(insert(skips).values({"assignment": number, **found, **values}))

    def submit(
        self,
        number: int,
        key: str,
        ranking: Ranking,
        ratings: Sequence[Rating],
        *,
        seconds: float,
        guidelines: int | None,
    ) -> Submission:
        """Hand in what a labeler says of an item, on the disk when this returns. `key` names the
        page that was sent: sent twice, it is one submission. Another page is a new version.

        Raises:
            UserError: the records are of another item or labeler, or a day has passed since the
                submission that this would edit.
        """
        with self._database.writing() as connection:
            return submitting.submit(
                connection,
                number,
                ranking,
                ratings,
                page=key,
                seconds=seconds,
                guidelines=guidelines,
                within=EDITABLE,
            )

    def withdraw(self, number: int, *, by: str) -> None:
        """Take back what was submitted of an item, which is in hand again.

        Raises:
            UserError: nothing is submitted, or a day ago.
        """
        with self._database.writing() as connection:
            until = time.time() + labels.LEASE
            submitting.withdraw(connection, number, by, until, within=EDITABLE)

    def history(self, labeler: str, limit: int = 100, before: int | None = None) -> list[Item]:
        """What a labeler submitted and skipped, the latest in hand first; `before` that item."""
        with self._database.reading() as connection:
            return items.history_of(connection, labeler, limit, before)

    def versions(self, number: int) -> list[Submission]:
        """All that was submitted of an item, the latest first."""
        with self._database.reading() as connection:
            return submitting.versions_of(connection, number)

    def items(self, queue: str, offset: int = 0, limit: int = 100) -> list[TaskRow]:
        """The prompts of a queue, and who has what of them in hand or submitted."""
        with self._database.reading() as connection:
            return overview.tasks_of(connection, queue, offset, limit)

    def task(self, number: int) -> tuple[TaskRow, Candidates, list[Item]] | None:
        """A prompt of a queue, its answers, and the items that labelers had of it."""
        with self._database.reading() as connection:
            return items.task_of(connection, number)

    def time(self, labeler: str) -> list[tuple[str, int, float]]:
        """By day, the latest first: how many items a labeler submitted, in how many seconds."""
        with self._database.reading() as connection:
            return items.days_of(connection, labeler)

    def latest(self, queue: str) -> int:
        """The number of the last submission of a queue; 0 where there is none."""
        with self._database.reading() as connection:
            return overview.latest_of(connection, queue)


def _add_guidelines(connection: Connection, name: str, content: str, by: str) -> None:
    """A new version, if it says something else than the latest."""
    latest = overview.guidelines_of(connection, name, None)
    if latest and latest[1] == content:
        return
    number = connection.scalar(select(queues.c.number).where(queues.c.name == name))
    own = guidelines.c.queue == number
    version = (connection.scalar(select(func.max(guidelines.c.version)).where(own)) or 0) + 1
    values = {"queue": number, "version": version, "content": content, "by": by, "at": now()}
    connection.execute(insert(guidelines).values(values))
    note(connection, "write guidelines", by=by, queue=name, version=version)
