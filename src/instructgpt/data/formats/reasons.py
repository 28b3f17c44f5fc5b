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
    NOT_SUBMITTED = "not submitted"
    NO_ORDER = "no order"
    UNRATED = "unrated answer"
    UNRANKED = "unranked reply"
    DELETED = "deleted"
    REFUSED = "refused by reviewers"
    BELOW = "below a message left out"
    OFF_PATH = "off the best-ranked path"
    NOT_READY = "tree not ready"
    NO_RANKING = "no ranked replies"
    DIFFERENT_BEGINNINGS = "different beginnings"
    NOT_ASSISTANT = "last turn not the assistant's"
    NO_ANSWER = "no assistant turn"
    AFTER_ANSWER = "turn after the answer"
    TOOL_TURN = "tool turn"
    WEIGHT_ZERO = "weight 0"
    NOT_TEXT = "part that is no text"
    SCORES_DISAGREE = "label and scores disagree"
    BELOW_RATIO = "below the ratio"


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
    Reason.NOT_SUBMITTED: "a labeler's draft, or one that was discarded or canceled",
    Reason.NO_ORDER: "what was judged says of no two answers which is better",
    Reason.UNRATED: "an answer has no score, rating or rank, and the others have",
    Reason.UNRANKED: "a reply has no rank",
    Reason.DELETED: "a message was deleted",
    Reason.REFUSED: "reviewers refused a message (`review_result` is false)",
    Reason.BELOW: "a message answers one that is left out",
    Reason.OFF_PATH: "a message is beside the path of the best-ranked replies",
    Reason.NOT_READY: "a tree's `tree_state` is not `ready_for_export`",
    Reason.NO_RANKING: "no message of the tree has two ranked replies, or this one has none",
    Reason.DIFFERENT_BEGINNINGS: "two dialogues differ before their last turns",
    Reason.NOT_ASSISTANT: "a dialogue ends with a turn that is not the assistant's",
    Reason.NO_ANSWER: "no turn with text is the assistant's, so that there is none to learn",
    Reason.AFTER_ANSWER: "a turn follows the last of the assistant's that can be learned",
    Reason.TOOL_TURN: "a turn is a tool's or calls one",
    Reason.WEIGHT_ZERO: "an assistant's turn has the weight 0: it is not to be learned",
    Reason.NOT_TEXT: "a part of a message is an image, a sound or a file",
    Reason.SCORES_DISAGREE: "the label prefers the answer with the lower score",
    Reason.BELOW_RATIO: "the scores differ by less than `--min_ratio`",
}
"""What each phrase says, as the documentation has it."""

MALFORMED = frozenset(
    {Reason.NOT_READABLE, Reason.OTHER_KEYS, Reason.OTHER_KIND, Reason.WRONG_VALUE}
)
"""Mistakes in the file: these stop an import unless bad rows are skipped.

All others are what a format's own rules leave out: they are counted and said, and never stop.
"""
