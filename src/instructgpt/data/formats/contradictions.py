"""Columns that contradict the kind of record a line is read as.

A line that has all keys of a demonstration may say beside them that its answer is a bad one (TRL's
`label: false`), or be another record altogether (`likert`, `rejected`). No kind turns into another:
such a line is refused with the column's name. Only prompts may be taken from any record.
"""

from collections.abc import Mapping
from typing import Any, TypeGuard

from instructgpt.data.jsonl import Row
from instructgpt.data.records import Candidates, Demonstration, Ranking, Rating, Record

ANOTHER_KIND: Mapping[type[Record], Mapping[str, str]] = {
    Demonstration: {
        "likert": "rating",
        **dict.fromkeys(("rejected", "ranks"), "ranking"),
        **dict.fromkeys(("responses", "completions"), "list of answers to choose from"),
    },
    Rating: {
        **dict.fromkeys(("chosen", "rejected", "ranks"), "ranking"),
        **dict.fromkeys(("responses", "completions"), "list of answers to choose from"),
    },
    Candidates: {
        **dict.fromkeys(("chosen", "rejected", "ranks"), "ranking"),
        "likert": "rating",
        **dict.fromkeys(("response", "completion"), "demonstration"),
    },
    Ranking: {
        "likert": "rating",
        **dict.fromkeys(("response", "completion"), "demonstration"),
    },
}
"""By kind: columns that make a line a record of another kind, and which."""

UNLESS: Mapping[type[Record], tuple[str, ...]] = {
    Demonstration: (
        *("label", "chosen", "preferred", "is_preferred", "accepted", "is_accepted", "approved"),
        *("correct", "is_correct", "review_result", "safe", "is_safe", "satisfies_constraint"),
    ),
    Ranking: ("label", "accepted", "is_accepted", "approved", "review_result"),
}
"""By kind: columns that call what would be learnt bad where they are false."""

IF: Mapping[type[Record], tuple[str, ...]] = {
    Demonstration: (
        *("rejected", "deleted", "discarded", "was_cancelled", "fails_instruction"),
        *("hallucination", "inappropriate_for_assistant", "sexual_content", "violent_content"),
        *("encourages_harm", "denigrates_protected_class", "harmful_advice"),
        *("is_unsafe", "toxic", "is_toxic"),
    ),
    Ranking: ("deleted", "discarded", "was_cancelled"),
}
"""By kind: columns that call it bad where they are true."""

JUDGEMENTS = (
    *("score", "rating", "reward", "rank", "overall_score", "quality", "grade", "stars"),
    *("helpfulness", "correctness", "coherence", "honesty", "harmlessness", "truthfulness"),
)
"""Columns that judge an answer on a scale of which we do not know what is good."""

FALSE_WORDS = frozenset(
    {"false", "no", "bad", "rejected", "undesirable", "negative", "discarded", "incorrect"}
)
TRUE_WORDS = frozenset({"true", "yes"})

PAIR_SCORES = (
    ("score_chosen", "score_rejected"),
    ("chosen_score", "rejected_score"),
    ("chosen_rating", "rejected_rating"),
    ("chosen-rating", "rejected-rating"),
)
"""How files name the scores of a pair's two answers."""


def refuse_contradiction(kind: type[Record], row: Row) -> None:
    """Refuse a line whose columns contradict what it is read as.

    >>> refuse_contradiction(Demonstration, {"prompt": "2 + 2", "response": "5", "label": False})
    Traceback (most recent call last):
    ValueError: label: false calls the line bad, and a demonstration is learnt

    Raises:
        ValueError: a column does; the message names it.
    """
    if said := another_kind(kind, row):
        raise ValueError(said)
    for columns, wanted, words in ((UNLESS, False, FALSE_WORDS), (IF, True, TRUE_WORDS)):
        for column in columns.get(kind, ()):
            if _says(row.get(column), wanted, words):
                raise ValueError(
                    f"{column}: {_shown(row[column])} calls the line bad, and a "
                    f"{kind.__name__.lower()} is learnt"
                )
    if kind is Demonstration:
        for column in JUDGEMENTS:
            if _is_number(row.get(column)):
                raise ValueError(
                    f"{column}: {row[column]} judges the answer, and a demonstration is learnt "
                    "however it was judged (take the column out where all answers are good)"
                )
    if kind is Ranking:
        for chosen, rejected in PAIR_SCORES:
            better, worse = row.get(chosen), row.get(rejected)
            if _is_number(better) and _is_number(worse) and float(better) < float(worse):
                raise ValueError(
                    f"{chosen}: {better} is less than {rejected}, {worse}, and the chosen answer "
                    "is the better one"
                )


def another_kind(kind: type[Record], row: Row) -> str | None:
    """Which column makes a line a record of another kind than this, in a sentence."""
    for column, found in ANOTHER_KIND.get(kind, {}).items():
        if row.get(column) is not None and not isinstance(row[column], bool):
            return f"{column}: the line is a {found}, and is not read as a {kind.__name__.lower()}"
    return None


def _says(value: object, wanted: bool, words: frozenset[str]) -> bool:
    """Whether a value says `wanted`: true or false, 1 or 0, or such a word."""
    if isinstance(value, str):
        return value.strip().lower() in words
    return isinstance(value, int | float) and value == wanted


def _is_number(value: Any) -> TypeGuard[str | float]:
    """Whether this is a number, or a text that holds one (UltraFeedback's ratings)."""
    if isinstance(value, str):
        return value.strip().replace(".", "", 1).removeprefix("-").isdecimal()
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
