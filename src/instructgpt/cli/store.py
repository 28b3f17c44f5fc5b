"""The commands of a store: `data upgrade`."""

from typing import Annotated

from cyclopts import Parameter

from instructgpt.run.progress import say

Db = Annotated[
    str | None,
    Parameter(
        help="the store: sqlite:///FILE or postgresql+psycopg://HOST/NAME "
        "[INSTRUCTGPT_DB, or sqlite:///instructgpt.db]"
    ),
]


def upgrade(*, db: Db = None) -> None:
    """Bring a store to the tables of this version; nothing in it is lost."""
    from instructgpt.store.engine import Database, store_url
    from instructgpt.store.schema import upgrade_store

    database = Database(store_url(db))
    try:
        before, after = upgrade_store(database)
    finally:
        database.close()
    is_done = before == after
    say(f"{database.name}: {'has' if is_done else f'went from {before} to'} revision {after}")
