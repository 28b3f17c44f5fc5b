"""Erasing a person: what they wrote goes from every table, ids and dates stay.

It reaches all that hangs on the person's prompts: the prompts themselves, what was decided, found
and annotated, the answers that models gave, and the labels of these. What is a person's is found by
`prompt_key`, and by the prompt's id where a record names a prompt that the store knows not alone.
"""

from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, Table, and_, func, insert, or_, select, update

from instructgpt.errors import UserError
from instructgpt.store.audit import note, now
from instructgpt.store.engine import Database
from instructgpt.store.tables import (
    audit,
    candidates,
    completions,
    metadata,
    prompts,
    snapshot_users,
    snapshots,
    stale_snapshots,
    users,
)

REASON = "a person was erased"
MEANWHILE = "somebody was erased meanwhile; run the same command again"


class StaleSnapshot(NamedTuple):
    """A snapshot that holds what was erased: its name, folder and digest, and since when."""

    name: str
    folder: Path
    digest: str
    at: str


def erase_user(connection: Connection, user: str) -> dict[str, int]:
    """Empty all that hangs on a user's prompts, and note that the snapshots with it are stale.

    Args:
        connection: in a transaction that may erase.
        user: the id.

    Returns:
        How many rows were emptied, by table; those that were empty already are not counted.

    Raises:
        UserError: the store knows no such user.
    """
    if not connection.scalar(select(users.c.id).where(users.c.id == user)):
        raise UserError(f"--user {user}: the store knows no such user; check the id")
    emptied: dict[str, int] = {}
    for table in reversed(metadata.sorted_tables):  # prompts last: they say what is whose
        texts = [column for column in table.c if column.info.get("text")]
        if not texts:
            continue
        its = _of_user(table, user)
        filled = or_(*(column.is_not(None) for column in texts))
        values: dict[str, Any] = {column.name: None for column in texts}
        if "erased" in table.c:
            values["erased"] = now()
        found = connection.execute(update(table).where(its, filled).values(values)).rowcount
        emptied |= {table.name: found} if found else {}
    _mark(connection, user)
    note(connection, "erase", user=user, rows=emptied)
    return emptied


def last_erasure(connection: Connection) -> int | None:
    """The number of the last one in the audit; None before the first."""
    return connection.scalar(select(func.max(audit.c.number)).where(audit.c.what == "erase"))


def refuse_if_erased_since(connection: Connection, last: int | None) -> None:
    """Refuse what was made of texts that were read before somebody was erased.

    Args:
        connection: in the transaction that writes.
        last: the last erasure when reading began.

    Raises:
        UserError: there is a later one.
    """
    if last_erasure(connection) != last:
        raise UserError(MEANWHILE)


def scrub(database: Database) -> None:
    """Have the database forget the bytes of what is no longer in it.

    Raises:
        UserError: somebody else reads or writes; the same command goes on.
    """
    with database.alone() as connection:
        if not database.is_sqlite:
            names = [t.name for t in metadata.sorted_tables if any(c.info for c in t.c)]
            connection.exec_driver_sql(f"VACUUM (FULL) {', '.join(names)}")
            return
        connection.exec_driver_sql("VACUUM")
        busy = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").scalar_one()
        if busy:
            raise UserError(
                f"{database.name}: the rows are erased, but another program has the file open and "
                "its bytes remain; close that and run the same command again"
            )


def stale_of(connection: Connection, user: str) -> list[StaleSnapshot]:
    """The stale snapshots that hold a user's texts, the oldest first."""
    query = (
        select(snapshots.c.name, snapshots.c.folder, snapshots.c.digest, stale_snapshots.c.at)
        .join(snapshot_users, snapshot_users.c.snapshot == snapshots.c.number)
        .join(stale_snapshots, stale_snapshots.c.snapshot == snapshots.c.number)
        .where(snapshot_users.c.user_id == user)
        .order_by(snapshots.c.number)
    )
    return [StaleSnapshot(n, Path(f), d, at) for n, f, d, at in connection.execute(query)]


def _of_user(table: Table, user: str) -> Any:
    """The rows of a table that hang on a user's prompts."""
    own = prompts.c.user_id == user
    if table is prompts:
        return own
    if table is completions:
        theirs = select(candidates.c.key).where(_of_user(candidates, user))
        return completions.c.candidates_key.in_(theirs)
    its = table.c.prompt_key.in_(select(prompts.c.key).where(own))
    if "prompt_id" not in table.c:
        return its
    by_id = table.c.prompt_id.in_(select(prompts.c.id).where(own))
    return or_(its, and_(table.c.prompt_key.is_(None), by_id))


def _mark(connection: Connection, user: str) -> None:
    known = select(stale_snapshots.c.snapshot)
    held = select(snapshot_users.c.snapshot).where(snapshot_users.c.user_id == user)
    numbers = connection.scalars(held.where(snapshot_users.c.snapshot.not_in(known))).all()
    rows = [{"snapshot": number, "reason": REASON, "at": now()} for number in numbers]
    if rows:
        connection.execute(insert(stale_snapshots), rows)
