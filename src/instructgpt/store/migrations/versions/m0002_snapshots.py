"""Whose texts a snapshot holds, and which snapshots are stale."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

TEXT = sa.Text()
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the two tables."""
    op.create_table(
        "snapshot_users",
        sa.Column("snapshot", NUMBER, nullable=False),
        sa.Column("user_id", TEXT, nullable=False),
        sa.ForeignKeyConstraint(
            ["snapshot"], ["snapshots.number"], name=op.f("fk_snapshot_users_snapshot")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_snapshot_users_user_id")),
        sa.PrimaryKeyConstraint("snapshot", "user_id", name=op.f("pk_snapshot_users")),
    )
    op.create_index(op.f("ix_snapshot_users_user_id"), "snapshot_users", ["user_id"])
    op.create_table(
        "stale_snapshots",
        sa.Column("number", NUMBER),
        sa.Column("snapshot", NUMBER, nullable=False),
        sa.Column("reason", TEXT, nullable=False),
        sa.Column("at", TEXT, nullable=False),
        sa.ForeignKeyConstraint(
            ["snapshot"], ["snapshots.number"], name=op.f("fk_stale_snapshots_snapshot")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_stale_snapshots")),
    )
    op.create_index(op.f("ix_stale_snapshots_snapshot"), "stale_snapshots", ["snapshot"])
