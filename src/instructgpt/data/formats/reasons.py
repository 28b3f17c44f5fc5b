"""Why a row, or a part of one, ends in no record: short fixed phrases, the keys of the counts."""

from collections.abc import Mapping
from enum import StrEnum


class Reason(StrEnum):
    """A phrase of the account that an import gives; `MEANINGS` has the sentence of the docs."""

    NOT_READABLE = "not readable"
    OTHER_KEYS = "other keys"
    OTHER_KIND = "another kind"
    WRONG_VALUE = "wrong value"
    ONE_ANSWER = "one answer"
    MANY_ANSWERS = "over ten answers"
    EQUAL_ANSWERS = "equal answers"
    EMPTY_ANSWER = "empty answer"
    EMPTY_PROMPT = "empty prompt"
    NO_JUDGMENT = "no judgment"
    UNPAIRED = "unpaired answer"
    STEPWISE = "steps of one answer"
    REPEATED_PROMPT = "repeated prompt"


MEANINGS: Mapping[Reason, str] = {
    Reason.NOT_READABLE: "the line is no JSON object, or holds what no file of ours can hold",
    Reason.OTHER_KEYS: "the keys are not those of the format",
    Reason.OTHER_KIND: "the row holds records of another kind than was asked for",
    Reason.WRONG_VALUE: "a field has a value of another type, or out of its range",
    Reason.ONE_ANSWER: "a single answer compares with none",
    Reason.MANY_ANSWERS: "a ranking has ten answers at most",
    Reason.EQUAL_ANSWERS: "the answers that are compared are one text",
    Reason.EMPTY_ANSWER: "an answer holds nothing but whitespace",
    Reason.EMPTY_PROMPT: "the prompt holds nothing but whitespace",
    Reason.NO_JUDGMENT: "nobody has judged the row",
    Reason.UNPAIRED: "one answer is called good or bad, without another",
    Reason.STEPWISE: "the steps of one answer are called right or wrong",
    Reason.REPEATED_PROMPT: "of the prompts alone: an earlier row has the same",
}
"""What each phrase says, as the documentation has it."""

MALFORMED = frozenset(
    {Reason.NOT_READABLE, Reason.OTHER_KEYS, Reason.OTHER_KIND, Reason.WRONG_VALUE}
)
"""Mistakes in the file: these stop an import unless bad rows are skipped.

All others are what a format's own rules leave out: they are counted and said, and never stop.
"""
