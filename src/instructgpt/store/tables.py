"""The tables. A *fact* is added and never changed: an edit is a new row, which counts from then on.
*State* is what may change: who has what in hand.

Each column of a fact that can hold what a person wrote is a `text`: `erase` empties those and
leaves ids and dates. Times are UTC, `2026-11-28T09:30:00Z`; a `key` is the SHA-256 of what the row
holds.
"""

from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    false,
)

from instructgpt.store.columns import (
    Json,
    at,
    fact,
    key,
    number,
    of_a_prompt,
    of_an_intake,
    state,
    text,
    to,
)
from instructgpt.store.columns import metadata as metadata
from instructgpt.store.work_tables import (
    accounts as accounts,
)
from instructgpt.store.work_tables import (
    drafts as drafts,
)
from instructgpt.store.work_tables import (
    guidelines as guidelines,
)
from instructgpt.store.work_tables import (
    invitations as invitations,
)
from instructgpt.store.work_tables import (
    sessions as sessions,
)
from instructgpt.store.work_tables import (
    skips as skips,
)
from instructgpt.store.work_tables import (
    submissions as submissions,
)
from instructgpt.store.work_tables import (
    submitted_labels as submitted_labels,
)
from instructgpt.store.work_tables import (
    withdrawals as withdrawals,
)


def _label(name: str, *parts: Any) -> Table:
    """Records of labelers, whole; `replaces` names what a row is an edit of."""
    return fact(
        name,
        key(),
        *of_a_prompt(),
        to("labelers", "labeler_id", key="id", optional=True),
        *parts,
        text("record"),
        Column("replaces", ForeignKey(f"{name}.key"), index=True),
        at(),
        Column("erased", Text),
    )


keys = fact("keys", Column("name", Text, primary_key=True), Column("value", LargeBinary))
"""Secrets of this store; `hash` is the key of its keyed hashes."""
organizations = fact("organizations", Column("id", Text, primary_key=True), at())
users = fact("users", Column("id", Text, primary_key=True), at())

prompts = fact(
    "prompts",
    key(),
    Column("id", Text, nullable=False, index=True),
    text("prompt"),  # a text, or the list of a conversation's messages
    to("users", "user_id", key="id", optional=True),
    to("organizations", "org_id", key="id", optional=True),
    Column("source", Text),
    Column("created", Text),  # as its record says
    text("record"),  # all other columns
    at(),
    Column("erased", Text),
)
annotations = fact(
    "annotations",
    number(),
    to("prompts", "prompt_key"),
    Column("field", Text, nullable=False),
    text("value"),
    Column("by", Text),
    at(),
)
"""Of a prompt's field the last one counts."""

intake_runs = fact(
    "intake_runs",
    number(),
    Column("options", Json),
    Column("files", Json),
    Column("rules", Json),  # and their versions
    at(),
)
arrivals = fact("arrivals", *of_an_intake(), sqlite_with_rowid=False)
"""Which prompts the files of an intake held."""
consents = fact(
    "consents",
    *of_an_intake(),
    Column("given", Boolean, nullable=False),
    Column("assumed", Boolean, nullable=False),
    sqlite_with_rowid=False,
)
"""That the writer of a prompt which an intake brought agreed or refused: as the record says, or as
was assumed, for the reason in the run's options. Of whoever said nothing there is no row."""
decisions = fact(
    "decisions",
    number(),
    to("intake_runs", "run", key="number"),
    Column("prompt_key", ForeignKey("prompts.key"), nullable=False),
    Column("step", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("reason", Text),
    text("detail"),
    Index(None, "prompt_key", "step", "number"),
)
"""What a step of intake did to a prompt; of a prompt and a step the last one counts. A prompt
stands in a snapshot if it has decisions and no outcome among them is `dropped`, `held` or `undone`;
what stands in `detail` under `fields` (a split, a masked prompt) is written there over its record's
own.
"""
findings = fact(
    "findings",
    Column("prompt_key", ForeignKey("prompts.key"), primary_key=True),
    Column("detector", Text, primary_key=True),  # with its version
    text("found"),
)
"""What a pure function of a prompt has found, so that it is not computed again."""

candidates = fact(
    "candidates",
    key(),
    *of_a_prompt(),
    text("record"),  # all but the answers
    at(),
    Column("erased", Text),
)
completions = fact(
    "completions",
    Column("candidates_key", ForeignKey("candidates.key"), primary_key=True),
    Column("place", Integer, primary_key=True),
    text("text", Text),
    Column("model", Text),
    Column("weights", Text),  # the digest of the model's files, where they were there
    Column("sampling", Json),
    text("record"),  # all other columns
)
labelers = fact("labelers", Column("id", Text, primary_key=True), at())
demonstrations = _label("demonstrations")
rankings = _label("rankings", to("candidates", optional=True))
ratings = _label("ratings")

queues = state(
    "queues",
    number(),
    Column("name", Text, nullable=False, unique=True),
    Column("overlap", Integer, nullable=False),
    Column("ratings", Text, nullable=False, server_default="none"),
    Column("priority", Integer, nullable=False, server_default="0"),  # greater is earlier
    Column("paused", Boolean, nullable=False, server_default=false()),
    at(),
)
"""What is asked of some answers; the audit has who changed it."""
tasks = state(
    "tasks",
    number(),
    Column("queue", ForeignKey("queues.number"), nullable=False),
    Column("place", Integer, nullable=False),
    to("candidates"),
    Column("labels", Integer, nullable=False),  # how many have been given
    UniqueConstraint("queue", "candidates_key"),
    Index(None, "queue", "place", "labels"),
)
assignments = state(
    "assignments",
    number(),
    Column("task", ForeignKey("tasks.number"), nullable=False),
    to("labelers", "labeler_id", key="id"),
    Column("leased_until", Float, nullable=False),  # seconds since 1970
    Column("label_key", Text),  # the ranking that counts
    Column("shown_order", Json),  # in which places the answers are shown
    Column("skipped", Boolean, nullable=False, server_default=false()),
    UniqueConstraint("task", "labeler_id"),
)

snapshots = fact(
    "snapshots",
    number(),
    Column("name", Text, nullable=False, index=True),
    Column("folder", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("manifest", Json),
    at(),
)
snapshot_users = fact(
    "snapshot_users",
    Column("snapshot", ForeignKey("snapshots.number"), primary_key=True),
    Column("user_id", ForeignKey("users.id"), primary_key=True, index=True),
)
"""Whose prompts a snapshot holds, or labels of their prompts."""
snapshot_labelers = fact(
    "snapshot_labelers",
    Column("snapshot", ForeignKey("snapshots.number"), primary_key=True),
    Column("labeler_id", ForeignKey("labelers.id"), primary_key=True, index=True),
)
"""Whose labels a snapshot holds, or prompts that they wrote."""
stale_snapshots = fact(
    "stale_snapshots",
    number(),
    to("snapshots", "snapshot", key="number"),
    Column("reason", Text, nullable=False),
    at(),
)
audit = fact(
    "audit",
    number(),
    Column("who", Text),
    Column("what", Text, nullable=False),
    Column("detail", Json),
    at(),
)
