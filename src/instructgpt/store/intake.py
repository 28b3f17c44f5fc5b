"""What intake reads and writes: runs and what they brought, prompts, findings, decisions."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, exists, insert, select

from instructgpt.data.records import Prompt
from instructgpt.store import tables
from instructgpt.store.audit import note, now
from instructgpt.store.records import PROMPT_COLUMNS, add_prompts, insert_new
from instructgpt.store.store import Store

KEYS = 500
"""Keys of one query."""
READ = 5_000
"""Rows that are fetched at a time."""


class IntakeRun(NamedTuple):
    """An intake, an undoing of one, or a release.

    Attributes:
        number: its own.
        command: `intake`, `undo` or `release`.
        options: of the command.
        files: their digests, by name.
        rules: of the steps.
        at: when it began.
    """

    number: int
    command: str
    options: Mapping[str, Any]
    files: Mapping[str, str]
    rules: Mapping[str, Any]
    at: str


class Stored(NamedTuple):
    """A prompt of the store.

    Attributes:
        key: its own.
        row: its record, as a line of a file.
        is_assumed: whether a run that brought it says that its writer agreed.
    """

    key: str
    row: dict[str, Any]
    is_assumed: bool


class Change(NamedTuple):
    """A decision about a prompt."""

    key: str
    step: str
    outcome: str
    reason: str
    detail: Mapping[str, Any] | None
    run: int = 0


class Intake:
    """The part of a store that intake works on.

    Args:
        store: an open one.
    """

    def __init__(self, store: Store) -> None:
        self._database = store.database
        self.secret = store.key

    def runs(self) -> list[IntakeRun]:
        """All of them, in order."""
        table = tables.intake_runs
        with self._database.reading() as connection:
            rows = connection.execute(select(table).order_by(table.c.number)).mappings().all()
        return [
            IntakeRun(
                row["number"],
                (row["options"] or {}).get("command", "intake"),
                row["options"] or {},
                row["files"] or {},
                row["rules"] or {},
                row["at"],
            )
            for row in rows
        ]

    def active(self) -> list[IntakeRun]:
        """The intakes that were not taken back."""
        runs = self.runs()
        undone = {run.options["run"] for run in runs if run.command == "undo"}
        return [run for run in runs if run.command == "intake" and run.number not in undone]

    def begin(
        self,
        command: str,
        options: Mapping[str, Any],
        files: Mapping[str, str] | None = None,
        rules: Mapping[str, Any] | None = None,
    ) -> int:
        """The number of a run; the same intake again has the same, until it is undone."""
        options = {"command": command, **options}
        row = {"options": options, "files": dict(files or {}), "rules": dict(rules or {})}
        for run in self.active() if command == "intake" else ():
            if json.dumps([run.options, run.files, run.rules], sort_keys=True) == json.dumps(
                list(row.values()), sort_keys=True
            ):
                return run.number
        with self._database.writing() as connection:
            added = insert(tables.intake_runs).values(**row, at=now())
            number = connection.execute(added.returning(tables.intake_runs.c.number)).scalar_one()
            note(connection, f"data {command}", number=number, options=options)
        return number

    def add(
        self, run: int, prompts: Sequence[Prompt], annotations: Sequence[Mapping[str, Any]]
    ) -> list[str]:
        """Add prompts that a run brought, with what they say of themselves, in one transaction.

        Returns:
            Their keys, in order.
        """
        with self._database.writing() as connection:
            keys = add_prompts(connection, prompts)
            known = _annotated(connection, keys) if any(annotations) else set()
            brought = [{"run": run, "prompt_key": key} for key in dict.fromkeys(keys)]
            insert_new(connection, tables.arrivals, brought)
            said = {
                (key, field): value
                for key, fields in zip(keys, annotations, strict=True)
                if key not in known
                for field, value in fields.items()
            }
            if said:
                at = now()
                rows = [
                    {"prompt_key": key, "field": field, "value": value, "by": "import", "at": at}
                    for (key, field), value in said.items()
                ]
                connection.execute(insert(tables.annotations), rows)
        return keys

    def prompts(self, runs: Collection[int], assuming: Collection[int]) -> Iterator[Stored]:
        """The prompts that some runs brought, by their keys.

        Args:
            runs: which.
            assuming: those of them in which consent is assumed.
        """
        prompts, arrivals = tables.prompts.c, tables.arrivals.c
        brought = arrivals.prompt_key == prompts.key
        is_assumed = exists().where(brought, arrivals.run.in_(assuming))
        query = (
            select(*_row_columns(), is_assumed)
            .where(exists().where(brought, arrivals.run.in_(runs)), prompts.erased.is_(None))
            .order_by(prompts.key)
            .execution_options(yield_per=READ)
        )
        with self._database.reading() as connection:
            for *columns, assumed in connection.execute(query):
                yield Stored(columns[0], _row(columns), bool(assumed))

    def rows(self, keys: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """The records of some prompts, by their keys, in order."""
        for batch in _batches(sorted(keys)):
            with self._database.reading() as connection:
                query = select(*_row_columns()).where(tables.prompts.c.key.in_(batch))
                found = connection.execute(query.order_by(tables.prompts.c.key)).all()
            for columns in found:
                yield columns[0], _row(columns)

    def found(self, detector: str) -> dict[str, Any]:
        """What a detector found, by key."""
        findings = tables.findings.c
        query = select(findings.prompt_key, findings.found).where(findings.detector == detector)
        with self._database.reading() as connection:
            rows = connection.execute(query.execution_options(yield_per=READ))
            return {row[0]: row[1] for row in rows}

    def keep(self, findings: Sequence[tuple[str, str, Any]]) -> None:
        """Keep what detectors found: key, detector, finding."""
        rows = [
            {"prompt_key": key, "detector": detector, "found": found}
            for key, detector, found in sorted(findings, key=lambda one: one[:2])
        ]
        with self._database.writing() as connection:
            insert_new(connection, tables.findings, rows)

    def current(self, keys: Sequence[str]) -> dict[str, dict[str, Change]]:
        """The last decision of each step about some prompts, by key and step.

        Args:
            keys: in order, all that there are between the first and the last.
        """
        if not keys:
            return {}
        table = tables.decisions
        within = table.c.prompt_key.between(keys[0], keys[-1])
        order = (table.c.prompt_key, table.c.step, table.c.number)
        found: dict[str, dict[str, Change]] = {}
        with self._database.reading() as connection:
            for row in connection.execute(
                select(*_decision_columns()).where(within).order_by(*order)
            ):
                change = Change(*row)
                found.setdefault(change.key, {})[change.step] = change
        return found

    def decide(self, run: int, changes: Iterable[Change]) -> None:
        """Add decisions, in one transaction."""
        rows = [
            {
                "run": run,
                "prompt_key": change.key,
                "step": change.step,
                "outcome": change.outcome,
                "reason": change.reason,
                "detail": change.detail,
            }
            for change in changes
        ]
        if rows:
            with self._database.writing() as connection:
                connection.execute(insert(tables.decisions), rows)

    def withdrawn(self, runs: Collection[int]) -> list[str]:
        """The keys of the prompts that none of these runs brought, but another one."""
        arrivals = tables.arrivals.c
        theirs = select(arrivals.prompt_key).where(arrivals.run.in_(runs))
        query = select(arrivals.prompt_key).where(arrivals.prompt_key.not_in(theirs)).distinct()
        with self._database.reading() as connection:
            return sorted(connection.scalars(query))

    def annotated(self) -> Iterator[tuple[str, str]]:
        """Every prompt and field that somebody has labeled."""
        said = tables.annotations.c
        query = select(said.prompt_key, said.field).distinct().execution_options(yield_per=READ)
        with self._database.reading() as connection:
            yield from (tuple(row) for row in connection.execute(query))

    def released(self) -> set[str]:
        """The keys of the prompts that somebody let go."""
        decisions = tables.decisions.c
        query = select(decisions.prompt_key).where(decisions.outcome == "released")
        with self._database.reading() as connection:
            return set(connection.scalars(query))

    def named(self, id: str) -> list[str]:
        """The keys of the prompts of an id; or of the key that begins so, in 8 letters or more."""
        prompts = tables.prompts.c
        is_meant = prompts.id == id
        if len(id) >= 8:
            is_meant |= prompts.key.startswith(id, autoescape=True)
        with self._database.reading() as connection:
            return list(
                connection.scalars(select(prompts.key).where(is_meant).order_by(prompts.key))
            )

    def story(self, key: str) -> list[Change]:
        """All decisions about a prompt, with their runs, in order."""
        decisions = tables.decisions.c
        query = select(*_decision_columns(), decisions.run).where(decisions.prompt_key == key)
        with self._database.reading() as connection:
            return [Change(*row) for row in connection.execute(query.order_by(decisions.number))]

    def brought(self, key: str) -> list[int]:
        """The runs that brought a prompt."""
        arrivals = tables.arrivals.c
        query = select(arrivals.run).where(arrivals.prompt_key == key).order_by(arrivals.run)
        with self._database.reading() as connection:
            return list(connection.scalars(query))


def _decision_columns() -> list[Any]:
    names = ("prompt_key", "step", "outcome", "reason", "detail")
    return [tables.decisions.c[name] for name in names]


def _row_columns() -> list[Any]:
    prompts = tables.prompts.c
    return [prompts.key, *(prompts[name] for name in PROMPT_COLUMNS), prompts.record]


def _row(columns: Sequence[Any]) -> dict[str, Any]:
    """The record, from its columns."""
    own = zip(PROMPT_COLUMNS, columns[1:-1], strict=True)
    return {**{name: value for name, value in own if value is not None}, **(columns[-1] or {})}


def _annotated(connection: Connection, keys: Sequence[str]) -> set[str]:
    """Those of these prompts that have labels."""
    said, found = tables.annotations.c.prompt_key, set[str]()
    for part in _batches(keys):
        found |= set(connection.scalars(select(said).where(said.in_(part)).distinct()))
    return found


def _batches(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(keys), KEYS):
        yield keys[start : start + KEYS]
