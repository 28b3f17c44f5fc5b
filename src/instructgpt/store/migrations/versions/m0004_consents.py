"""Consent is a fact of each prompt and intake; what arrived is found by the prompt alone."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

TEXT, JSON = sa.Text(), sa.JSON(none_as_null=True)
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the table and fill it; `consent` goes, into which nothing was ever written."""
    _arrivals()
    _create("consents", sa.Column("given", sa.Boolean(), nullable=False),
            sa.Column("assumed", sa.Boolean(), nullable=False))  # fmt: skip
    _fill()
    op.drop_table("consent")


def _create(name: str, *parts: sa.Column[bool], named: str = "") -> None:
    op.create_table(
        name,
        sa.Column("prompt_key", TEXT, nullable=False),
        sa.Column("run", NUMBER, nullable=False),
        *parts,
        _to(named or name, "prompt_key", "prompts.key"),
        _to(named or name, "run", "intake_runs.number"),
        sa.PrimaryKeyConstraint("prompt_key", "run", name=op.f(f"pk_{named or name}")),
        sqlite_with_rowid=False,
    )


def _arrivals() -> None:
    """One key, by the prompt first, for the two that there were: half the writing."""
    if op.get_bind().dialect.name == "sqlite":
        _create("new_arrivals", named="arrivals")
        op.execute(
            "INSERT INTO new_arrivals (prompt_key, run) "
            "SELECT prompt_key, run FROM arrivals ORDER BY prompt_key, run"
        )
        op.drop_table("arrivals")
        op.rename_table("new_arrivals", "arrivals")
        return
    op.drop_index(op.f("ix_arrivals_prompt_key"), "arrivals")
    op.drop_constraint(op.f("pk_arrivals"), "arrivals", type_="primary")
    op.create_primary_key(op.f("pk_arrivals"), "arrivals", ["prompt_key", "run"])


def _fill() -> None:
    """What the records say, and what the runs that brought the others assume."""
    prompts = sa.table("prompts", sa.column("key"), sa.column("record", JSON), sa.column("erased"))
    runs = sa.table("intake_runs", sa.column("number"), sa.column("options", JSON))
    arrivals = sa.table("arrivals", sa.column("prompt_key"), sa.column("run"))
    consents = sa.table("consents", *map(sa.column, ("prompt_key", "run", "given", "assumed")))
    said = prompts.c.record["consent"].as_boolean()
    reason = sa.func.coalesce(runs.c.options["assume_consent"].as_string(), "")
    query = (
        sa.select(arrivals.c.prompt_key, arrivals.c.run, sa.func.coalesce(said, sa.true()))
        .add_columns(said.is_(None))
        .select_from(arrivals)
        .join(prompts, prompts.c.key == arrivals.c.prompt_key)
        .join(runs, runs.c.number == arrivals.c.run)
        .where(prompts.c.erased.is_(None), said.is_not(None) | (reason != ""))
        .order_by(arrivals.c.prompt_key, arrivals.c.run)
    )
    op.execute(consents.insert().from_select(["prompt_key", "run", "given", "assumed"], query))


def _to(table: str, column: str, place: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [place], name=op.f(f"fk_{table}_{column}"))
