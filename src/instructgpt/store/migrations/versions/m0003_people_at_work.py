"""People at work: accounts, drafts, submissions with their versions, what a queue asks."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

TEXT, JSON = sa.Text(), sa.JSON(none_as_null=True)
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables and columns."""
    for column in (
        sa.Column("ratings", TEXT, nullable=False, server_default="none"),
        sa.Column("priority", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("paused", sa.Boolean(), nullable=False, server_default=sa.false()),
    ):
        op.add_column("queues", column)
    op.add_column("assignments", sa.Column("shown_order", JSON))
    skipped = sa.Column("skipped", sa.Boolean(), nullable=False, server_default=sa.false())
    op.add_column("assignments", skipped)
    op.drop_index(op.f("ix_tasks_queue_labels_place"), "tasks")  # a claim walks by place
    op.create_index(op.f("ix_tasks_queue_place_labels"), "tasks", ["queue", "place", "labels"])
    _accounts()
    _work()
    _submissions()
    _submit_older()


def _accounts() -> None:
    """Who may log in."""
    op.create_table(
        "accounts",
        sa.Column("name", TEXT),
        sa.Column("role", TEXT, nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("password", TEXT),
        sa.Column("preferences", JSON),
        _at(),
        _to("accounts", "name", "labelers.id"),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_accounts")),
    )
    for name in ("invitations", "sessions"):
        op.create_table(
            name,
            sa.Column("digest", TEXT),
            sa.Column("account", TEXT, nullable=False),
            sa.Column("expires", sa.Float(), nullable=False),
            _at(),
            _to(name, "account", "accounts.name"),
            sa.PrimaryKeyConstraint("digest", name=op.f(f"pk_{name}")),
        )
        _index(name, "account")


def _work() -> None:
    """What is asked, what was begun and what was skipped."""
    op.create_table(
        "guidelines",
        sa.Column("number", NUMBER),
        sa.Column("queue", NUMBER, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("content", TEXT, nullable=False),
        sa.Column("by", TEXT),
        _at(),
        _to("guidelines", "queue", "queues.number"),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_guidelines")),
        sa.UniqueConstraint("queue", "version", name=op.f("uq_guidelines_queue_version")),
    )
    op.create_table(
        "drafts",
        sa.Column("assignment", NUMBER),
        *_of_a_prompt(),
        sa.Column("draft", JSON),
        sa.Column("revision", sa.Integer(), nullable=False),
        _at(),
        _to("drafts", "assignment", "assignments.number"),
        _to("drafts", "prompt_key", "prompts.key"),
        sa.PrimaryKeyConstraint("assignment", name=op.f("pk_drafts")),
    )
    op.create_table(
        "skips",
        sa.Column("number", NUMBER),
        sa.Column("assignment", NUMBER, nullable=False),
        *_of_a_prompt(),
        sa.Column("reason", TEXT, nullable=False),
        sa.Column("note", TEXT),
        _at(),
        _to("skips", "assignment", "assignments.number"),
        _to("skips", "prompt_key", "prompts.key"),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_skips")),
    )
    for table in ("drafts", "skips"):
        _index(table, "prompt_id")
        _index(table, "prompt_key")
    _index("skips", "assignment")


def _submissions() -> None:
    """What was handed in, and taken back."""
    op.create_table(
        "submissions",
        sa.Column("number", NUMBER),
        sa.Column("assignment", NUMBER, nullable=False),
        sa.Column("page", TEXT, nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("guidelines", sa.Integer()),
        _at(),
        _to("submissions", "assignment", "assignments.number"),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_submissions")),
        sa.UniqueConstraint("assignment", "page", name=op.f("uq_submissions_assignment_page")),
    )
    op.create_table(
        "submitted_labels",
        sa.Column("submission", NUMBER, nullable=False),
        sa.Column("key", TEXT, nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        _to("submitted_labels", "submission", "submissions.number"),
        sa.PrimaryKeyConstraint("submission", "key", name=op.f("pk_submitted_labels")),
    )
    _index("submitted_labels", "key")
    op.create_table(
        "withdrawals",
        sa.Column("submission", NUMBER),
        sa.Column("by", TEXT),
        _at(),
        _to("withdrawals", "submission", "submissions.number"),
        sa.PrimaryKeyConstraint("submission", name=op.f("pk_withdrawals")),
    )


def _submit_older() -> None:
    """A label that counts and is older than submissions becomes the only version of one."""
    op.execute(
        "INSERT INTO submissions (assignment, page, seconds, at) "
        "SELECT assignments.number, assignments.label_key, 0, rankings.at "
        "FROM assignments JOIN rankings ON rankings.key = assignments.label_key "
        "ORDER BY assignments.number"
    )
    op.execute(
        "INSERT INTO submitted_labels (submission, key, place) "
        "SELECT number, page, 0 FROM submissions"
    )


def _at() -> sa.Column[str]:
    return sa.Column("at", TEXT, nullable=False)


def _of_a_prompt() -> tuple[sa.Column[str], sa.Column[str]]:
    return sa.Column("prompt_id", TEXT, nullable=False), sa.Column("prompt_key", TEXT)


def _to(table: str, column: str, place: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [place], name=op.f(f"fk_{table}_{column}"))


def _index(table: str, column: str) -> None:
    op.create_index(op.f(f"ix_{table}_{column}"), table, [column])
