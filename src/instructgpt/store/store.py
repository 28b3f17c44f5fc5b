"""`Store`: the one object through which everything else reads and writes a store."""

import json
import secrets
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from sqlalchemy import select

from instructgpt.data.records import Candidates, Prompt, Ranking, Record
from instructgpt.data.snapshots import MANIFEST, is_snapshot, mark_stale, whole_digest
from instructgpt.errors import UserError
from instructgpt.run.disk import explained, new_folder
from instructgpt.store import labels
from instructgpt.store.accounts import Accounts
from instructgpt.store.audit import note, now
from instructgpt.store.desk import Desk
from instructgpt.store.engine import Database, store_url
from instructgpt.store.erase import (
    StaleSnapshot,
    erase_labeler,
    erase_user,
    last_erasure,
    refuse_if_erased_since,
    scrub,
    stale_of,
)
from instructgpt.store.records import (
    BATCH,
    LABELS,
    add_labels,
    add_prompts,
    batches,
    insert_new,
)
from instructgpt.store.schema import prepare
from instructgpt.store.snapshot import add_snapshot, add_whose, rules_of, write_files
from instructgpt.store.submitting import submit
from instructgpt.store.tables import keys

SECRET = "hash"


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
    def accounts(self) -> Accounts:
        """Who may log in."""
        return Accounts(self.database)

    @property
    def desk(self) -> Desk:
        """What people work on."""
        return Desk(self.database)

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
            for batch in batches(group):
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
        for number, batch in enumerate(batches(candidates)):
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
            taken = labels.claim(connection, labeler, queue, only, lease)
            return None if taken is None else labels.assignment_of(connection, taken.number)

    def submit(self, assignment: labels.Assignment | int, record: Ranking) -> str:
        """Hand in the ranking of an assignment, on the disk when this returns; a second one is an
        edit. Its key.

        Raises:
            UserError: it is not of those answers or that labeler.
        """
        number = assignment if isinstance(assignment, int) else assignment.number
        with self.database.writing() as connection:
            return submit(connection, number, record).key

    def progress(self, queue: str) -> labels.Progress:
        """How many of a queue's prompts have all their labels."""
        with self.database.reading() as connection:
            return labels.progress(connection, queue)

    def rankings(self, queue: str) -> list[tuple[str, Ranking]]:
        """The rankings that a queue has got, each with the key of its candidates."""
        with self.database.reading() as connection:
            return list(labels.labels_of(connection, queue))

    def snapshot(self, name: str, out: Path, *, noted: str = "") -> dict[str, Any]:
        """Write what may be trained on as files, all or none, and note it; the manifest.

        Args:
            name: of the snapshot.
            out: its folder; an older snapshot that is there is replaced.
            noted: what the store notes of where it is, if it does not stay in `out`.

        Raises:
            UserError: something else is in the folder, or it cannot be written.
        """
        if out.exists() and not (out.is_dir() and (is_snapshot(out) or not any(out.iterdir()))):
            raise UserError(f"--out {out}: holds something else than a snapshot; choose another")
        at = now()
        with explained(out):
            out.absolute().parent.mkdir(parents=True, exist_ok=True)
            with new_folder(out) as folder:
                with self.database.reading() as connection:
                    written = write_files(connection, folder)
                    rules, erased = rules_of(connection), last_erasure(connection)
                manifest = {
                    "name": name,
                    "digest": whole_digest(written.files),
                    "files": written.files,
                    "left_out": written.left_out,
                    "rules": rules or {},
                    "created": at,
                    "store": self.database.name,
                }
                (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
                with self.database.writing() as connection:  # before anybody can read the files
                    refuse_if_erased_since(connection, erased)
                    number = add_snapshot(connection, manifest, noted or str(out.resolve()), at)
                    add_whose(connection, number, written)
                    note(connection, "snapshot", name=name, digest=manifest["digest"])
        return manifest

    def erase(
        self, user: str = "", *, labeler: str = ""
    ) -> tuple[dict[str, int], list[StaleSnapshot]]:
        """Erase what a user wrote and all that hangs on it, or what a labeler wrote; how many rows
        were emptied, by table, and the snapshots that hold it, which are marked. Once more, it goes
        on where it stopped.

        Raises:
            UserError: there is no such user or labeler, or others have the store open.
        """
        with self.database.writing(erasing=True) as connection:
            emptied = (
                erase_labeler(connection, labeler) if labeler else erase_user(connection, user)
            )
        with self.database.reading() as connection:
            stale = stale_of(connection, user=user, labeler=labeler)
        for one in stale:
            mark_stale(one.folder, one.digest, one.at)
        scrub(self.database)
        return emptied, stale

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
