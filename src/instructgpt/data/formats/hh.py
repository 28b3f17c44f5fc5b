r"""HH-RLHF: two dialogues written as plain text, `chosen` and `rejected`, that share all but their
last turn. A turn begins at a blank line and `Human:` or `Assistant:`.
"""

import re

from instructgpt.data.formats.fields import others, ranking, text
from instructgpt.data.formats.format import Format, Skip
from instructgpt.data.formats.reasons import Reason
from instructgpt.data.jsonl import Row
from instructgpt.data.records import Ranking, Record

BEGINNING = "\n\nHuman:"
_MARKER = re.compile(r"(?:\A|\n\n)(Human|Assistant):")
_ROLES = {"Human": "user", "Assistant": "assistant"}


def to_ranking(row: Row) -> list[Record]:
    """A ranking of two; the prompt is the dialogue before the last turn.

    Raises:
        ValueError: the two are one text, differ earlier, or one has no answer at its end.
    """
    chosen = turns_of(text(row, "chosen"), "chosen")
    rejected = turns_of(text(row, "rejected"), "rejected")
    for field, turns in (("chosen", chosen), ("rejected", rejected)):
        if turns[-1]["role"] != "assistant":
            raise Skip(Reason.NOT_ASSISTANT, f"{field}: the last turn is not the assistant's")
    if chosen == rejected:
        raise Skip(Reason.EQUAL_ANSWERS, "rejected: the dialogue is the chosen one")
    for field, turns in (("chosen", chosen), ("rejected", rejected)):
        if not turns[-1]["content"].strip():
            raise Skip(Reason.EMPTY_ANSWER, f"{field}: the last turn is empty")
    if chosen[:-1] != rejected[:-1]:
        raise Skip(
            Reason.DIFFERENT_BEGINNINGS, "rejected: it differs from chosen before its last turn"
        )
    answers = [{"text": chosen[-1]["content"]}, {"text": rejected[-1]["content"]}]
    return [ranking(chosen[:-1], answers, [1, 2], others(row, ("chosen", "rejected"), Ranking))]


def turns_of(dialogue: str, field: str) -> list[dict[str, str]]:
    r"""The turns of a dialogue, without the space between a marker and its text.

    >>> turns_of("\n\nHuman: Name a fruit.\n\nAssistant: A pear.", "chosen")[1]
    {'role': 'assistant', 'content': 'A pear.'}

    Raises:
        Skip: it does not begin with a marker.
    """
    before, *parts = _MARKER.split(dialogue)
    if before.strip() or not parts:
        raise Skip(Reason.WRONG_VALUE, f"{field}: the dialogue does not begin with {BEGINNING!r}")
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return [{"role": _ROLES[name], "content": said.removeprefix(" ")} for name, said in pairs]


def fits(row: Row) -> bool:
    """Whether chosen and rejected are such dialogues."""
    dialogues = [row.get("chosen"), row.get("rejected")]
    return "prompt" not in row and all(
        isinstance(dialogue, str) and dialogue.startswith(BEGINNING) for dialogue in dialogues
    )


FORMAT = Format(
    name="hh",
    main=Ranking,
    readers={Ranking: to_ranking},
    fits=fits,
    example={
        "chosen": "\n\nHuman: Name a fruit.\n\nAssistant: A pear.",
        "rejected": "\n\nHuman: Name a fruit.\n\nAssistant: No.",
    },
    says="Anthropic's HH-RLHF",
    rather_than=("trl",),
)
