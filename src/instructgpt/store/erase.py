"""Erasing a person: what they wrote goes from every table, ids and dates stay.

Of a user it reaches all that hangs on the person's prompts: the prompts themselves, what was
decided, found and annotated, the answers that models gave, and the labels of these. What is a
person's is found by `prompt_key`, and by the prompt's id where a record names a prompt that the
store knows not alone. Of a labeler it reaches what this one wrote: demonstrations, prompts, drafts,
notes; of rankings and ratings the words go and the judgments stay.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, Table, and_, func, insert, or_, select, update

from instructgpt.data.records import Demonstration, Ranking, Rating, Record, Response
from instructgpt.errors import UserError
from instructgpt.store.audit import note, now
from instructgpt.store.engine import Database
from instructgpt.store.records import LABELS
from instructgpt.store.tables import (
    assignments,
    audit,
    candidates,
    completions,
    drafts,
    labelers,
    metadata,
    prompts,
    skips,
    snapshot_labelers,
    snapshot_users,
    snapshots,
    stale_snapshots,
    users,
)

OF_THE_PROMPT = ("use_case", "split", "checks")
"""Columns that a prompt hands on to its labels."""
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
    emptied = _empty_prompts(connection, prompts.c.user_id == user)
    _mark(connection, snapshot_users, user)
    note(connection, "erase", user=user, rows=dict(emptied))
    return dict(emptied)


def erase_labeler(connection: Connection, labeler: str) -> dict[str, int]:
    """Empty what a labeler wrote, and note that the snapshots with it are stale.

    Args:
        connection: in a transaction that may erase.
        labeler: the id.

    Returns:
        How many rows were emptied, or lost their words, by table.

    Raises:
        UserError: the store knows no such labeler.
    """
    if not connection.scalar(select(labelers.c.id).where(labelers.c.id == labeler)):
        raise UserError(f"--labeler {labeler}: the store knows no such labeler; check the id")
    emptied = _empty_prompts(connection, prompts.c.record["labeler_id"].as_string() == labeler)
    emptied["demonstrations"] += _empty(
        connection, LABELS[Demonstration], LABELS[Demonstration].c.labeler_id == labeler
    )
    for kind in (Ranking, Rating):
        emptied[LABELS[kind].name] += _take_words(connection, kind, labeler)
    in_hand = select(assignments.c.number).where(assignments.c.labeler_id == labeler)
    for table in (drafts, skips):
        emptied[table.name] += _empty(connection, table, table.c.assignment.in_(in_hand))
    held = ("prompts", *(table.name for table in LABELS.values()))
    if any(emptied[name] for name in held):  # a snapshot written since has judgments alone
        _mark(connection, snapshot_labelers, labeler)
    note(connection, "erase", labeler=labeler, rows=dict(+emptied))
    return dict(+emptied)


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


def stale_of(connection: Connection, *, user: str = "", labeler: str = "") -> list[StaleSnapshot]:
    """The stale snapshots that hold a user's or a labeler's texts, the oldest first."""
    whose = snapshot_labelers if labeler else snapshot_users
    query = (
        select(snapshots.c.name, snapshots.c.folder, snapshots.c.digest, stale_snapshots.c.at)
        .join(whose, whose.c.snapshot == snapshots.c.number)
        .join(stale_snapshots, stale_snapshots.c.snapshot == snapshots.c.number)
        .where(_person(whose) == (labeler or user))
        .order_by(snapshots.c.number)
    )
    return [StaleSnapshot(n, Path(f), d, at) for n, f, d, at in connection.execute(query)]


def words_taken(kind: type[Record], row: Mapping[str, Any]) -> dict[str, Any]:
    """A ranking's or rating's row without what its labeler wrote: its own fields stay, and the
    columns that it has from its prompt; of all others numbers, true and false.
    """
    kept = {
        name: value
        for name, value in row.items()
        if name in kind.model_fields or name in OF_THE_PROMPT or _is_number(value)
    }
    if answers := kept.get("responses"):
        kept["responses"] = [
            {n: v for n, v in answer.items() if n in Response.model_fields or _is_number(v)}
            for answer in answers
        ]
    return kept


def _is_number(value: Any) -> bool:
    return isinstance(value, bool | int | float)


def _take_words(connection: Connection, kind: type[Record], labeler: str) -> int:
    table = LABELS[kind]
    own = (table.c.labeler_id == labeler, table.c.erased.is_(None))
    found = connection.execute(select(table.c.key, table.c.record).where(*own)).all()
    rows = [(key, record, words_taken(kind, record)) for key, record in found]
    changed = [(key, after) for key, before, after in rows if before != after]
    for key, record in changed:
        connection.execute(update(table).where(table.c.key == key).values(record=record))
    return len(changed)


def _empty_prompts(connection: Connection, own: Any) -> Counter[str]:
    """Empty some prompts and all that hangs on them; how many rows, by table."""
    emptied = Counter[str]()
    for table in reversed(metadata.sorted_tables):  # prompts last: they say what is whose
        if any(column.info.get("text") for column in table.c):
            emptied[table.name] += _empty(connection, table, _of_prompts(table, own))
    return +emptied


def _empty(connection: Connection, table: Table, its: Any) -> int:
    """Empty the texts of some rows of a table; how many had any."""
    texts = [column for column in table.c if column.info.get("text")]
    values: dict[str, Any] = {column.name: None for column in texts}
    if "erased" in table.c:
        values["erased"] = now()
    filled = or_(*(column.is_not(None) for column in texts))
    return connection.execute(update(table).where(its, filled).values(values)).rowcount


def _of_prompts(table: Table, own: Any) -> Any:
    """The rows of a table that hang on some prompts."""
    if table is prompts:
        return own
    if table is completions:
        theirs = select(candidates.c.key).where(_of_prompts(candidates, own))
        return completions.c.candidates_key.in_(theirs)
    its = table.c.prompt_key.in_(select(prompts.c.key).where(own))
    if "prompt_id" not in table.c:
        return its
    by_id = table.c.prompt_id.in_(select(prompts.c.id).where(own))
    return or_(its, and_(table.c.prompt_key.is_(None), by_id))


def _person(whose: Table) -> Any:
    """Which person a row of `snapshot_users` or `snapshot_labelers` is of."""
    return whose.c.labeler_id if whose is snapshot_labelers else whose.c.user_id


def _mark(connection: Connection, whose: Table, person: str) -> None:
    known = select(stale_snapshots.c.snapshot)
    held = select(whose.c.snapshot).where(_person(whose) == person)
    numbers = connection.scalars(held.where(whose.c.snapshot.not_in(known))).all()
    rows = [{"snapshot": number, "reason": REASON, "at": now()} for number in numbers]
    if rows:
        connection.execute(insert(stale_snapshots), rows)
