"""Our own records in a Parquet file, a column for each field."""

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

from instructgpt.data.exporting.writer import Writer, Written, dumped
from instructgpt.data.jsonl import Row
from instructgpt.data.records import KINDS, Record
from instructgpt.errors import UserError

BATCH = 1000


def write_parquet(file: IO[bytes], rows: Iterable[Row], path: Path) -> None:
    """Write rows, a column for each of their keys.

    Raises:
        UserError: a column holds values of several types, or pyarrow is not installed.
    """
    try:
        import pyarrow
        from pyarrow.parquet import ParquetWriter
    except ModuleNotFoundError:
        raise UserError(
            f"{path}: Parquet needs more to be installed: pip install 'instructgpt[data]'"
        ) from None
    batches = [list(batch) for batch in _batches(rows)]
    names = list(dict.fromkeys(name for batch in batches for row in batch for name in row))
    if not names:
        raise UserError(f"{path}: there is nothing to write")
    columns = {}
    for name in names:
        values = [row.get(name) for batch in batches for row in batch]
        try:
            columns[name] = pyarrow.array(values)
        except (pyarrow.ArrowException, OverflowError) as error:
            reason = str(error).partition("\n")[0].rstrip(".")
            raise UserError(
                f"{path}: the column {name} holds values that no one type holds ({reason}); "
                "write JSON lines"
            ) from None
    table = pyarrow.table(columns)
    with ParquetWriter(file, table.schema) as writer:
        writer.write_table(table, row_group_size=BATCH)


def _batches(rows: Iterable[Row]) -> Iterable[Iterable[Row]]:
    rows = iter(rows)
    return iter(lambda: list(itertools.islice(rows, BATCH)), [])


def _write(record: Record) -> Written:
    row = dumped(record)
    lost = {name for name, value in row.items() if _has_null(value)}
    return Written([row], lost)


def _has_null(value: Any) -> bool:
    """Whether somewhere within there is what Parquet cannot tell from nothing."""
    match value:
        case None:
            return True
        case dict():
            return not value or any(map(_has_null, value.values()))
        case list():
            return any(_has_null(item) for item in value)
        case _:
            return False


PARQUET = Writer(
    "parquet",
    "our own records in columns",
    dict.fromkeys(KINDS.values(), _write),
    form="parquet",
)
