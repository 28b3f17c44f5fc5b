"""The migrations, oldest first; one that is released is never changed.

Alembic is in `instructgpt[store]`.
"""
