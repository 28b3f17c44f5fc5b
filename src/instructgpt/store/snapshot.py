"""From a store to the files that training reads.

Equal prompts, decisions and labels give equal files, whatever their order of coming: rows are
sorted by their keys, columns by their names, and no time and no number of the store is in them.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import chain, groupby
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, Table, and_, func, insert, select

from instructgpt.data.few_shot import demonstrations, is_few_shot
from instructgpt.data.records import Demonstration, Prompt, Record
from instructgpt.data.snapshots import FILES, write_file
from instructgpt.store import tables
from instructgpt.store.records import LABELS, PROMPT_COLUMNS, as_row, author_of, in_order

LEFT_OUT = ("dropped", "held", "undone")
"""Outcomes of a decision that keep a prompt, and the labels of it, out of every snapshot."""
CHUNK = 500


class Stands(NamedTuple):
    """How a prompt stands: why it is left out, or None; its user, and what is written over its
    record's fields.
    """

    why_not: str | None
    user: str | None
    fields: Mapping[str, Any]


class Written(NamedTuple):
    """What is in a snapshot: a manifest's files, how many were left out and why, whose texts: the
    users' and the labelers'.
    """

    files: dict[str, dict[str, Any]]
    left_out: dict[str, dict[str, int]]
    users: set[str]
    labelers: set[str]


class _Whose(NamedTuple):
    """Whose texts have been written."""

    users: set[str]
    labelers: set[str]


def write_files(connection: Connection, folder: Path) -> Written:
    """Write the four files, all as of one instant.

    Args:
        connection: in a transaction that reads.
        folder: an empty one.
    """
    whose = _Whose(set[str](), set[str]())
    left_out = {name: Counter[str]() for name in FILES.values()}
    needed = _labeled_prompts(connection)
    known: dict[str, Stands] = {}
    ours = FILES[Prompt]
    few_shot: list[dict[str, Any]] = []
    rows = _prompts(connection, needed, known, whose, left_out[ours], few_shot)
    files = {ours: write_file(folder / ours, rows)}
    for kind in LABELS:
        name = FILES[kind]
        rows = _labels(connection, kind, needed, known, whose, left_out[name])
        if kind is Demonstration:
            rows = chain(rows, few_shot)
        files[name] = write_file(folder / name, rows)
    counted = {name: dict(sorted(counts.items())) for name, counts in left_out.items()}
    return Written(files, counted, *whose)


def record_of(row: Row[Any], annotated: Mapping[str, Any], fields: Mapping[str, Any]) -> Prompt:
    """A prompt's record: as it came, over it what was annotated, over that what intake decided."""
    columns = {name: getattr(row, name) for name in PROMPT_COLUMNS}
    given = {name: value for name, value in columns.items() if value is not None}
    return Prompt.model_validate({**given, **row.record, **annotated, **fields})


def add_snapshot(connection: Connection, manifest: Mapping[str, Any], folder: str, at: str) -> int:
    """Note a snapshot in the store; its number."""
    values = {"name": manifest["name"], "digest": manifest["digest"], "manifest": dict(manifest)}
    row = insert(tables.snapshots).values(**values, folder=folder, at=at)
    return connection.execute(row.returning(tables.snapshots.c.number)).scalar_one()


def add_whose(connection: Connection, snapshot: int, written: Written) -> None:
    """Note whose texts a snapshot holds."""
    for table, column, names in (
        (tables.snapshot_users, "user_id", written.users),
        (tables.snapshot_labelers, "labeler_id", written.labelers),
    ):
        rows = [{"snapshot": snapshot, column: name} for name in sorted(names)]
        if rows:
            connection.execute(insert(table), rows)


def _prompts(
    connection: Connection,
    needed: Mapping[str, list[str]],
    known: dict[str, Stands],
    whose: _Whose,
    left_out: Counter[str],
    few_shot: list[dict[str, Any]],
) -> Iterator[dict[str, Any]]:
    """The rows of the prompts that stand in a snapshot; `known` gets those that have labels, and
    `few_shot` the demonstrations of those that are such.
    """
    wanted = {key for keys in needed.values() for key in keys}
    annotated = _annotations(connection)
    for key, row, stands in current(connection):
        if key in wanted:
            known[key] = stands
        if stands.why_not:
            left_out[stands.why_not] += 1
            continue
        if stands.user:
            whose.users.add(stands.user)
        if author := author_of(row.record):
            whose.labelers.add(author)
        record = record_of(row, annotated.get(key, {}), stands.fields)
        if is_few_shot(record.model_extra or {}):
            few_shot += [_sorted(one) for one in demonstrations(as_row(record))]
        else:
            yield _sorted(record)


def current(connection: Connection) -> Iterator[tuple[str, Row[Any], Stands]]:
    """Every prompt that is not erased, by its key, and how it stands by its last decisions."""
    prompts, decisions, later = tables.prompts, tables.decisions, tables.decisions.alias()
    is_last = ~(
        select(later.c.number)
        .where(
            later.c.prompt_key == decisions.c.prompt_key,
            later.c.step == decisions.c.step,
            later.c.number > decisions.c.number,
        )
        .exists()
    )
    its = and_(decisions.c.prompt_key == prompts.c.key, is_last)
    query = (
        select(prompts, decisions.c.step, decisions.c.outcome, decisions.c.detail)
        .select_from(prompts.outerjoin(decisions, its))
        .where(prompts.c.erased.is_(None))
        .order_by(prompts.c.key, decisions.c.step)
        .execution_options(yield_per=2000)
    )
    for key, rows in groupby(connection.execute(query), lambda row: row.key):
        group = list(rows)
        made = [row for row in group if row.outcome is not None]
        bad = [f"{row.outcome} in {row.step}" for row in made if row.outcome in LEFT_OUT]
        why_not = bad[0] if bad else None if made else "not through an intake"
        fields: dict[str, Any] = {}
        for row in made:
            fields |= (row.detail or {}).get("fields", {})
        yield key, group[0], Stands(why_not, group[0].user_id, fields)


def _annotations(connection: Connection) -> dict[str, dict[str, Any]]:
    """The fields that were annotated, by the prompt's key; of a field the last one counts."""
    own, found = tables.annotations.c, dict[str, dict[str, Any]]()
    query = select(own.prompt_key, own.field, own.value).order_by(own.number)
    for key, field, value in connection.execute(query):
        found.setdefault(key, {})[field] = value
    return found


def _labeled_prompts(connection: Connection) -> dict[str, list[str]]:
    """The keys of the prompts with labels, by the id that the label's record has."""
    ids = {
        one
        for table in LABELS.values()
        for one in connection.scalars(select(table.c.prompt_id).distinct())
    }
    found: dict[str, list[str]] = {}
    prompts, wanted = tables.prompts.c, sorted(ids)
    for start in range(0, len(wanted), CHUNK):
        some = prompts.id.in_(wanted[start : start + CHUNK])
        for one, key in connection.execute(select(prompts.id, prompts.key).where(some)):
            found.setdefault(one, []).append(key)
    return found


def _labels(
    connection: Connection,
    kind: type[Record],
    needed: Mapping[str, list[str]],
    known: Mapping[str, Stands],
    whose: _Whose,
    left_out: Counter[str],
) -> Iterator[dict[str, Any]]:
    """The rows of labels: those that no other is an edit of, that were not taken back, and of whose
    prompt nothing speaks against. A prompt that no intake has seen, since it came with the label,
    is none of the store's.
    """
    table = LABELS[kind]
    edits = table.alias()
    edited = select(edits.c.key).where(edits.c.replaces == table.c.key).exists()
    query = (
        select(table)
        .where(~edited, ~_is_withdrawn(table), table.c.erased.is_(None))
        .order_by(table.c.key)
    ).execution_options(yield_per=2000)
    for row in connection.execute(query):
        keys = [row.prompt_key] if row.prompt_key else needed.get(row.prompt_id, [])
        stands = [known[key] if key in known else Stands("erased", None, {}) for key in keys]
        if bad := [one.why_not for one in stands if one.why_not]:
            left_out[f"prompt {bad[0]}"] += 1
            continue
        whose.users.update(one.user for one in stands if one.user)
        if row.labeler_id:
            whose.labelers.add(row.labeler_id)
        over: dict[str, Any] = {}
        if len(stands) == 1:
            fields = stands[0].fields
            over = {name: fields[name] for name in ("prompt", "split") if name in fields}
        yield _sorted(kind.model_validate({**row.record, **over}))


def _is_withdrawn(table: Table) -> Any:
    """Whether all submissions that a label was part of were taken back."""
    links, gone = tables.submitted_labels, tables.withdrawals
    those = select(links.c.key).select_from(
        links.outerjoin(gone, gone.c.submission == links.c.submission)
    )
    of = those.where(links.c.key == table.c.key).correlate(table)
    return and_(of.exists(), ~of.where(gone.c.submission.is_(None)).exists())


def _sorted(record: Record) -> dict[str, Any]:
    """A record as a row: its fields as everywhere, the columns beside them by their names."""
    return as_row(type(record).model_validate(in_order(as_row(record))))


def rules_of(connection: Connection) -> Any:
    """The rules of the last intake, and their versions."""
    last = select(func.max(tables.intake_runs.c.number)).scalar_subquery()
    runs = tables.intake_runs.c
    return connection.scalar(select(runs.rules).where(runs.number == last))
