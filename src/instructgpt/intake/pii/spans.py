"""Where personal data stand in a text, and the text without them."""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

MARK = re.compile(r"<([A-Z][A-Z0-9_]{0,30})_(\d{1,6})>")
"""What stands in the place of a masked piece: `<EMAIL_1>`."""


class Span(NamedTuple):
    """A piece of personal data: characters `start` to `end` of a text; its score is 0 to 1."""

    start: int
    end: int
    type: str
    score: float


class Detector(Protocol):
    """Whatever finds personal data in a text: the rules here, or an analyzer from elsewhere."""

    @property
    def version(self) -> str:
        """Changes when the same text may get other spans; results are kept under it."""
        ...

    def find(self, text: str) -> list[Span]:
        """The spans of a text, in any order; they may overlap."""
        ...


def lower(text: str) -> str:
    """The text in small letters, each at the place where it was.

    >>> lower("İA"), len("İA".lower())
    ('İa', 3)
    """
    lowered = text.lower()
    if len(lowered) == len(text):
        return lowered
    return "".join(sign.lower() if len(sign.lower()) == 1 else sign for sign in text)


def merged(spans: Iterable[Span], text: str) -> list[Span]:
    """Spans in order, none overlapping: overlapping ones become one, of the surest one's type.

    Raises:
        ValueError: a span has no characters, or is not within the text, or its type is no mark's.
    """
    found: list[Span] = []
    for span in sorted(spans):
        if not 0 <= span.start < span.end <= len(text):
            raise ValueError(f"{span} is not within a text of {len(text)} characters")
        if not MARK.fullmatch(f"<{span.type}_1>"):
            raise ValueError(f"{span}: a type is capital letters, digits and _, like CREDIT_CARD")
        if found and span.start < found[-1].end:
            last = found.pop()
            surest = max(last, span, key=lambda one: (one.score, one.end - one.start))
            span = surest._replace(start=last.start, end=max(last.end, span.end))
        found.append(span)
    return found


def mask(text: str, spans: Iterable[Span]) -> str:
    """The text with a mark for each piece; the same value has the same mark.

    >>> mask("ann@a.org or ann@a.org", [Span(0, 9, "EMAIL", 1), Span(13, 22, "EMAIL", 1)])
    '<EMAIL_1> or <EMAIL_1>'
    """
    return mask_all([text], [spans])[0]


def mask_all(texts: Sequence[str], spans: Sequence[Iterable[Span]]) -> list[str]:
    """The same of several texts that belong together, such as the turns of a conversation.

    Marks that the texts have already keep their numbers, and no other value gets them.

    Raises:
        ValueError: a span is not within its text.
    """
    last: dict[str, int] = {}
    for text in texts:
        for kind, number in MARK.findall(text):
            last[kind] = max(last.get(kind, 0), int(number))
    marks: dict[tuple[str, str], str] = {}
    masked: list[str] = []
    for text, found in zip(texts, spans, strict=True):
        parts: list[str] = []
        at = 0
        for span in merged(found, text):
            key = span.type, _value(text[span.start : span.end])
            if key not in marks:
                last[span.type] = last.get(span.type, 0) + 1
                marks[key] = f"<{span.type}_{last[span.type]}>"
            parts += (text[at : span.start], marks[key])
            at = span.end
        masked.append("".join((*parts, text[at:])))
    return masked


def _value(written: str) -> str:
    """What two ways of writing the same value have in common: no case, blanks or dashes."""
    return re.sub(r"[\s().\-]+", "", written).casefold()
