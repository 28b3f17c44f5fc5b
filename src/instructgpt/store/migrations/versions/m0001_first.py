"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

TEXT, JSON = sa.Text(), sa.JSON(none_as_null=True)
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables, those first that others refer to."""
    _people()
    _prompts()
    _intake()
    _candidates()
    _labels()
    _queues()


def _people() -> None:
    """What a store knows beside texts: its keys, who is who, who did what."""
    op.create_table(
        "keys",
        sa.Column("name", TEXT, nullable=False),
        sa.Column("value", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_keys")),
    )
    op.create_table(
        "organizations",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("at", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organizations")),
    )
    op.create_table(
        "users",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("at", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
    )
    op.create_table(
        "labelers",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("at", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_labelers")),
    )
    op.create_table(
        "audit",
        sa.Column("number", NUMBER),
        sa.Column("who", TEXT),
        sa.Column("what", TEXT, nullable=False),
        sa.Column("detail", JSON),
        sa.Column("at", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_audit")),
    )
    op.create_table(
        "snapshots",
        sa.Column("number", NUMBER),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("folder", TEXT, nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("manifest", JSON),
        sa.Column("at", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_snapshots")),
    )
    op.create_index(op.f("ix_snapshots_name"), "snapshots", ["name"])


def _prompts() -> None:
    """Prompts, and what is known of them."""
    op.create_table(
        "prompts",
        sa.Column("key", TEXT, nullable=False),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("prompt", JSON),
        sa.Column("user_id", TEXT),
        sa.Column("org_id", TEXT),
        sa.Column("source", TEXT),
        sa.Column("created", TEXT),
        sa.Column("record", JSON),
        sa.Column("at", TEXT, nullable=False),
        sa.Column("erased", TEXT),
        sa.ForeignKeyConstraint(["org_id"], ["organizations.id"], name=op.f("fk_prompts_org_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_prompts_user_id")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_prompts")),
    )
    op.create_index(op.f("ix_prompts_id"), "prompts", ["id"])
    op.create_index(op.f("ix_prompts_org_id"), "prompts", ["org_id"])
    op.create_index(op.f("ix_prompts_user_id"), "prompts", ["user_id"])
    op.create_table(
        "consent",
        sa.Column("number", NUMBER),
        sa.Column("prompt_key", TEXT),
        sa.Column("user_id", TEXT),
        sa.Column("given", sa.Boolean(), nullable=False),
        sa.Column("reason", TEXT),
        sa.Column("at", TEXT, nullable=False),
        sa.ForeignKeyConstraint(
            ["prompt_key"], ["prompts.key"], name=op.f("fk_consent_prompt_key")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_consent_user_id")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_consent")),
    )
    op.create_index(op.f("ix_consent_prompt_key"), "consent", ["prompt_key"])
    op.create_index(op.f("ix_consent_user_id"), "consent", ["user_id"])
    op.create_table(
        "annotations",
        sa.Column("number", NUMBER),
        sa.Column("prompt_key", TEXT, nullable=False),
        sa.Column("field", TEXT, nullable=False),
        sa.Column("value", JSON),
        sa.Column("by", TEXT),
        sa.Column("at", TEXT, nullable=False),
        sa.ForeignKeyConstraint(
            ["prompt_key"], ["prompts.key"], name=op.f("fk_annotations_prompt_key")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_annotations")),
    )
    op.create_index(op.f("ix_annotations_prompt_key"), "annotations", ["prompt_key"])
    op.create_table(
        "findings",
        sa.Column("prompt_key", TEXT, nullable=False),
        sa.Column("detector", TEXT, nullable=False),
        sa.Column("found", JSON),
        sa.ForeignKeyConstraint(
            ["prompt_key"], ["prompts.key"], name=op.f("fk_findings_prompt_key")
        ),
        sa.PrimaryKeyConstraint("prompt_key", "detector", name=op.f("pk_findings")),
    )


def _intake() -> None:
    """What intake did."""
    op.create_table(
        "intake_runs",
        sa.Column("number", NUMBER),
        sa.Column("options", JSON),
        sa.Column("files", JSON),
        sa.Column("rules", JSON),
        sa.Column("at", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_intake_runs")),
    )
    op.create_table(
        "arrivals",
        sa.Column("run", NUMBER, nullable=False),
        sa.Column("prompt_key", TEXT, nullable=False),
        sa.ForeignKeyConstraint(
            ["prompt_key"], ["prompts.key"], name=op.f("fk_arrivals_prompt_key")
        ),
        sa.ForeignKeyConstraint(["run"], ["intake_runs.number"], name=op.f("fk_arrivals_run")),
        sa.PrimaryKeyConstraint("run", "prompt_key", name=op.f("pk_arrivals")),
    )
    op.create_index(op.f("ix_arrivals_prompt_key"), "arrivals", ["prompt_key"])
    op.create_table(
        "decisions",
        sa.Column("number", NUMBER),
        sa.Column("run", NUMBER, nullable=False),
        sa.Column("prompt_key", TEXT, nullable=False),
        sa.Column("step", TEXT, nullable=False),
        sa.Column("outcome", TEXT, nullable=False),
        sa.Column("reason", TEXT),
        sa.Column("detail", JSON),
        sa.ForeignKeyConstraint(
            ["prompt_key"], ["prompts.key"], name=op.f("fk_decisions_prompt_key")
        ),
        sa.ForeignKeyConstraint(["run"], ["intake_runs.number"], name=op.f("fk_decisions_run")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_decisions")),
    )
    op.create_index(
        op.f("ix_decisions_prompt_key_step_number"), "decisions", ["prompt_key", "step", "number"]
    )
    op.create_index(op.f("ix_decisions_run"), "decisions", ["run"])


def _candidates() -> None:
    """Answers to rank."""
    op.create_table(
        "candidates",
        sa.Column("key", TEXT, nullable=False),
        sa.Column("prompt_id", TEXT, nullable=False),
        sa.Column("prompt_key", TEXT),
        sa.Column("record", JSON),
        sa.Column("at", TEXT, nullable=False),
        sa.Column("erased", TEXT),
        sa.ForeignKeyConstraint(
            ["prompt_key"], ["prompts.key"], name=op.f("fk_candidates_prompt_key")
        ),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_candidates")),
    )
    op.create_index(op.f("ix_candidates_prompt_id"), "candidates", ["prompt_id"])
    op.create_index(op.f("ix_candidates_prompt_key"), "candidates", ["prompt_key"])
    op.create_table(
        "completions",
        sa.Column("candidates_key", TEXT, nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("text", TEXT),
        sa.Column("model", TEXT),
        sa.Column("weights", TEXT),
        sa.Column("sampling", JSON),
        sa.Column("record", JSON),
        sa.ForeignKeyConstraint(
            ["candidates_key"], ["candidates.key"], name=op.f("fk_completions_candidates_key")
        ),
        sa.PrimaryKeyConstraint("candidates_key", "place", name=op.f("pk_completions")),
    )


def _labels() -> None:
    """What labelers wrote."""
    for name, of in (("demonstrations", ()), ("rankings", ("candidates",)), ("ratings", ())):
        references = [
            ("prompt_key", "prompts.key"),
            ("labeler_id", "labelers.id"),
            *((f"{other}_key", f"{other}.key") for other in of),
            ("replaces", f"{name}.key"),
        ]
        op.create_table(
            name,
            sa.Column("key", TEXT, nullable=False),
            sa.Column("prompt_id", TEXT, nullable=False),
            *(sa.Column(column, TEXT) for column, _ in references[:-1]),
            sa.Column("record", JSON),
            sa.Column("replaces", TEXT),
            sa.Column("at", TEXT, nullable=False),
            sa.Column("erased", TEXT),
            *(
                sa.ForeignKeyConstraint([column], [place], name=op.f(f"fk_{name}_{column}"))
                for column, place in references
            ),
            sa.PrimaryKeyConstraint("key", name=op.f(f"pk_{name}")),
        )
        for column in ("prompt_id", *(column for column, _ in references)):
            op.create_index(op.f(f"ix_{name}_{column}"), name, [column])


def _queues() -> None:
    """Who has what in hand."""
    op.create_table(
        "queues",
        sa.Column("number", NUMBER),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("overlap", sa.Integer(), nullable=False),
        sa.Column("at", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_queues")),
        sa.UniqueConstraint("name", name=op.f("uq_queues_name")),
    )
    op.create_table(
        "tasks",
        sa.Column("number", NUMBER),
        sa.Column("queue", NUMBER, nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("candidates_key", TEXT, nullable=False),
        sa.Column("labels", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["candidates_key"], ["candidates.key"], name=op.f("fk_tasks_candidates_key")
        ),
        sa.ForeignKeyConstraint(["queue"], ["queues.number"], name=op.f("fk_tasks_queue")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_tasks")),
        sa.UniqueConstraint("queue", "candidates_key", name=op.f("uq_tasks_queue_candidates_key")),
    )
    op.create_index(op.f("ix_tasks_candidates_key"), "tasks", ["candidates_key"])
    op.create_index(op.f("ix_tasks_queue_labels_place"), "tasks", ["queue", "labels", "place"])
    op.create_table(
        "assignments",
        sa.Column("number", NUMBER),
        sa.Column("task", NUMBER, nullable=False),
        sa.Column("labeler_id", TEXT, nullable=False),
        sa.Column("leased_until", sa.Float(), nullable=False),
        sa.Column("label_key", TEXT),
        sa.ForeignKeyConstraint(
            ["labeler_id"], ["labelers.id"], name=op.f("fk_assignments_labeler_id")
        ),
        sa.ForeignKeyConstraint(["task"], ["tasks.number"], name=op.f("fk_assignments_task")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_assignments")),
        sa.UniqueConstraint("task", "labeler_id", name=op.f("uq_assignments_task_labeler_id")),
    )
    op.create_index(op.f("ix_assignments_labeler_id"), "assignments", ["labeler_id"])
