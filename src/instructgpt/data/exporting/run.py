"""An export: our records into one file of another tool, whole or not at all."""

import gzip
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from instructgpt.data.exporting.parquet import write_parquet
from instructgpt.data.exporting.registry import WRITERS
from instructgpt.data.jsonl import Row
from instructgpt.data.records import Record
from instructgpt.errors import UserError
from instructgpt.run.disk import explained, make_folder, new_file
from instructgpt.run.presets import nearest


@dataclass
class Exported:
    """What an export did.

    Attributes:
        records: how many were given.
        rows: how many were written.
        lost: how many records lost a field, or what it said, by the name of the field.
    """

    records: int = 0
    rows: int = 0
    lost: Counter[str] = field(default_factory=Counter)


def export_records(path: Path, records: Iterable[Record], format: str) -> Exported:
    """Write records in the named format.

    Raises:
        UserError: the format is unknown or has no form for such a record, nothing would be
            written, or the file cannot be.
    """
    if format not in WRITERS:
        known = ", ".join(WRITERS)
        raise UserError(f"no format {format!r}; use one of: {known}{nearest(format, WRITERS)}")
    _check_name(path, WRITERS[format].form)
    result = Exported()
    rows = _rows(records, format, result)
    with explained(path):
        make_folder(path.parent)
        if WRITERS[format].form == "parquet":
            with new_file(path) as file:
                write_parquet(file, rows, path)
        else:
            with _packed(path) as file:
                _write(file, rows, WRITERS[format].form)
                _require_rows(result, format)
    return result


def _check_name(path: Path, form: str) -> None:
    """Refuse a name that says another form than the file will have."""
    if form == "parquet" and path.suffix != ".parquet":
        raise UserError(f"{path}: the file will be Parquet; end its name in .parquet")
    if form != "parquet" and path.suffix in (".parquet", ".csv", ".tsv", ".zst"):
        raise UserError(
            f"{path}: the file will be JSON; end its name in .json, .jsonl or .jsonl.gz"
        )


def _rows(records: Iterable[Record], format: str, result: Exported) -> Iterator[Row]:
    """The rows of all records, counted with what they lose."""
    writer = WRITERS[format]
    for record in records:
        if type(record) not in writer.write:
            kind = type(record).__name__.lower()
            known = ", ".join(name for name, one in WRITERS.items() if type(record) in one.write)
            raise UserError(f"{format} has no form for {kind} records; write {known}")
        written = writer.write[type(record)](record)
        result.records += 1
        result.rows += len(written.rows)
        result.lost.update(written.lost)
        yield from written.rows


def _require_rows(result: Exported, format: str) -> None:
    if not result.rows:
        told = ", ".join(result.lost) or "no records"
        raise UserError(f"nothing of the records can be written as {format} ({told})")


def _write(file: IO[bytes] | gzip.GzipFile, rows: Iterable[Row], form: str) -> None:
    sign = b"\n" if form == "lines" else b",\n"
    file.write(b"" if form == "lines" else b"[\n")
    for number, row in enumerate(rows):
        file.write((sign if number else b"") + json.dumps(row, ensure_ascii=False).encode())
    file.write(b"\n" if form == "lines" else b"\n]\n")


@contextmanager
def _packed(path: Path) -> Iterator[IO[bytes] | gzip.GzipFile]:
    with new_file(path) as binary:
        if path.suffix != ".gz":
            yield binary
            return
        with gzip.GzipFile(path.name, "wb", fileobj=binary, mtime=0) as file:
            yield file
