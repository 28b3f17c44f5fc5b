"""People's data in a database: prompts, what was decided about them, labels, snapshots.

The only room that knows SQLAlchemy. Training reads the snapshots' files, never a database; who
needs a store imports this room when it is asked for one.
"""

from importlib.util import find_spec

from instructgpt.errors import UserError

if not (find_spec("sqlalchemy") and find_spec("alembic")):
    raise UserError(
        "a store needs SQLAlchemy and Alembic; run: pip install 'instructgpt[store]' "
        "(for PostgreSQL 'instructgpt[postgres]')"
    )

from instructgpt.store.store import Store as Store
