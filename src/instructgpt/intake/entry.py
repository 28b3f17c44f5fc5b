"""What the steps of intake know of a stored prompt, and what they say of it."""

import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, NamedTuple

from instructgpt.data.few_shot import is_few_shot
from instructgpt.intake.texts import whole_text

NEVER = float("inf")
"""When a prompt without a date was written: after all that have one."""
LEAST_PREFIX = 80
"""Characters that two prompts must share at least to have a long common prefix (ours; the paper
gives no number)."""
LABELER = "labeler"
"""The `source` of what labelers wrote; everything else counts as a customer's."""


@dataclass(slots=True, frozen=True)
class Entry:
    """A prompt as the steps see it; its text is fetched by the few that read it.

    Attributes:
        key: the store's.
        id: its record's.
        user: who wrote it, if that is known.
        org: of which organization.
        born: when it was written, in seconds since 1970.
        is_labelers: whether a labeler wrote it.
        consents: whether it may be used.
        same: a digest of its normal form: equal for prompts that are equal.
        start: a digest of the first characters of its normal form; empty for a shorter one.
        size: bytes of its text in UTF-8.
        pairs: of a few-shot row, its examples.
    """

    key: str
    id: str
    user: str | None
    org: str | None
    born: float
    is_labelers: bool
    consents: bool
    same: bytes
    start: bytes
    size: int
    pairs: int = 0

    @property
    def age(self) -> tuple[float, str]:
        """Orders prompts from the oldest; no two are alike."""
        return self.born, self.key


class Decision(NamedTuple):
    """What a step did to a prompt.

    Attributes:
        step: which.
        outcome: `kept`, `dropped`, `held` or `undone`.
        reason: in a word or two.
        detail: what else there is to know; what stands under `fields` is written into a snapshot.
    """

    step: str
    outcome: str
    reason: str = ""
    detail: Mapping[str, Any] | None = None

    @property
    def passes(self) -> bool:
        """Whether the prompt goes on to the next step."""
        return self.outcome in ("kept", "released")


def normal(text: str) -> str:
    r"""What prompts are compared by: NFC, without case, with single blanks.

    >>> normal("  Cafe\u0301\n NOIR ") == "caf\xe9 noir"
    True
    """
    if text.isascii():
        return " ".join(text.lower().split())
    folded = unicodedata.normalize("NFC", text).casefold()
    return " ".join(unicodedata.normalize("NFC", folded).split())


def entry_of(key: str, row: Mapping[str, Any], consents: bool) -> Entry:
    """A stored prompt as the steps see it.

    Args:
        key: the store's.
        row: its record.
        consents: whether its writer agreed.
    """
    text = whole_text(row)
    same = normal(text)
    return Entry(
        key=key,
        id=row["id"],
        user=row.get("user_id"),
        org=row.get("org_id"),
        born=born(row.get("created")),
        is_labelers=row.get("source") == LABELER,
        consents=consents,
        same=digest(same),
        start=digest(same[:LEAST_PREFIX]) if len(same) >= LEAST_PREFIX else b"",
        size=len(text.encode()),
        pairs=len(row["examples"]) if is_few_shot(row) else 0,
    )


def digest(text: str) -> bytes:
    """16 bytes that are equal for equal texts."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def born(created: str | None) -> float:
    """The moment that an ISO 8601 date names, in seconds since 1970; without a zone it is UTC.

    >>> born("1970-01-02"), born("1970-01-01T02:00:00+01:00"), born(None)
    (86400.0, 3600.0, inf)

    Raises:
        ValueError: it is no date.
    """
    if created is None:
        return NEVER
    try:
        moment = datetime.fromisoformat(created)
    except ValueError:
        shown = json.dumps(created[:40], ensure_ascii=False)
        raise ValueError(
            f"created: {shown} is no date; write it as 2026-11-28 or 2026-11-28T09:30:00Z"
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
