"""Whose labels a snapshot holds; the labelers that prompts name are known, too."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

TEXT, JSON = sa.Text(), sa.JSON(none_as_null=True)
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
LABELS = ("demonstrations", "rankings", "ratings")


def upgrade() -> None:
    """Make the table; an older snapshot may hold whatever was there when it was written."""
    op.create_table(
        "snapshot_labelers",
        sa.Column("snapshot", NUMBER, nullable=False),
        sa.Column("labeler_id", TEXT, nullable=False),
        sa.ForeignKeyConstraint(
            ["snapshot"], ["snapshots.number"], name=op.f("fk_snapshot_labelers_snapshot")
        ),
        sa.ForeignKeyConstraint(
            ["labeler_id"], ["labelers.id"], name=op.f("fk_snapshot_labelers_labeler_id")
        ),
        sa.PrimaryKeyConstraint("snapshot", "labeler_id", name=op.f("pk_snapshot_labelers")),
    )
    op.create_index(op.f("ix_snapshot_labelers_labeler_id"), "snapshot_labelers", ["labeler_id"])
    prompts = sa.table("prompts", sa.column("record", JSON), sa.column("at"), sa.column("erased"))
    wrote = prompts.c.record["labeler_id"].as_string()
    written = sa.select(wrote.label("labeler_id"), prompts.c.at).where(
        wrote.is_not(None), prompts.c.erased.is_(None)
    )
    labelers = sa.table("labelers", sa.column("id"), sa.column("at"))
    by_prompts = written.subquery()
    new = (
        sa.select(by_prompts.c.labeler_id, sa.func.min(by_prompts.c.at))
        .where(by_prompts.c.labeler_id.not_in(sa.select(labelers.c.id)))
        .group_by(by_prompts.c.labeler_id)
    )
    op.execute(labelers.insert().from_select(["id", "at"], new))
    tables = [sa.table(name, sa.column("labeler_id"), sa.column("at")) for name in LABELS]
    every = sa.union_all(written, *(sa.select(t.c.labeler_id, t.c.at) for t in tables)).subquery()
    snapshots = sa.table("snapshots", sa.column("number"), sa.column("at"))
    held = (
        sa.select(snapshots.c.number, every.c.labeler_id)
        .join(every, every.c.at <= snapshots.c.at)
        .where(every.c.labeler_id.is_not(None))
        .distinct()
    )
    target = sa.table("snapshot_labelers", sa.column("snapshot"), sa.column("labeler_id"))
    op.execute(target.insert().from_select(["snapshot", "labeler_id"], held))
