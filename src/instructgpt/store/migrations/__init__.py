"""How a database comes from each revision of the schema to the next.

Alembic runs them; it is in `instructgpt[store]`.
"""
