"""TRL's pairs whose extra columns say of which ranking they are: together they are that ranking."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from instructgpt.data.formats import trl
from instructgpt.data.formats.format import Converted, Skip
from instructgpt.data.formats.lines import reason_of
from instructgpt.data.formats.reasons import Reason
from instructgpt.data.jsonl import Row
from instructgpt.data.records import LARGEST_RANK, Ranking, Record

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
    pairs: dict[int, Ranking] = {}
    skipped: dict[int, Skip] = {}
    for index, row in enumerate(rows):
        try:
            (pairs[index],) = trl.from_preference(_plain(row))  # type: ignore[assignment]
        except ValueError as error:
            skipped[index] = Skip(Reason.WRONG_VALUE, reason_of(error))
    if not pairs:
        raise skipped[0]
    whole = _joined(rows, pairs)
    copies = set(Counter(tuple(rows[index]["pair"]) for index in pairs).values())
    if whole and len(copies) == 1:  # equal rankings are so many, not one
        records: list[Record] = [whole] * copies.pop()
    else:
        records = list(pairs.values())
    return Converted(records, skipped=skipped)


def _joined(rows: Sequence[Row], pairs: dict[int, Ranking]) -> Ranking | None:
    """The whole ranking, if its pairs agree on it and name every answer."""
    first = rows[next(iter(pairs))]
    asked = next(iter(pairs.values())).prompt
    texts: dict[int, str] = {}
    for index, pair in pairs.items():
        if (rows[index]["ranks"], pair.prompt) != (first["ranks"], asked):
            return None
        for place, response in zip(rows[index]["pair"], pair.responses, strict=True):
            if texts.setdefault(place, response.text) != response.text:
                return None
    ranks = first["ranks"]
    answers = first.get("answers", [{}] * len(ranks))
    if len(texts) < len(ranks) or not isinstance(answers, list) or len(answers) != len(ranks):
        return None
    if not all(isinstance(answer, dict) for answer in answers):
        return None
    one = next(iter(pairs.values())).model_dump(exclude_defaults=True)
    one["responses"] = [{**answers[place], "text": texts[place]} for place in range(len(ranks))]
    shown = {"shown_order": first["shown"]} if "shown" in first else {}
    try:
        return Ranking.model_validate({**one, **shown, "ranks": ranks})
    except ValueError:  # not what was written
        return None


def _plain(row: Row) -> Row:
    return {key: value for key, value in row.items() if key not in COLUMNS}


def _are_numbers(values: Any, least: int, most: int) -> bool:
    return isinstance(values, list) and all(
        type(value) is int and least <= value <= most for value in values
    )
