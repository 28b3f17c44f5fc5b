"""The schema of a database: made, checked, and brought from an older version to this one."""

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect

from instructgpt.errors import UserError
from instructgpt.store.audit import note
from instructgpt.store.engine import Database

MIGRATIONS = Path(__file__).parent / "migrations"


@cache
def newest() -> str:
    """The revision of this version's tables."""
    head = _scripts().get_current_head()
    assert head
    return head


def revision_of(connection: Connection) -> str | None:
    """The revision of a database; None for an empty one."""
    return MigrationContext.configure(connection).get_current_revision()


def upgrade(connection: Connection, to: str = "head") -> None:
    """Bring a database to a revision, from any older one or from nothing."""
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, to)


def prepare(database: Database, *, make: bool) -> None:
    """Check that a database has this version's tables; an empty one gets them if `make`.

    Raises:
        UserError: it has others, or is none of ours.
    """
    found = _found(database, make=make)
    if not found:
        bring_up(database)
    elif found != newest():
        raise UserError(
            f"{database.name}: its tables are those of an older version (revision {found}, this "
            f"one has {newest()}); make a backup and run: "
            f"instructgpt data upgrade --db {database.name}"
        )


def upgrade_store(database: Database) -> tuple[str | None, str]:
    """Bring a store of any older version to this one; its revisions before and after.

    Raises:
        UserError: there is none, or it is of a newer version.
    """
    if _found(database, make=False) == newest():
        return newest(), newest()
    revisions = bring_up(database)
    with database.writing() as connection:
        note(connection, "upgrade", before=revisions[0], after=revisions[1])
    return revisions


def bring_up(database: Database) -> tuple[str | None, str]:
    """Bring a database to this version; its revisions before and after. Two that do it at a time
    follow each other.
    """
    with database.writing() as connection:
        if not database.is_sqlite:
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(22030215)")
        before = revision_of(connection)
        upgrade(connection)
    return before, newest()


def _found(database: Database, *, make: bool) -> str | None:
    """The revision of a store; None for a database that is empty and may be `make`d one.

    Raises:
        UserError: it is neither.
    """
    missing = UserError(f"{database.name}: there is no store; check --db")
    if database.path and not make and not Path(database.path).exists():
        raise missing
    with database.reading() as connection:
        found, is_empty = revision_of(connection), not inspect(connection).get_table_names()
    if not found and not is_empty:
        raise UserError(f"{database.name}: holds tables that are no store's; choose another --db")
    if not found and not make:
        raise missing
    if found and found not in {script.revision for script in _scripts().walk_revisions()}:
        raise UserError(
            f"{database.name}: was written by a newer version (revision {found}); install that"
        )
    return found


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())
