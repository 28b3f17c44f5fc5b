"""`ranked`: several answers with scores or ranks, in columns that the user names."""

from collections import Counter
from typing import Any

from instructgpt.data.formats.fields import MOST_ANSWERS
from instructgpt.data.formats.format import Converted, Format, Skip
from instructgpt.data.formats.mapped import (
    Columns,
    check_single,
    check_words,
    labeler,
    shared_fields,
)
from instructgpt.data.formats.reasons import Reason
from instructgpt.data.formats.several import beside, cells_of, responses_of
from instructgpt.data.jsonl import Row
from instructgpt.data.records import LARGEST_RANK, Ranking
from instructgpt.errors import UserError
from instructgpt.run.files import shortened

WORDS = ("prompt", "answers", "score", "rank", "text", "model", "labeler", "id")


def check_ranked(map: Columns | None = None) -> None:
    """Refuse a `--map` with which no row can be read.

    Raises:
        UserError: it says too little, or what is not known.
    """
    found = map or {}
    check_words("ranked", found, WORDS, ("prompt", "answers"))
    check_single(found, ("text", "labeler", "id"))
    if ("score" in found) == ("rank" in found):
        raise UserError("--format ranked needs --map score=… (high is good) or --map rank=…")
    judged = "score" if "score" in found else "rank"
    for word in (judged, "model"):
        if word in found and len(found[word]) not in (1, len(found["answers"])):
            raise UserError(
                f"--map {word} names {len(found[word])} columns for {len(found['answers'])} answers"
            )


def from_ranked(row: Row, *, map: Columns) -> Converted:
    """A ranking of all answers that are judged.

    >>> columns = {"prompt": ["q"], "answers": ["all"], "text": ["says"], "score": ["stars"]}
    >>> answers = [{"says": "5", "stars": 1}, {"says": "4", "stars": 9}, {"says": "4.0"}]
    >>> found = from_ranked({"q": "2 + 2", "all": answers}, map=columns)
    >>> found.records[0].ranks, dict(found.left_out)
    ((2, 1), {<Reason.NO_JUDGMENT: 'no judgment'>: 1})

    Raises:
        Skip: a column is missing, a score is no number, or there are too few answers or too many.
    """
    by = "score" if "score" in map else "rank"
    answers = _answers(row, map, by)
    judged = [(answer, mark) for answer, mark in answers if mark is not None]
    left_out = Counter({Reason.NO_JUDGMENT: len(answers) - len(judged)})
    if not judged:
        raise Skip(Reason.NO_JUDGMENT, f"{map[by][0]}: no answer is judged")
    if len(judged) < 2:
        raise Skip(Reason.ONE_ANSWER, f"{map['answers'][0]}: one answer, which compares with none")
    if len(judged) > MOST_ANSWERS:
        raise Skip(
            Reason.MANY_ANSWERS,
            f"{map['answers'][0]}: a ranking has {MOST_ANSWERS} answers at most, found "
            f"{len(judged)}",
        )
    marks = [mark for _, mark in judged]
    fields = {"responses": [answer for answer, _ in judged], "ranks": _ranks(marks, by == "score")}
    record = Ranking.model_validate({**shared_fields(row, map), **labeler(row, map, 0), **fields})
    return Converted([record], +left_out)


def _answers(row: Row, map: Columns, by: str) -> list[tuple[Row, float | None]]:
    """Each answer with its mark; a score that stands elsewhere than in it is put beside it."""
    cells = cells_of(row, map)
    marks = [_mark(mark, map[by][0]) for mark in beside(row, map, by, cells)]
    answers = responses_of(row, map, cells)
    for answer, cell, mark in zip(answers, cells.values, marks, strict=True):
        if by == "score" and mark is not None and not isinstance(cell, dict):
            answer["score"] = mark
    return list(zip(answers, marks, strict=True))


def _mark(value: Any, field: str) -> float | None:
    if value is None or value == "":
        return None
    try:
        found = float(value) if not isinstance(value, bool | list | dict) else float("nan")
    except (ValueError, OverflowError):
        found = float("nan")
    if not abs(found) < float("inf"):
        raise Skip(Reason.WRONG_VALUE, f"{field}: expected a number, found {shortened(value)}")
    return found


def _ranks(marks: list[float], high_is_good: bool) -> list[int]:
    """Ranks from 1; those of the file as they stand where they can."""
    if not high_is_good and all(1 <= mark <= LARGEST_RANK and mark == int(mark) for mark in marks):
        return [int(mark) for mark in marks]
    order = sorted(set(marks), reverse=high_is_good)
    places = {mark: place for place, mark in enumerate(order, start=1)}
    return [places[mark] for mark in marks]


RANKED = Format(
    name="ranked",
    main=Ranking,
    readers={Ranking: from_ranked},
    fits=lambda _: False,
    by_name=True,
    options=("map",),
    check=check_ranked,
    example={"question": "Name a color.", "answers": ["Blue.", "Seven."], "scores": [9, 1]},
    says="several answers with scores or ranks, in columns that you name",
)
