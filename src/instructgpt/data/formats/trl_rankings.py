"""TRL's pairs whose extra columns say of which ranking they are: together they are that ranking."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from instructgpt.data.formats import trl
from instructgpt.data.formats.format import Converted, Skip
from instructgpt.data.formats.lines import reason_of
from instructgpt.data.formats.reasons import Reason
from instructgpt.data.jsonl import Row
from instructgpt.data.records import LARGEST_RANK, Ranking

COLUMNS = frozenset({"ranking_id", "ranks", "pair", "answers", "shown"})
"""The extra columns: which ranking, the ranks of all its answers, the two that the row has, what is
known of each answer besides its text, and in which order all were shown."""


def ranking_of(row: Row) -> str | None:
    """Of which ranking a pair is; None where it stands alone."""
    if not {"chosen", "rejected", "ranking_id", "ranks", "pair"} <= row.keys():
        return None
    name, ranks, pair = row["ranking_id"], row["ranks"], row["pair"]
    whole = isinstance(name, str) and _are_numbers(ranks, 1, LARGEST_RANK)
    return name if whole and _are_numbers(pair, 0, len(ranks) - 1) and len(pair) == 2 else None


def from_pairs(rows: Sequence[Row]) -> Converted:
    """The ranking whose pairs these are; where not every answer is in one of them, the pairs alone.

    Raises:
        ValueError: none of them can be read.
    """
    pairs: list[tuple[Row, Ranking]] = []
    skipped: dict[int, Skip] = {}
    for index, row in enumerate(rows):
        try:
            pairs.append((row, pair_of(row)))
        except ValueError as error:
            skipped[index] = Skip(Reason.WRONG_VALUE, reason_of(error))
    if not pairs:
        raise skipped[0]
    return Converted([*joined(pairs)], skipped=skipped)


def pair_of(row: Row) -> Ranking:
    """The ranking of two that a pair is by itself, without the extra columns.

    Raises:
        ValueError: it cannot be read.
    """
    plain = {key: value for key, value in row.items() if key not in COLUMNS}
    (pair,) = trl.from_preference(plain)
    return pair  # type: ignore[return-value]


def joined(pairs: Sequence[tuple[Row, Ranking]]) -> list[Ranking]:
    """The ranking whose pairs these are, as often as it was written; where they do not agree on
    it, or not every answer is in one of them, the pairs.
    """
    whole = _whole(pairs)
    copies = set(Counter(tuple(row["pair"]) for row, _ in pairs).values())
    if whole and len(copies) == 1:  # equal rankings are so many, not one
        return [whole] * copies.pop()
    return [pair for _, pair in pairs]


def _whole(pairs: Sequence[tuple[Row, Ranking]]) -> Ranking | None:
    """The whole ranking, if its pairs agree on it and name every answer."""
    first, one = pairs[0]
    texts: dict[int, str] = {}
    for row, pair in pairs:
        if (row["ranks"], pair.prompt) != (first["ranks"], one.prompt):
            return None
        for place, response in zip(row["pair"], pair.responses, strict=True):
            if texts.setdefault(place, response.text) != response.text:
                return None
    ranks = first["ranks"]
    answers = first.get("answers", [{}] * len(ranks))
    if len(texts) < len(ranks) or not isinstance(answers, list) or len(answers) != len(ranks):
        return None
    if not all(isinstance(answer, dict) for answer in answers):
        return None
    responses = [{**answers[place], "text": texts[place]} for place in range(len(ranks))]
    shown = {"shown_order": first["shown"]} if "shown" in first else {}
    found = {**one.model_dump(exclude_defaults=True), **shown, "responses": responses}
    try:
        return Ranking.model_validate({**found, "ranks": ranks})
    except ValueError:  # not what was written
        return None


def _are_numbers(values: Any, least: int, most: int) -> bool:
    return isinstance(values, list) and all(
        type(value) is int and least <= value <= most for value in values
    )
