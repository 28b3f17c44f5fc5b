"""Rows through a format, for the tests of the readers."""

import gzip
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from instructgpt.data.formats.format import Format, Skip
from instructgpt.data.formats.reasons import Reason
from instructgpt.data.records import Record


def one(convert: Callable[..., Any], row: Any, **options: Any) -> Any:
    """The only record of a row."""
    found = convert(row, **options)
    (record,) = found if isinstance(found, list) else found.records
    return record


def reason(convert: Callable[..., Any], row: Any, **options: Any) -> Reason:
    """Why a row ends in no record; its sentence begins with a field and is one line."""
    with pytest.raises(Skip) as caught:
        convert(row, **options)
    assert ": " in str(caught.value)
    assert "\n" not in str(caught.value)
    return caught.value.reason


def texts(record: Any) -> list[str]:
    """The answers of a ranking."""
    return [response.text for response in record.responses]


def rows_of_file(path: Path) -> list[dict[str, Any]]:
    """The rows of JSON lines, gzipped where the name says so; lines end at line feeds alone."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8", newline="\n") as file:
        return [json.loads(line) for line in file]


def read_all(
    format: Format, kind: type[Record], rows: list[dict[str, Any]]
) -> tuple[list[Record], Counter[str], Counter[str]]:
    """The records of rows that stand alone; reasons of rows, and of parts of kept rows. Every row
    is in exactly one of records and reasons.
    """
    records: list[Record] = []
    skipped: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    kept = 0
    for row in rows:
        try:
            found = format.convert(kind, row)
        except Skip as skip:
            skipped[str(skip.reason)] += 1
        else:
            assert found.records
            kept += 1
            records += found.records
            left_out.update({str(why): count for why, count in found.left_out.items()})
    assert kept + skipped.total() == len(rows)
    return records, skipped, left_out
