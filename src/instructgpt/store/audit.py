"""Who did what to a store, and when."""

import getpass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, insert

from instructgpt.store.tables import audit


def now() -> str:
    """This second, as every table has it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def who() -> str:
    """The user of this machine; empty where it has no name."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user without a name
        return ""


def note(connection: Connection, what: str, *, by: str | None = None, **detail: Any) -> None:
    """Add to the audit, in the transaction that does what is noted; `by` is whoever did it, if not
    the user of this machine.
    """
    values = {"who": who() if by is None else by, "what": what, "detail": detail, "at": now()}
    connection.execute(insert(audit).values(values))
