"""What the generic formats share: which column is what, as `--map` says.

Nothing is guessed, and no judgment is dropped: equal and empty answers are what a labeler saw.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from instructgpt.data.formats.columns import own_columns
from instructgpt.data.formats.format import Skip
from instructgpt.data.formats.reasons import Reason
from instructgpt.data.jsonl import Row
from instructgpt.data.records import Ranking, Record
from instructgpt.errors import UserError
from instructgpt.run.files import shortened
from instructgpt.run.presets import nearest

Columns = Mapping[str, Sequence[str]]
"""What each word of `--map` stands for: one column, or several."""


def shared_fields(row: Row, map: Columns, kind: type[Record] = Ranking) -> Row:
    """The prompt, its id, and the row's own columns, for a record of some kind."""
    fields = own_columns(row, [name for names in map.values() for name in names], kind)
    fields["prompt"] = prompt_of(row, map)
    if "id" in map:
        fields["prompt_id"] = text(row, map["id"][0])
    return fields


def prompt_of(row: Row, map: Columns) -> Any:
    """The prompt: a text, or messages; several columns are joined by a blank line.

    Raises:
        Skip: a column is missing or no text, or all are empty.
    """
    names = map["prompt"]
    if len(names) == 1 and isinstance(row.get(names[0]), list):
        return row[names[0]]
    parts = [text(row, name) for name in names]
    joined = "\n\n".join(part for part in parts if part.strip())
    if not joined:
        raise Skip(Reason.EMPTY_PROMPT, f"{names[0]}: the prompt is empty")
    return joined


def labeler(row: Row, map: Columns, number: int) -> Row:
    """Who has judged: by name, or by the column of the judgment where there are several."""
    if "labeler" in map:
        return {"labeler_id": text(row, map["labeler"][number])}
    columns = map.get("preference", ())
    return {"labeler_id": columns[number]} if len(columns) > 1 else {}


def column(row: Row, name: str) -> Any:
    """What stands in a column.

    Raises:
        Skip: the row has none such.
    """
    if name not in row:
        raise Skip(Reason.OTHER_KEYS, f"{name}: the row has no such column{nearest(name, row)}")
    return row[name]


def text(row: Row, name: str) -> str:
    """What stands in a column, as a text."""
    return scalar(column(row, name), name)


def scalar(value: Any, field: str) -> str:
    """A text, or a number or a truth value as JSON writes it; nothing as an empty text.

    Raises:
        Skip: it is a list or an object.
    """
    match value:
        case str():
            return value
        case None:
            return ""
        case bool():
            return str(value).lower()
        case float() if value.is_integer():
            return str(int(value))
        case int() if value.bit_length() > 1024:
            raise Skip(Reason.WRONG_VALUE, f"{field}: a number has too many digits")
        case int() | float():
            return str(value)
        case _:
            raise Skip(Reason.WRONG_VALUE, f"{field}: expected a text, found {shortened(value)}")


def check_words(name: str, map: Columns, known: Sequence[str], needed: Sequence[str]) -> None:
    """Refuse a `--map` with a word that the format does not know, or without one that it needs.

    Raises:
        UserError: it is such.
    """
    for word in map:
        if word not in known:
            raise UserError(
                f"--map {word}: the format {name} knows {', '.join(known)}{nearest(word, known)}"
            )
    if missing := [word for word in needed if word not in map]:
        raise UserError(
            f"--format {name} needs to know which column is what: --map {missing[0]}=COLUMN"
        )


def check_single(map: Columns, words: Sequence[str]) -> None:
    """Refuse several columns where one is needed.

    Raises:
        UserError: there are several.
    """
    for word in words:
        if len(map.get(word, ())) > 1:
            raise UserError(f"--map {word}: name one column, not {len(map[word])}")
