"""The tables. A *fact* is added and never changed: an edit is a new row, which counts from then on.
*State* is what may change: who has what in hand.

Each column of a fact that can hold what a person wrote is a `_text`: `erase` empties those and
leaves ids and dates. Times are UTC, `2026-11-28T09:30:00Z`; a `key` is the SHA-256 of what the row
holds.
"""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)
Number = BigInteger().with_variant(Integer, "sqlite")
Json = JSON(none_as_null=True)


def _fact(name: str, *parts: Any) -> Table:
    return Table(name, metadata, *parts, info={"kind": "fact"})


def _state(name: str, *parts: Any) -> Table:
    return Table(name, metadata, *parts, info={"kind": "state"})


def _number() -> Column[int]:
    return Column("number", Number, primary_key=True, autoincrement=True)


def _key() -> Column[str]:
    return Column("key", Text, primary_key=True)


def _at() -> Column[str]:
    """When the row was added."""
    return Column("at", Text, nullable=False)


def _text(name: str, kind: Any = Json) -> Column[Any]:
    """What a person may have written."""
    return Column(name, kind, info={"text": True})


def _to(table: str, name: str = "", *, key: str = "key", optional: bool = False) -> Column[Any]:
    """A reference; its type is that of what it refers to."""
    place = ForeignKey(f"{table}.{key}")
    return Column(name or f"{table}_{key}", place, nullable=optional, index=True)


def _of_a_prompt() -> tuple[Column[Any], Column[Any]]:
    """The id that the record has, and the prompt of that id where the store has exactly one."""
    return (
        Column("prompt_id", Text, nullable=False, index=True),
        _to("prompts", "prompt_key", optional=True),
    )


def _label(name: str, *parts: Any) -> Table:
    """Records of labelers, whole; `replaces` names what a row is an edit of."""
    return _fact(
        name,
        _key(),
        *_of_a_prompt(),
        _to("labelers", "labeler_id", key="id", optional=True),
        *parts,
        _text("record"),
        Column("replaces", ForeignKey(f"{name}.key"), index=True),
        _at(),
        Column("erased", Text),
    )


keys = _fact("keys", Column("name", Text, primary_key=True), Column("value", LargeBinary))
"""Secrets of this store; `hash` is the key of its keyed hashes."""
organizations = _fact("organizations", Column("id", Text, primary_key=True), _at())
users = _fact("users", Column("id", Text, primary_key=True), _at())

prompts = _fact(
    "prompts",
    _key(),
    Column("id", Text, nullable=False, index=True),
    _text("prompt"),  # a text, or the list of a conversation's messages
    _to("users", "user_id", key="id", optional=True),
    _to("organizations", "org_id", key="id", optional=True),
    Column("source", Text),
    Column("created", Text),  # as its record says
    _text("record"),  # all other columns
    _at(),
    Column("erased", Text),
)
consent = _fact(
    "consent",
    _number(),
    _to("prompts", "prompt_key", optional=True),
    _to("users", "user_id", key="id", optional=True),
    Column("given", Boolean, nullable=False),
    Column("reason", Text),
    _at(),
)
annotations = _fact(
    "annotations",
    _number(),
    _to("prompts", "prompt_key"),
    Column("field", Text, nullable=False),
    _text("value"),
    Column("by", Text),
    _at(),
)
"""Of a prompt's field the last one counts."""

intake_runs = _fact(
    "intake_runs",
    _number(),
    Column("options", Json),
    Column("files", Json),
    Column("rules", Json),  # and their versions
    _at(),
)
arrivals = _fact(
    "arrivals",
    Column("run", ForeignKey("intake_runs.number"), primary_key=True),
    Column("prompt_key", ForeignKey("prompts.key"), primary_key=True, index=True),
)
"""Which prompts the files of an intake held."""
decisions = _fact(
    "decisions",
    _number(),
    _to("intake_runs", "run", key="number"),
    Column("prompt_key", ForeignKey("prompts.key"), nullable=False),
    Column("step", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("reason", Text),
    _text("detail"),
    Index(None, "prompt_key", "step", "number"),
)
"""What a step of intake did to a prompt; of a prompt and a step the last one counts. A prompt
stands in a snapshot if it has decisions and no outcome among them is `dropped`, `held` or `undone`;
what stands in `detail` under `fields` (a split, a masked prompt) is written there over its record's
own.
"""
findings = _fact(
    "findings",
    Column("prompt_key", ForeignKey("prompts.key"), primary_key=True),
    Column("detector", Text, primary_key=True),  # with its version
    _text("found"),
)
"""What a pure function of a prompt has found, so that it is not computed again."""

candidates = _fact(
    "candidates",
    _key(),
    *_of_a_prompt(),
    _text("record"),  # all but the answers
    _at(),
    Column("erased", Text),
)
completions = _fact(
    "completions",
    Column("candidates_key", ForeignKey("candidates.key"), primary_key=True),
    Column("place", Integer, primary_key=True),
    _text("text", Text),
    Column("model", Text),
    Column("weights", Text),  # the digest of the model's files, where they were there
    Column("sampling", Json),
    _text("record"),  # all other columns
)
labelers = _fact("labelers", Column("id", Text, primary_key=True), _at())
demonstrations = _label("demonstrations")
rankings = _label("rankings", _to("candidates", optional=True))
ratings = _label("ratings")

queues = _fact(
    "queues",
    _number(),
    Column("name", Text, nullable=False, unique=True),
    Column("overlap", Integer, nullable=False),
    _at(),
)
tasks = _state(
    "tasks",
    _number(),
    Column("queue", ForeignKey("queues.number"), nullable=False),
    Column("place", Integer, nullable=False),
    _to("candidates"),
    Column("labels", Integer, nullable=False),  # how many have been given
    UniqueConstraint("queue", "candidates_key"),
    Index(None, "queue", "labels", "place"),
)
assignments = _state(
    "assignments",
    _number(),
    Column("task", ForeignKey("tasks.number"), nullable=False),
    _to("labelers", "labeler_id", key="id"),
    Column("leased_until", Float, nullable=False),  # seconds since 1970
    Column("label_key", Text),  # what was submitted
    UniqueConstraint("task", "labeler_id"),
)

snapshots = _fact(
    "snapshots",
    _number(),
    Column("name", Text, nullable=False, index=True),
    Column("folder", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("manifest", Json),
    _at(),
)
snapshot_users = _fact(
    "snapshot_users",
    Column("snapshot", ForeignKey("snapshots.number"), primary_key=True),
    Column("user_id", ForeignKey("users.id"), primary_key=True, index=True),
)
"""Whose prompts a snapshot holds, or labels of their prompts."""
stale_snapshots = _fact(
    "stale_snapshots",
    _number(),
    _to("snapshots", "snapshot", key="number"),
    Column("reason", Text, nullable=False),
    _at(),
)
audit = _fact(
    "audit",
    _number(),
    Column("who", Text),
    Column("what", Text, nullable=False),
    Column("detail", Json),
    _at(),
)
