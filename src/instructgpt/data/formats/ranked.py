"""`ranked`: several answers with scores or ranks, in columns that the user names."""

from collections import Counter
from typing import Any

from instructgpt.data.formats.format import Converted, Format, Skip
from instructgpt.data.formats.mapped import (
    Columns,
    check_single,
    check_words,
    column,
    labeler,
    scalar,
    shared_fields,
)
from instructgpt.data.formats.reasons import Reason
from instructgpt.data.jsonl import Row
from instructgpt.data.records import LARGEST_RANK, Ranking
from instructgpt.errors import UserError
from instructgpt.run.files import shortened

WORDS = ("prompt", "answers", "score", "rank", "text", "model", "labeler", "id")
MOST_ANSWERS = 10


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
    """Each answer with its mark: from as many columns, or from a list in one."""
    if len(map["answers"]) > 1:
        cells: list[Any] = [column(row, name) for name in map["answers"]]
    else:
        cells = column(row, map["answers"][0])
        if not isinstance(cells, list):
            raise Skip(
                Reason.WRONG_VALUE,
                f"{map['answers'][0]}: expected a list of answers, found {shortened(cells)}",
            )
    marks = _beside(row, map, by, cells)
    models = _beside(row, map, "model", cells) if "model" in map else [None] * len(cells)
    found = []
    for cell, mark, model in zip(cells, marks, models, strict=True):
        answer: Row = {}
        if isinstance(cell, dict):
            key = map.get("text", ["text"])[0]
            inner = (key, *map[by], *map.get("model", ()), "model", "sampling")
            answer = {name: value for name, value in cell.items() if name not in inner}
            cell = column(cell, key)
        answer["text"] = scalar(cell, map["answers"][0])
        if model is not None:
            answer["model"] = scalar(model, "model")
        found.append((answer, _mark(mark, map[by][0])))
    return found


def _beside(row: Row, map: Columns, word: str, cells: list[Any]) -> list[Any]:
    """What stands beside the answers: in as many columns, in the answers, or in a list."""
    names = map[word]
    if len(names) > 1:
        return [column(row, name) for name in names]
    if all(isinstance(cell, dict) for cell in cells) and names[0] not in row:
        return [cell.get(names[0]) for cell in cells]
    values = column(row, names[0])
    if not isinstance(values, list) or len(values) != len(cells):
        raise Skip(
            Reason.WRONG_VALUE,
            f"{names[0]}: expected a list of {len(cells)}, found {shortened(values)}",
        )
    return values


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
