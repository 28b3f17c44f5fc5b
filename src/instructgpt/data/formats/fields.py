"""What the readers share: fields of a row as texts and numbers, and records made of them."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from instructgpt.data.formats.columns import own_columns
from instructgpt.data.formats.contradictions import ANOTHER_KIND, refuse_contradiction
from instructgpt.data.formats.format import Skip
from instructgpt.data.formats.reasons import Reason
from instructgpt.data.jsonl import Row
from instructgpt.data.records import Demonstration, PromptText, Ranking, Rating, Record
from instructgpt.run.files import shortened

MOST_ANSWERS = 10
"""Answers that a ranking may have."""
LONGEST_NUMBER = 40
"""Characters of a number that is written as a text."""


Rows = Row | Sequence[Row]
"""A row that stands alone, or those of a group."""


def rows_of(found: Rows) -> Sequence[Row]:
    """The rows of a group, or the one row that stands alone."""
    return [found] if isinstance(found, dict) else found  # type: ignore[list-item]


def text(row: Mapping[str, Any], field: str, *, at: str = "") -> str:
    """A field that must be a text.

    Args:
        row: an object.
        field: its key.
        at: where the object stands, as in "prompt.", for the sentence.

    Raises:
        Skip: it is another value, or absent.
    """
    value = row.get(field)
    if not isinstance(value, str):
        raise wrong(f"{at}{field}", "a text", value)
    return value


def answer(row: Mapping[str, Any], field: str, *, at: str = "") -> str:
    """A field that must be a text with more than whitespace.

    Raises:
        Skip: it is not.
    """
    value = text(row, field, at=at)
    if not value.strip():
        raise Skip(Reason.EMPTY_ANSWER, f"{at}{field}: the answer is empty")
    return value


def number(value: Any) -> float | None:
    """A finite number, also one that is written as a text, as in CSV; None of anything else.

    >>> number("4.5"), number(3), number("N/A"), number(True), number(float("nan"))
    (4.5, 3.0, None, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and len(value) > LONGEST_NUMBER:
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def one_of(row: Mapping[str, Any], field: str, values: Sequence[int]) -> int:
    """A field that must be one of some whole numbers.

    Raises:
        Skip: it is not.
    """
    found = number(row.get(field))
    if found is None or found not in values:
        raise wrong(field, " or ".join(map(str, values)), row.get(field))
    return int(found)


def wrong(field: str, expected: str, value: Any) -> Skip:
    """The reason to skip a row for the value of a field."""
    return Skip(Reason.WRONG_VALUE, f"{field}: expected {expected}, found {shortened(value)}")


def joined(instruction: str, more: Any, field: str = "input") -> str:
    """An instruction and what it is about, parted by a blank line.

    >>> joined("Add the numbers.", "2, 3")
    'Add the numbers.\\n\\n2, 3'

    Raises:
        Skip: there is more than a text.
    """
    if more is None:
        return instruction
    if not isinstance(more, str):
        raise wrong(field, "a text", more)
    return f"{instruction}\n\n{more}" if more.strip() else instruction


def ranks_of(scores: Iterable[float]) -> list[int]:
    """Ranks for scores, the highest first; equal scores tie, and no rank is left out.

    >>> ranks_of([7.5, 9, 7.5, 1])
    [2, 1, 2, 3]
    """
    scores = list(scores)
    places = {score: place for place, score in enumerate(sorted(set(scores), reverse=True), 1)}
    return [places[score] for score in scores]


def others(row: Mapping[str, Any], used: Collection[str], kind: type[Record]) -> Row:
    """The columns that a reader does not use, as its records keep them (see `own_columns`); whose
    prompt and whose judgment it is goes by the same names everywhere.

    Raises:
        ValueError: one calls the row bad (`label: false`, `deleted: true`).
    """
    left = {key: value for key, value in row.items() if key not in used}
    another = ANOTHER_KIND.get(kind, {})
    refuse_contradiction(kind, {key: left[key] for key in left if key not in another})
    same = [key for key in ("prompt_id", "labeler_id") if isinstance(left.get(key), str)]
    return {**own_columns(dict(row), {*used, *same}, kind), **{key: left[key] for key in same}}


def demonstration(
    prompt: PromptText | Sequence[Mapping[str, str]], response: str, columns: Row
) -> Demonstration:
    """A demonstration.

    Args:
        prompt: a text, or turns.
        response: the answer.
        columns: what is kept beside them.

    Raises:
        ValueError: prompt or answer is empty.
    """
    require_prompt(prompt)
    if not response.strip():
        raise Skip(Reason.EMPTY_ANSWER, "response: the answer is empty")
    return Demonstration.model_validate({**columns, "prompt": prompt, "response": response})


def ranking(
    prompt: PromptText | Sequence[Mapping[str, str]],
    responses: Sequence[Row],
    ranks: Sequence[int],
    columns: Row,
) -> Ranking:
    """A ranking.

    Args:
        prompt: a text, or turns.
        responses: the answers, each with `text` and what is kept beside it.
        ranks: of each.
        columns: what is kept beside them.

    Raises:
        ValueError: the prompt is empty, there are too few or too many answers, or all are one text.
    """
    require_prompt(prompt)
    count = len(responses)
    if count < 2:
        few = "no answer" if not count else "one answer, which compares with none"
        raise Skip(Reason.ONE_ANSWER, f"responses: there is {few}")
    if count > MOST_ANSWERS:
        raise Skip(
            Reason.MANY_ANSWERS,
            f"responses: a ranking has {MOST_ANSWERS} answers at most, found {count}",
        )
    if len({response["text"].strip() for response in responses}) == 1:
        raise Skip(Reason.EQUAL_ANSWERS, "responses: the answers that are compared are one text")
    fields = {"prompt": prompt, "responses": responses, "ranks": ranks}
    return Ranking.model_validate({**columns, **fields})


def rating(
    prompt: PromptText | Sequence[Mapping[str, str]], response: str, likert: Any, columns: Row
) -> Rating:
    """A rating.

    Args:
        prompt: a text, or turns.
        response: the answer.
        likert: its overall quality, 1 to 7.
        columns: what is kept beside them.

    Raises:
        ValueError: the prompt is empty, or the number is out of its range.
    """
    require_prompt(prompt)
    value = number(likert)
    if value is None or value not in range(1, 8):
        raise wrong("likert", "a whole number from 1 to 7", likert)
    fields = {"prompt": prompt, "response": response, "likert": int(value)}
    return Rating.model_validate({**columns, **fields})


def require_prompt(prompt: PromptText | Sequence[Any]) -> None:
    """Refuse a prompt without text.

    Raises:
        Skip: it has none.
    """
    turns = [prompt] if isinstance(prompt, str) else [_content(turn) for turn in prompt]
    if not any(turn.strip() for turn in turns):
        raise Skip(Reason.EMPTY_PROMPT, "prompt: it is empty")


def _content(turn: Any) -> str:
    """What a turn says; of what is none, something: whoever validates it says what is wrong."""
    found = turn.get("content") if isinstance(turn, Mapping) else getattr(turn, "content", None)
    return found if isinstance(found, str) else str(turn)
