"""The rows of CSV and TSV, as dictionaries of texts; fields may hold line feeds."""

import csv
from collections.abc import Iterator
from pathlib import Path

from instructgpt.data.formats.format import Skip
from instructgpt.data.formats.reasons import Reason
from instructgpt.data.importing.text import Bytes, lines_of, not_utf8
from instructgpt.data.jsonl import LONGEST_LINE, Row
from instructgpt.errors import UserError
from instructgpt.run.files import check_text


def table_rows(file: Bytes, path: Path, delimiter: str) -> Iterator[tuple[int, Row | Skip]]:
    """Each row after the header with the number of its first line; blank lines are passed over.

    Raises:
        UserError: bytes are not UTF-8, a line is too long, or two columns have one name.
    """
    csv.field_size_limit(LONGEST_LINE)
    reader = csv.reader(_texts(file, path), delimiter=delimiter, strict=True)
    header: list[str] = []
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if not header:
                told, remedy = str(error), "mend its header"
                if told.startswith("new-line character"):
                    told = "its lines end in carriage returns alone"
                    remedy = "save it with line feeds"
                raise UserError(f"{path} line {number}: {told}; {remedy}") from None
            yield number, Skip(Reason.NOT_READABLE, f"not a row of a table ({error})")
            continue
        if not cells:
            continue
        if not header:
            header = _names(cells, path)
        else:
            yield number, _row(header, cells)


def _names(cells: list[str], path: Path) -> list[str]:
    if len(cells) == 1 and ";" in cells[0]:
        raise UserError(f"{path}: its cells are parted by semicolons; save it with commas or tabs")
    for name in cells:
        if cells.count(name) > 1:
            raise UserError(f"{path}: two columns are called {name!r}; rename one")
    return cells


def _row(header: list[str], cells: list[str]) -> Row | Skip:
    if len(cells) != len(header):
        return Skip(
            Reason.NOT_READABLE, f"the row has {len(cells)} cells, the header {len(header)}"
        )
    row = dict(zip(header, cells, strict=True))
    try:
        check_text(row, "the row")
    except ValueError as error:
        return Skip(Reason.NOT_READABLE, str(error))
    return row


def _texts(file: Bytes, path: Path) -> Iterator[str]:
    for number, before, line in lines_of(file, path):
        try:
            yield line.decode()
        except UnicodeDecodeError:
            raise not_utf8(path, line, before, f"line {number}") from None
