"""`Store`: the one object through which everything else reads and writes a store."""

import secrets
from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from types import TracebackType
from typing import Self, TypeVar, cast

from sqlalchemy import select

from instructgpt.data.records import Candidates, Prompt, Ranking, Record
from instructgpt.errors import UserError
from instructgpt.store import labels
from instructgpt.store.engine import Database, store_url
from instructgpt.store.records import LABELS, add_labels, add_prompts, insert_new
from instructgpt.store.schema import prepare
from instructgpt.store.tables import keys

BATCH = 5_000
"""Records of a transaction."""
SECRET = "hash"
R = TypeVar("R", bound=Record)


class Store:
    """People's data: prompts, decisions about them, labels.

    Attributes:
        database: where the rows are; `reading` and `writing` are its transactions.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    @classmethod
    def open(cls, url: str | None = None, *, make: bool = True) -> Self:
        """Open a store; one that is not there yet is made, if `make`.

        Args:
            url: `sqlite:///FILE`, `postgresql+psycopg://…`; None for `INSTRUCTGPT_DB`, or else
                `instructgpt.db` in this folder.
            make: whether to make what is not there.

        Raises:
            UserError: it cannot be opened, or has the tables of another version.
        """
        store = cls(Database(store_url(url)))
        try:
            prepare(store.database, make=make)
            store._make_key()
        except BaseException:
            store.close()
            raise
        return store

    @property
    def key(self) -> bytes:
        """The secret key of this store's keyed hashes: 32 bytes."""
        with self.database.reading() as connection:
            found = connection.scalar(select(keys.c.value).where(keys.c.name == SECRET))
        assert found
        return found

    def add(self, records: Iterable[Record]) -> None:
        """Add records of any kind but candidates, which `queue` takes; what is there already stays.

        Raises:
            UserError: one is no record.
        """
        for kind, group in groupby(records, type):
            if kind is not Prompt and kind not in LABELS:
                names = ", ".join(known.__name__ for known in (Prompt, *LABELS))
                raise UserError(f"found a {kind.__name__}; a store takes {names}")
            for batch in _batches(group):
                with self.database.writing() as connection:
                    if kind is Prompt:
                        add_prompts(connection, cast("list[Prompt]", batch))
                    else:
                        add_labels(connection, kind, batch)

    def queue(
        self, candidates: Iterable[Candidates], *, overlap: int, name: str = "answers"
    ) -> None:
        """Put answers into a queue, where labelers claim them; those that are in it stay.

        Args:
            candidates: the answers to some prompts, K each.
            overlap: how many labelers rank each.
            name: of the queue.

        Raises:
            UserError: the queue has another overlap.
        """
        for number, batch in enumerate(_batches(candidates)):
            with self.database.writing() as connection:
                labels.enqueue(connection, name, batch, overlap, number * BATCH)

    def claim(
        self,
        labeler: str,
        *,
        queue: str | None = None,
        only: str | None = None,
        lease: float = labels.LEASE,
    ) -> labels.Assignment | None:
        """The next answers for a labeler to rank, for `lease` seconds nobody else's; None where
        there are none. `only` is the `key_of` the one row of candidates that is wanted.

        Raises:
            UserError: there is no such queue.
        """
        with self.database.writing() as connection:
            return labels.claim(connection, labeler, queue, only, lease)

    def submit(self, assignment: labels.Assignment | int, record: Ranking) -> str:
        """Hand in the ranking of an assignment, on the disk when this returns; a second one is an
        edit. Its key.

        Raises:
            UserError: it is not of those answers or that labeler, or the lease ran out and others
                have labeled instead.
        """
        number = assignment if isinstance(assignment, int) else assignment.number
        with self.database.writing() as connection:
            return labels.submit(connection, number, record)

    def progress(self, queue: str) -> labels.Progress:
        """How many of a queue's prompts have all their labels."""
        with self.database.reading() as connection:
            return labels.progress(connection, queue)

    def rankings(self, queue: str) -> list[tuple[str, Ranking]]:
        """The rankings that a queue has got, each with the key of its candidates."""
        with self.database.reading() as connection:
            return list(labels.labels_of(connection, queue))

    def close(self) -> None:
        """Let go of the database."""
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _make_key(self) -> None:
        """Draw the secret at the first opening; of two that open at a time, one is kept."""
        with self.database.reading() as connection:
            if connection.scalar(select(keys.c.name).where(keys.c.name == SECRET)):
                return
        with self.database.writing() as connection:
            insert_new(connection, keys, [{"name": SECRET, "value": secrets.token_bytes(32)}])


def _batches(records: Iterable[R]) -> Iterator[list[R]]:
    records = iter(records)
    while batch := list(islice(records, BATCH)):
        yield batch
