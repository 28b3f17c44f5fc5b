"""The tables of people at work: who may log in, what they have begun, what they handed in."""

from sqlalchemy import Boolean, Column, Float, ForeignKey, Integer, Text, UniqueConstraint

from instructgpt.store.columns import Json, at, fact, number, of_a_prompt, state, text, to

accounts = state(
    "accounts",
    Column("name", ForeignKey("labelers.id"), primary_key=True),
    Column("role", Text, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("password", Text),  # its hash, with its salt
    Column("preferences", Json),
    at(),
)
"""Who may log in; the name is the labeler's id."""
invitations = state(
    "invitations",
    Column("digest", Text, primary_key=True),  # the token's SHA-256
    to("accounts", "account", key="name"),
    Column("expires", Float, nullable=False),  # seconds since 1970
    at(),
)
sessions = state(
    "sessions",
    Column("digest", Text, primary_key=True),
    to("accounts", "account", key="name"),
    Column("expires", Float, nullable=False),
    at(),
)

guidelines = fact(
    "guidelines",
    number(),
    Column("queue", ForeignKey("queues.number"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("content", Text, nullable=False),
    Column("by", Text),
    at(),
    UniqueConstraint("queue", "version"),
)
drafts = state(
    "drafts",
    Column("assignment", ForeignKey("assignments.number"), primary_key=True),
    *of_a_prompt(),
    text("draft"),
    Column("revision", Integer, nullable=False),
    at(),
)
"""What somebody has begun to say of the answers in hand."""
skips = fact(
    "skips",
    number(),
    to("assignments", "assignment", key="number"),
    *of_a_prompt(),
    Column("reason", Text, nullable=False),
    text("note", Text),
    at(),
)
submissions = fact(
    "submissions",
    number(),
    Column("assignment", ForeignKey("assignments.number"), nullable=False),
    Column("page", Text, nullable=False),  # the key of the page that was sent
    Column("seconds", Float, nullable=False),  # of work, all versions together
    Column("guidelines", Integer),  # the version that was read
    at(),
    UniqueConstraint("assignment", "page"),
)
"""Of an assignment the last one counts, unless it was withdrawn."""
submitted_labels = fact(
    "submitted_labels",
    Column("submission", ForeignKey("submissions.number"), primary_key=True),
    Column("key", Text, primary_key=True, index=True),
    Column("place", Integer, nullable=False),  # 0 is the ranking, then come the ratings
)
withdrawals = fact(
    "withdrawals",
    Column("submission", ForeignKey("submissions.number"), primary_key=True),
    Column("by", Text),
    at(),
)
