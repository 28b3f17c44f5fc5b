"""The database behind a store: SQLite in a file, or PostgreSQL for a team.

One way to read and one way to write: `Database.reading`, `Database.writing`, each a transaction. On
SQLite a writer has the file for itself from its first statement (`BEGIN IMMEDIATE`), so that what
it has read still holds when it writes; readers go on beside it (WAL).
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, Connection, Delete, Table, Update, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, ProgrammingError

from instructgpt.errors import UserError

VARIABLE, DEFAULT = "INSTRUCTGPT_DB", "sqlite:///instructgpt.db"
PATIENCE = 60
"""Seconds that a writer waits for another."""
PRAGMAS = (
    "journal_mode = WAL",
    "synchronous = FULL",  # a label that was taken is on the disk
    "foreign_keys = ON",
    "cache_size = -65536",  # KiB: keys are hashes, and come in any order
    f"busy_timeout = {PATIENCE * 1000}",
    "secure_delete = ON",  # what is erased is overwritten
)
ERASING = 22030216
"""The number of PostgreSQL's lock that whoever erases holds alone, and other writers together."""
LOCKS = {True: "pg_advisory_xact_lock", False: "pg_advisory_xact_lock_shared"}
AS_IN = f"as in --db {DEFAULT} or --db postgresql+psycopg://HOST/NAME"
to_json = json.JSONEncoder(ensure_ascii=False).encode


def store_url(given: str | None) -> str:
    """The store that a command works on: what is given, `INSTRUCTGPT_DB`, or a file here."""
    return given or os.environ.get(VARIABLE) or DEFAULT


class Database:
    """A database of either kind.

    Attributes:
        engine: SQLAlchemy's.
        name: the URL, without its password.

    Raises:
        UserError: the URL is none that can be used, or what it needs is not installed.
    """

    def __init__(self, url: str) -> None:
        parsed = _parsed(url)
        self.name = parsed.render_as_string(hide_password=True)
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        try:
            self.engine = create_engine(parsed, json_serializer=to_json, pool_size=32)
        except ModuleNotFoundError:
            raise UserError(
                "PostgreSQL needs psycopg; run: pip install 'instructgpt[postgres]'"
            ) from None
        if self.is_sqlite:
            event.listen(self.engine, "connect", _set_up)
            event.listen(self.engine, "begin", _begin)
        event.listen(self.engine, "before_execute", _keep_facts)
        one_instant = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        self._reader = self.engine.execution_options(**one_instant)

    @property
    def path(self) -> str:
        """SQLite's file; empty for another database."""
        return (self.engine.url.database or "") if self.is_sqlite else ""

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that only reads, all of it as of one instant.

        Raises:
            UserError: the database cannot be reached or read.
        """
        with _explained(self.name), self._reader.begin() as connection:
            yield connection

    @contextmanager
    def writing(self, *, erasing: bool = False) -> Iterator[Connection]:
        """A transaction that writes, all or nothing; `erasing` may empty facts, and nobody else
        writes meanwhile.

        Raises:
            UserError: the database cannot be reached or written.
        """
        options: dict[str, Any] = {"writing": True, "erasing": erasing}
        with _explained(self.name), self.engine.connect() as plain:
            connection = plain.execution_options(**options)
            with connection.begin():
                if not self.is_sqlite:  # where a writer is alone anyway
                    connection.exec_driver_sql(f"SELECT {LOCKS[erasing]}({ERASING})")
                yield connection

    @contextmanager
    def alone(self) -> Iterator[Connection]:
        """A connection outside any transaction, for what a database does of itself (VACUUM).

        Raises:
            UserError: the database cannot be reached, or others are in the way.
        """
        options = {"alone": True} if self.is_sqlite else {"isolation_level": "AUTOCOMMIT"}
        with _explained(self.name), self.engine.connect() as plain:
            yield plain.execution_options(**options)

    def close(self) -> None:
        """Let go of all connections."""
        self.engine.dispose()


def _parsed(url: str) -> URL:
    if "://" not in url:
        raise UserError(f"{url}: is no URL; name the store {AS_IN}")
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise UserError(f"the URL of the store cannot be read; name it {AS_IN}") from None
    if parsed.drivername not in ("sqlite", "postgresql", "postgresql+psycopg"):
        raise UserError(f"{parsed.drivername}: is no kind of store; name one {AS_IN}")
    if parsed.drivername != "sqlite":
        return parsed.set(drivername="postgresql+psycopg")
    if not parsed.database or parsed.database == ":memory:":
        raise UserError(f"{url}: names no file, and what is in memory is lost; give one {AS_IN}")
    return parsed


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Say in one sentence what a database complains of that is no mistake of ours."""
    try:
        yield
    except DBAPIError as error:
        if isinstance(error, IntegrityError | ProgrammingError):
            raise
        said = str(error.orig).strip().partition("\n")[0]
        raise UserError(
            f"{name}: {said}; check the URL, the permissions and the free disk space, and that no "
            "other program holds the store"
        ) from None


def _set_up(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # transactions begin where `_begin` says, not where Python's
    for pragma in PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    options = connection.get_execution_options()
    if not options.get("alone"):
        connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("writing") else "BEGIN")


def _keep_facts(connection: Connection, statement: Any, *_: Any) -> None:
    if isinstance(statement, Update | Delete) and isinstance(statement.table, Table):
        erasing = connection.get_execution_options().get("erasing")
        may_change = erasing or statement.table.info.get("kind") != "fact"
        assert may_change, f"{statement.table} holds facts: they are added, never changed"
