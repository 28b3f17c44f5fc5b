"""A store on each engine: a file of SQLite's, and a database of a PostgreSQL that lives as long as
the tests.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import psycopg
import pytest
from sqlalchemy import event

from instructgpt.store import Store
from instructgpt.store.engine import Database
from instructgpt.store.schema import bring_up

CHANGES = re.compile(r"\s*(UPDATE|DELETE FROM)\s+\"?(\w+)", re.IGNORECASE)
STATE = {"tasks", "assignments", "alembic_version", "queues", "drafts"}
STATE |= {"accounts", "invitations", "sessions"}
"""The tables in which rows may change, named here once more."""


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The URL of a server, without a database: Debian's `pg_virtualenv` makes one, root or not."""
    if not shutil.which("pg_virtualenv"):
        missing = "PostgreSQL is not here: apt-get install postgresql"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    told = 'echo "$PGUSER:$PGPASSWORD@$PGHOST:$PGPORT"; read end'
    process = subprocess.Popen(
        ["pg_virtualenv", "-o", "fsync=off", "sh", "-c", told],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin
    assert process.stdout
    lines = (re.match(r"\w+:\w+@.*", line) for line in process.stdout)
    place = next(found[0] for found in lines if found)
    yield f"postgresql+psycopg://{place}"
    process.communicate("\n")


_numbers = count()


def new_database(server: str, template: str = "template0") -> str:
    """A database of its own on the server, a copy of another; its URL."""
    name = f"test{next(_numbers)}"
    with psycopg.connect(f"{server.replace('+psycopg', '')}/postgres", autocommit=True) as plain:
        plain.execute(f"CREATE DATABASE {name} TEMPLATE {template}")  # type: ignore[arg-type]
    return f"{server}/{name}"


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def made(request: pytest.FixtureRequest, tmp_path_factory) -> str:
    """A database of each engine with a store's tables and nothing in them, to copy."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('made')}/store.db"
    else:
        url = new_database(request.getfixturevalue("server"))
    database = Database(url)
    bring_up(database)
    database.close()
    return url


@pytest.fixture
def url(made, tmp_path) -> str:
    """A store of each engine that nobody has opened."""
    place, _, name = made.rpartition("/")
    if not made.startswith("sqlite"):
        return new_database(place, name)
    shutil.copy(made.removeprefix("sqlite:///"), tmp_path / "store.db")
    return f"sqlite:///{tmp_path}/store.db"


@pytest.fixture
def empty_url(made, tmp_path) -> str:
    """A database without a table."""
    if made.startswith("sqlite"):
        return f"sqlite:///{tmp_path}/empty.db"
    return new_database(made.rpartition("/")[0])


@contextmanager
def watched(database: Database) -> Iterator[list[str]]:
    """Notes every UPDATE and DELETE of a table that holds facts, in the SQL as it is sent."""
    found: list[str] = []

    def look(_: Any, __: Any, statement: str, *rest: Any) -> None:
        if (change := CHANGES.match(statement)) and change[2] not in STATE:
            found.append(statement)

    event.listen(database.engine, "before_cursor_execute", look)
    yield found
    event.remove(database.engine, "before_cursor_execute", look)


@pytest.fixture
def store(url) -> Iterator[Store]:
    """A store in which no fact changes while the test runs."""
    with Store.open(url) as store, watched(store.database) as changed:
        yield store
    assert changed == []
