"""Records to rows: what is in a store is what stood in the file, column by column."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Connection, Table, func, select
from sqlalchemy.dialects import postgresql, sqlite

from instructgpt.data.records import Demonstration, Prompt, Ranking, Rating, Record
from instructgpt.store import tables
from instructgpt.store.audit import now

PROMPT_COLUMNS = ("id", "prompt", "user_id", "org_id", "source", "created")
LABELS: dict[type[Record], Table] = {
    Demonstration: tables.demonstrations,
    Ranking: tables.rankings,
    Rating: tables.ratings,
}
"""The records that labelers make, and where they stand."""
BATCH = 5_000
"""Records that are added together."""
R = TypeVar("R", bound=Record)


def batches(records: Iterable[R]) -> Iterator[list[R]]:
    """The records, `BATCH` at a time."""
    records = iter(records)
    while batch := list(islice(records, BATCH)):
        yield batch


def as_row(record: Record) -> dict[str, Any]:
    """A record as its line in a file."""
    return record.model_dump(mode="json", exclude_defaults=True)


def key_of(row: Mapping[str, Any]) -> str:
    """The SHA-256 of a row's canonical JSON: sorted keys, no blanks, UTF-8."""
    text = json.dumps(row, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def in_order(row: Mapping[str, Any]) -> dict[str, Any]:
    """The same row with sorted columns, at every depth: equal rows are equal to the byte."""
    return json.loads(json.dumps(row, sort_keys=True))


def insert_new(connection: Connection, table: Table, rows: Iterable[Mapping[str, Any]]) -> int:
    """Add those rows whose key is not there yet; how many they are. They go in by their keys: two
    that add the same wait for each other in turn, and never in a ring.
    """
    if not (rows := list(rows)):
        return 0
    names = table.primary_key.columns.keys()
    if all(name in rows[0] for name in names):
        rows.sort(key=lambda row: [row[name] for name in names])
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    statement = dialect.insert(table).on_conflict_do_nothing()
    counting = {"preserve_rowcount": True}
    return connection.execute(statement, rows, execution_options=counting).rowcount


def add_prompts(connection: Connection, prompts: Iterable[Prompt]) -> list[str]:
    """Add prompts, with the users, organizations and labelers they name; their keys, in order."""
    at, rows = now(), []
    for prompt in prompts:
        row = as_row(prompt)
        rest = in_order({name: row[name] for name in row if name not in PROMPT_COLUMNS})
        columns = {name: row.get(name) for name in PROMPT_COLUMNS}
        rows.append({"key": key_of(row), **columns, "record": rest, "at": at})
    for table, name in ((tables.users, "user_id"), (tables.organizations, "org_id")):
        named = sorted({row[name] for row in rows if row[name] is not None})
        insert_new(connection, table, [{"id": one, "at": at} for one in named])
    add_labelers(connection, {one for row in rows if (one := author_of(row["record"]))})
    insert_new(connection, tables.prompts, rows)
    return [row["key"] for row in rows]


def author_of(rest: Mapping[str, Any]) -> str | None:
    """The labeler who wrote a prompt, where a column of its record says so."""
    named = rest.get("labeler_id")
    return named if isinstance(named, str) else None


def add_labels(
    connection: Connection, kind: type[Record], records: Iterable[Record], **columns: Any
) -> list[str]:
    """Add demonstrations, rankings or ratings, with the labelers they name.

    Args:
        connection: in a transaction that writes.
        kind: which of them.
        records: what labelers made; one that is there already is not added again.
        columns: of every row; `replaces` is the key of what the one record is an edit of.

    Returns:
        The keys, in order.
    """
    at, made = now(), [as_row(record) for record in records]
    replaces = columns.get("replaces")
    links = links_of(connection, [row["prompt_id"] for row in made])
    add_labelers(connection, [row["labeler_id"] for row in made if row.get("labeler_id")])
    rows = [
        {
            "key": key_of({"record": row, "replaces": replaces} if replaces else row),
            "prompt_id": row["prompt_id"],
            "prompt_key": links.get(row["prompt_id"]),
            "labeler_id": row.get("labeler_id"),
            "record": row,
            "at": at,
            **columns,
        }
        for row in made
    ]
    insert_new(connection, LABELS[kind], rows)
    return [row["key"] for row in rows]


def add_labelers(connection: Connection, names: Iterable[str]) -> None:
    """Make labelers known."""
    at = now()
    insert_new(connection, tables.labelers, [{"id": name, "at": at} for name in sorted({*names})])


def links_of(connection: Connection, ids: Sequence[str]) -> dict[str, str]:
    """The key of the prompt that has an id, where exactly one has."""
    prompts, found = tables.prompts.c, dict[str, str]()
    wanted = sorted({*ids})
    for start in range(0, len(wanted), 500):
        query = (
            select(prompts.id, func.min(prompts.key))
            .where(prompts.id.in_(wanted[start : start + 500]))
            .group_by(prompts.id)
            .having(func.count() == 1)
        )
        found |= {row[0]: row[1] for row in connection.execute(query)}
    return found
