"""What the steps of an intake did to prompts: added, and read back."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, insert, select

from instructgpt.store.tables import decisions


class Change(NamedTuple):
    """A decision about a prompt."""

    key: str
    step: str
    outcome: str
    reason: str
    detail: Mapping[str, Any] | None
    run: int = 0


def add_changes(connection: Connection, run: int, changes: Iterable[Change]) -> int:
    """Add decisions of a run; how many there are."""
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
        connection.execute(insert(decisions), rows)
    return len(rows)


def last_changes(connection: Connection, keys: Sequence[str]) -> dict[str, dict[str, Change]]:
    """The last decision of each step about some prompts, by key and step.

    Args:
        connection: in a transaction.
        keys: in order, all that there are between the first and the last.
    """
    if not keys:
        return {}
    within = decisions.c.prompt_key.between(keys[0], keys[-1])
    order = (decisions.c.prompt_key, decisions.c.step, decisions.c.number)
    found: dict[str, dict[str, Change]] = {}
    for row in connection.execute(select(*_columns()).where(within).order_by(*order)):
        change = Change(*row)
        found.setdefault(change.key, {})[change.step] = change
    return found


def changes_of(connection: Connection, key: str) -> list[Change]:
    """All decisions about a prompt, with their runs, in order."""
    own = decisions.c
    query = select(*_columns(), own.run).where(own.prompt_key == key).order_by(own.number)
    return [Change(*row) for row in connection.execute(query)]


def released_keys(connection: Connection) -> set[str]:
    """The keys of the prompts that somebody let go."""
    own = decisions.c
    return set(connection.scalars(select(own.prompt_key).where(own.outcome == "released")))


def _columns() -> list[Any]:
    names = ("prompt_key", "step", "outcome", "reason", "detail")
    return [decisions.c[name] for name in names]
