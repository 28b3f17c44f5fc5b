"""The rows of a Parquet file, as JSON would have them."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from instructgpt.data.formats.format import Skip
from instructgpt.data.formats.reasons import Reason
from instructgpt.data.jsonl import Row
from instructgpt.errors import UserError
from instructgpt.run.files import check_text

BATCH = 256
"""Rows that are in memory together."""
TEXTS = frozenset({"string", "large_string", "string_view"})
"""Types of columns that hold texts."""


def parquet_rows(
    path: Path, columns: Sequence[str] | None = None
) -> Iterator[tuple[int, Row | Skip]]:
    """Each row with its number, from 1.

    A null says nothing there, as columns have one wherever a row lacks them: it is left out of its
    row, and of the objects within it.

    Args:
        path: the file.
        columns: those that are read; by default all.

    Raises:
        UserError: the file is cut or damaged, or pyarrow is not installed.
    """
    number = 0
    with _opened(path) as file:
        for batch in file.iter_batches(BATCH, columns=columns):
            for row in batch.to_pylist():
                number += 1
                yield number, _checked(row)


def text_column(path: Path) -> str:
    """The column of a file that holds its texts: `text`, or the only one of that type.

    Raises:
        UserError: there is no such column, or the file cannot be read.
    """
    with _opened(path) as file:
        schema = file.schema_arrow
        texts = [name for name in schema.names if str(schema.field(name).type) in TEXTS]
    if "text" in texts:
        return "text"
    if len(texts) == 1 and "text" not in schema.names:
        return texts[0]
    found = f"{len(texts)} of text: {', '.join(texts)}" if texts else "none of text"
    raise UserError(
        f"{path} has no column 'text' that holds texts, but {found}; name the column 'text'"
    )


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ModuleNotFoundError:
        raise UserError(
            f"{path} is a Parquet file; convert it to JSON lines, or: pip install "
            "'instructgpt[data]'"
        ) from None
    try:
        with ParquetFile(path) as file:
            yield file
    except (ArrowException, OSError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise UserError(f"{path} is a broken Parquet file ({reason}); fetch it again") from None


def _checked(row: Row) -> Row | Skip:
    try:
        found = _plain(row)
        check_text(found, "the row")
    except ValueError as error:
        return Skip(Reason.NOT_READABLE, str(error))
    return found


def _plain(value: Any) -> Any:
    """A value as JSON has it.

    Raises:
        ValueError: JSON has none such.
    """
    match value:
        case dict():
            return {key: _plain(item) for key, item in value.items() if item is not None}
        case list() | tuple():
            return [_plain(item) for item in value]
        case datetime() | date() | time():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case float() if math.isnan(value):
            return None
        case bytes():
            try:
                return value.decode()
            except UnicodeDecodeError:
                raise ValueError("a field holds bytes that are not UTF-8 text") from None
        case None | bool() | int() | float() | str():
            return value
        case _:
            return str(value)
