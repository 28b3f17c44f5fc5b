"""What stands around an answer, and the tokens of an answer that stands there."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from transformers import PreTrainedTokenizerBase

ANCHOR = "\n"
"""What an answer is read behind where a tokenizer puts a space before every text of its own."""


@dataclass(frozen=True)
class Framing:
    """What surrounds an answer between the opened turn and the next one.

    Attributes:
        end: the id of the token that ends the turn.
        lead: whitespace before the answer.
        closing: whitespace between the answer and `end`.
        rest: what a conversation that ends here has after that.
        writes_end: whether the template writes `end`; if not, it is the end-of-text token.
        anchored: an answer is read as the continuation of a text, not as a text of its own.
    """

    end: int
    lead: str = ""
    closing: str = ""
    rest: str = ""
    writes_end: bool = True
    anchored: bool = False


def framed_ids(
    text: str, framing: Framing, encode: Callable[[str], list[int]], *, finished: bool = True
) -> list[int]:
    """Token ids of an answer in its frame; one that was cut has nothing behind it.

    Args:
        text: the answer.
        framing: what surrounds it.
        encode: a text as tokens, without any that stand for its beginning or end.
        finished: whether the answer ended by itself.
    """
    text = framing.lead + text + (framing.closing if finished else "")
    ids = encode(text)
    if framing.anchored:
        anchor, behind = encode(ANCHOR), encode(ANCHOR + text)
        if behind[: len(anchor)] == anchor:
            ids = behind[len(anchor) :]
    return [*ids, framing.end] if finished else ids


def plain_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Token ids of a text of which no part becomes a special token."""
    encoded = tokenizer(
        text,
        add_special_tokens=False,
        split_special_tokens=True,
        verbose=False,  # no warning about a length that we check ourselves
    )
    return list(encoded["input_ids"])  # type: ignore[arg-type]


def readings(known: Framing) -> Iterator[Framing]:
    """Ways to read an answer, the simplest first, of which one has the template's own tokens."""
    for anchored in (False, True):
        for lead, closing in (("", ""), ("", known.closing), (known.lead, known.closing)):
            if not (lead.strip() or closing.strip()):
                yield replace(known, lead=lead, closing=closing, anchored=anchored)
