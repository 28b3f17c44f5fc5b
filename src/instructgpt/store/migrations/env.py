"""What Alembic runs to migrate: on the connection that `store.schema` has opened."""

from alembic import context

from instructgpt.store.tables import metadata


def migrate() -> None:
    """Run the migrations that are due."""
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=metadata,
        render_as_batch=True,  # SQLite alters a table by making it anew
    )
    context.run_migrations()


if __name__ == "env_py":  # Alembic's name for this file; whoever imports it only looks
    migrate()
