"""Several answers of one row, in columns that the user names: a list in one column, of texts or
objects; an object with each model's answer; or as many columns.
"""

from typing import Any, NamedTuple

from instructgpt.data.formats.columns import own_columns
from instructgpt.data.formats.format import Skip
from instructgpt.data.formats.mapped import Columns, column, scalar
from instructgpt.data.formats.reasons import Reason
from instructgpt.data.jsonl import Row
from instructgpt.data.records import Response
from instructgpt.run.files import shortened


class Cells(NamedTuple):
    """The answers of a row as they stand, and their models where an object names them."""

    values: list[Any]
    models: list[str]


def cells_of(row: Row, map: Columns) -> Cells:
    """The answers of a row.

    Raises:
        Skip: a column is missing, or holds neither a list nor an object.
    """
    names = map["answers"]
    if len(names) > 1:
        return Cells([column(row, name) for name in names], [])
    found = column(row, names[0])
    if isinstance(found, dict):
        return Cells(list(found.values()), list(found))
    if not isinstance(found, list):
        raise Skip(
            Reason.WRONG_VALUE,
            f"{names[0]}: expected a list of answers, found {shortened(found)}",
        )
    return Cells(found, [])


def beside(row: Row, map: Columns, word: str, cells: Cells) -> list[Any]:
    """What stands beside the answers: in as many columns, in the answers, or in one column with a
    list, or an object by model.

    Raises:
        Skip: a column is missing, or holds not as many.
    """
    names, values = map[word], cells.values
    if len(names) > 1:
        return [column(row, name) for name in names]
    if all(isinstance(cell, dict) for cell in values) and names[0] not in row:
        return [cell.get(names[0]) for cell in values]
    found = column(row, names[0])
    if cells.models and isinstance(found, dict):
        return [found.get(model) for model in cells.models]
    if not isinstance(found, list) or len(found) != len(values):
        raise Skip(
            Reason.WRONG_VALUE,
            f"{names[0]}: expected a list of {len(values)}, found {shortened(found)}",
        )
    return found


def responses_of(row: Row, map: Columns, cells: Cells) -> list[Row]:
    """The answers as a record has them: the text, the model where it is known, and what an object
    says besides.

    Raises:
        Skip: a text is none.
    """
    models: list[Any] = [*cells.models] or [None] * len(cells.values)
    if "model" in map:
        models = beside(row, map, "model", cells)
    key = map.get("text", ["text"])[0]
    found = []
    for cell, model in zip(cells.values, models, strict=True):
        answer: Row = {}
        if isinstance(cell, dict):
            if model is None and "model" not in map and isinstance(cell.get("model"), str):
                model = cell["model"]
            used = {key, *map.get("model", ())} | (
                {"model"} if model == cell.get("model") else set()
            )
            answer = own_columns(cell, used, Response)
            cell = column(cell, key)
        answer["text"] = scalar(cell, map["answers"][0])
        if model is not None:
            answer["model"] = scalar(model, "model")
        found.append(answer)
    return found
