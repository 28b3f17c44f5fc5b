"""Stanford Human Preferences: two comments on a post, and what readers' votes say of them."""

from typing import Any

from instructgpt.data.formats.fields import number, one_of, others, ranking, text, wrong
from instructgpt.data.formats.format import Format, Skip
from instructgpt.data.formats.reasons import Reason
from instructgpt.data.jsonl import Row
from instructgpt.data.records import Ranking, Record
from instructgpt.errors import UserError

SIDES = ("A", "B")
_OF_AN_ANSWER = {"score": "score", "c_root_id": "comment_id", "created_at_utc": "created_at_utc"}
"""Columns that stand once for each comment, and what they are called beside its text."""
_USED = (
    *("history", "labels", "human_ref_A", "human_ref_B"),
    *(f"{name}_{side}" for name in _OF_AN_ANSWER for side in SIDES),
)


def to_ranking(row: Row, *, min_ratio: float = 1.0) -> list[Record]:
    """A ranking of two, as `labels` has it (1: A is better); comments of equal score tie.

    Args:
        row: the row.
        min_ratio: how many times the lower score the higher one must be, at least.

    Raises:
        ValueError: label and scores disagree, the ratio is too low, or a field is bad.
    """
    better_a = one_of(row, "labels", (0, 1)) == 1
    scores = [number(row.get(f"score_{side}")) for side in SIDES]
    ranks = [1, 2] if better_a else [2, 1]
    a, b = scores
    if a is not None and b is not None:
        if a == b:
            ranks = [1, 1]
        elif (a > b) is not better_a:
            raise Skip(
                Reason.SCORES_DISAGREE, "labels: it prefers the comment with the lower score"
            )
    if min_ratio > 1.0 and _ratio(row, a, b) < min_ratio:
        raise Skip(Reason.BELOW_RATIO, f"score_ratio: it is below {min_ratio:g}")
    responses = [_response(row, side) for side in SIDES]
    return [ranking(text(row, "history"), responses, ranks, others(row, _USED, Ranking))]


def check_shp(min_ratio: float = 1.0) -> None:
    """Refuse what is no ratio of a higher score to a lower one.

    Raises:
        UserError: it is such.
    """
    if not 1 <= min_ratio < float("inf"):
        raise UserError(
            f"--min_ratio {min_ratio:g}: it is the higher score over the lower one; give 1 or more"
        )


def _response(row: Row, side: str) -> dict[str, Any]:
    columns = {name: row.get(f"{column}_{side}") for column, name in _OF_AN_ANSWER.items()}
    kept = {name: value for name, value in columns.items() if value is not None}
    return {"text": text(row, f"human_ref_{side}"), **kept}


def _ratio(row: Row, a: float | None, b: float | None) -> float:
    """By how much the scores differ, as the row says or as they stand."""
    said = number(row.get("score_ratio"))
    if said is not None:
        return said
    if a is None or b is None or min(a, b) <= 0:
        raise wrong("score_ratio", "a number", row.get("score_ratio"))
    return max(a, b) / min(a, b)


def fits(row: Row) -> bool:
    """Whether the row has a post's text, two comments and a label."""
    texts = ("history", "human_ref_A", "human_ref_B")
    return "labels" in row and all(isinstance(row.get(key), str) for key in texts)


FORMAT = Format(
    name="shp",
    main=Ranking,
    readers={Ranking: to_ranking},
    fits=fits,
    example={
        "post_id": "p1",
        "domain": "askbaking_train",
        "history": "Why does bread rise?",
        "human_ref_A": "Heat.",
        "human_ref_B": "Yeast makes gas.",
        "score_A": 3,
        "score_B": 9,
        "score_ratio": 3.0,
        "labels": 0,
    },
    says="Stanford Human Preferences",
    options=("min_ratio",),
    check=check_shp,
)
