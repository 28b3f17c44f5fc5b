"""What happens to a bad line: stop with a sentence, or skip it and remember the sentence."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import ValidationError

from instructgpt.data.jsonl import REMEDY, Row, numbered_lines, parse_row
from instructgpt.errors import UserError

OnError = Literal["stop", "skip"]
Item = TypeVar("Item")
Converted = TypeVar("Converted")


def convert_each(
    items: Iterable[tuple[str, Item]],
    convert: Callable[[Item], Converted],
    on_error: OnError,
    *,
    remedy: str = REMEDY,
) -> tuple[list[tuple[str, Converted]], list[str]]:
    """Convert items, each given with its place; returns the results with their places, and a
    message per skipped item.

    Raises:
        UserError: `convert` raised a ValueError and `on_error` is "stop", or it did for every item.
    """
    converted: list[tuple[str, Converted]] = []
    skipped: list[str] = []
    for place, item in items:
        try:
            converted.append((place, convert(item)))
        except ValueError as error:
            message = f"{place}: {reason_of(error)}"
            if on_error == "stop":
                raise UserError(f"{message}; {remedy}") from None
            skipped.append(message)
    if skipped and not converted:
        raise UserError(f"{skipped[0]}; no other line can be read either, so check the format")
    return converted, skipped


def convert_rows(
    path: Path,
    convert: Callable[[Row], Converted],
    on_error: OnError,
    *,
    remedy: str = REMEDY,
) -> tuple[list[tuple[str, Converted]], list[str]]:
    """Convert the objects of a JSON Lines file; each result comes with its line's place.

    Raises:
        UserError: the file cannot be read or is empty, or see `convert_each`.
    """
    lines = _placed_lines(path)
    return convert_each(lines, lambda line: convert(parse_row(line)), on_error, remedy=remedy)


def _placed_lines(path: Path) -> Iterator[tuple[str, bytes]]:
    for number, line in numbered_lines(path):
        yield f"{path} line {number}", line


def reason_of(error: ValueError) -> str:
    """One sentence for an error; of a validation's several, the first."""
    if not isinstance(error, ValidationError):
        return str(error)
    errors = error.errors(include_url=False)
    field = errors[0]["loc"][:1]
    # A prompt may be a text or messages: pydantic reports both readings, the deeper one was meant.
    deepest = max((e for e in errors if e["loc"][:1] == field), key=lambda e: len(e["loc"]))
    parts = [str(part) for part in deepest["loc"] if part not in ("str", "tuple[Message, ...]")]
    return ": ".join(filter(None, [".".join(parts), deepest["msg"].removeprefix("Value error, ")]))
