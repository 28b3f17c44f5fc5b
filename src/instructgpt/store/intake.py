"""What intake reads and writes: runs and what they brought, prompts, findings, decisions."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from sqlalchemy import Connection, exists, insert, select

from instructgpt.data.records import Prompt
from instructgpt.errors import UserError
from instructgpt.store import tables
from instructgpt.store.audit import note, now
from instructgpt.store.brought import Consent, bring, consents_of, key_batches
from instructgpt.store.decisions import (
    Change,
    add_changes,
    changes_of,
    last_changes,
    released_keys,
)
from instructgpt.store.erase import MEANWHILE, last_erasure, refuse_if_erased_since
from instructgpt.store.records import PROMPT_COLUMNS, insert_new
from instructgpt.store.store import Store

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
        consents: whether its writer agreed, by a run that brought it.
    """

    key: str
    row: dict[str, Any]
    consents: bool


class Named(NamedTuple):
    """A prompt by its record's id, and when it was erased, if it was."""

    id: str
    erased: str | None


class Intake:
    """The part of a store that intake works on.

    Args:
        store: an open one.
    """

    def __init__(self, store: Store) -> None:
        self._database = store.database
        self.secret = store.key
        with self._database.reading() as connection:
            self._erased = last_erasure(connection)

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
        self,
        run: int,
        prompts: Sequence[Prompt],
        annotations: Sequence[Mapping[str, Any]],
        *,
        assumed: bool = False,
    ) -> list[str]:
        """Add prompts that a run brought, with what they say of themselves, in one transaction.

        Args:
            run: the intake.
            prompts: what its files hold.
            annotations: of each.
            assumed: whether those that say nothing of consent are taken to agree.

        Returns:
            Their keys, in order.
        """
        with self._database.writing() as connection:
            return bring(connection, run, prompts, annotations, assumed=assumed)

    def prompts(self, runs: Collection[int]) -> Iterator[Stored]:
        """The prompts that some runs brought, by their keys."""
        prompts, arrivals, consents = tables.prompts.c, tables.arrivals.c, tables.consents.c
        came = exists().where(arrivals.prompt_key == prompts.key, arrivals.run.in_(runs))
        agreed = exists().where(
            consents.prompt_key == prompts.key, consents.run.in_(runs), consents.given
        )
        query = (
            select(*_row_columns(), agreed)
            .where(came, prompts.erased.is_(None))
            .order_by(prompts.key)
            .execution_options(yield_per=READ)
        )
        with self._database.reading() as connection:
            for *columns, consents_ in connection.execute(query):
                yield Stored(columns[0], _row(columns), bool(consents_))

    def rows(self, keys: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """The records of some prompts, by their keys, in order.

        Raises:
            UserError: one was erased meanwhile.
        """
        for batch in key_batches(sorted(keys)):
            with self._database.reading() as connection:
                query = select(*_row_columns()).where(tables.prompts.c.key.in_(batch))
                found = connection.execute(query.order_by(tables.prompts.c.key)).all()
            for columns in found:
                row = _row(columns)
                if "prompt" not in row:
                    raise UserError(MEANWHILE)
                yield columns[0], row

    def found(self, detector: str) -> dict[str, Any]:
        """What a detector found, by key."""
        findings = tables.findings.c
        query = select(findings.prompt_key, findings.found).where(findings.detector == detector)
        with self._database.reading() as connection:
            rows = connection.execute(query.execution_options(yield_per=READ))
            return {row[0]: row[1] for row in rows}

    def keep(self, findings: Sequence[tuple[str, str, Any]]) -> None:
        """Keep what detectors found: key, detector, finding.

        Raises:
            UserError: somebody was erased meanwhile.
        """
        rows = [
            {"prompt_key": key, "detector": detector, "found": found}
            for key, detector, found in sorted(findings, key=lambda one: one[:2])
        ]
        with self._adding() as connection:
            insert_new(connection, tables.findings, rows)

    def current(self, keys: Sequence[str]) -> dict[str, dict[str, Change]]:
        """The last decision of each step about some prompts, by key and step.

        Args:
            keys: in order, all that there are between the first and the last.
        """
        with self._database.reading() as connection:
            return last_changes(connection, keys)

    def decide(self, run: int, changes: Iterable[Change]) -> int:
        """Add decisions, in one transaction; how many there are.

        Raises:
            UserError: somebody was erased meanwhile.
        """
        if not (changes := list(changes)):
            return 0
        with self._adding() as connection:
            return add_changes(connection, run, changes)

    def withdrawn(self, runs: Collection[int]) -> list[str]:
        """The keys of the prompts that none of these runs brought, but another one."""
        arrivals, others = tables.arrivals.c, tables.arrivals.alias().c
        theirs = exists().where(others.prompt_key == arrivals.prompt_key, others.run.in_(runs))
        query = select(arrivals.prompt_key).where(~theirs).distinct()
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
        with self._database.reading() as connection:
            return released_keys(connection)

    def named(self, id: str) -> dict[str, Named]:
        """The prompts of an id, by their keys; or of a key that begins so, in 8 letters or more."""
        prompts = tables.prompts.c
        is_meant = prompts.id == id
        if len(id) >= 8:
            is_meant |= prompts.key.startswith(id, autoescape=True)
        query = select(prompts.key, prompts.id, prompts.erased).where(is_meant)
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(prompts.key))
            return {key: Named(name, erased) for key, name, erased in rows}

    def story(self, key: str) -> list[Change]:
        """All decisions about a prompt, with their runs, in order."""
        with self._database.reading() as connection:
            return changes_of(connection, key)

    def consents(self, key: str) -> list[Consent]:
        """What the runs that brought a prompt know of its writer's consent."""
        with self._database.reading() as connection:
            return consents_of(connection, key)

    def brought(self, key: str) -> list[int]:
        """The runs that brought a prompt."""
        arrivals = tables.arrivals.c
        query = select(arrivals.run).where(arrivals.prompt_key == key).order_by(arrivals.run)
        with self._database.reading() as connection:
            return list(connection.scalars(query))

    @contextmanager
    def _adding(self) -> Iterator[Connection]:
        """A transaction that writes what was made of texts: none of them may be erased since."""
        with self._database.writing() as connection:
            refuse_if_erased_since(connection, self._erased)
            yield connection


def _row_columns() -> list[Any]:
    prompts = tables.prompts.c
    return [prompts.key, *(prompts[name] for name in PROMPT_COLUMNS), prompts.record]


def _row(columns: Sequence[Any]) -> dict[str, Any]:
    """The record, from its columns."""
    own = zip(PROMPT_COLUMNS, columns[1:-1], strict=True)
    return {**{name: value for name, value in own if value is not None}, **(columns[-1] or {})}
