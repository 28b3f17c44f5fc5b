"""The rows of a file, whatever its form: JSON lines, a JSON array, CSV, TSV, Parquet.

The form is found by the content. Every row comes with its place; one that cannot be read comes as a
`Skip`. What spoils the whole file raises: bytes that are no UTF-8, a packed file that ends too
early, no content at all.
"""

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from instructgpt.data.formats.format import Skip
from instructgpt.data.formats.reasons import Reason
from instructgpt.data.importing.array import array_rows
from instructgpt.data.importing.packed import PARQUET, unpacked
from instructgpt.data.importing.parquet import parquet_rows
from instructgpt.data.importing.table import table_rows
from instructgpt.data.importing.text import BOM, Bytes, lines_of, not_utf8
from instructgpt.data.jsonl import Row, parse_row
from instructgpt.errors import UserError

HEAD = 2**16
"""Bytes that show the form."""


class Item(NamedTuple):
    """A row, or why it could not be read, and where it stands."""

    place: str
    row: Row | Skip


def rows_of(path: Path) -> Iterator[Item]:
    """The rows of a file, one after the other.

    Raises:
        UserError: the file cannot be read as a whole: see above; or its form is none of these.
    """
    empty = True
    with unpacked(path) as file:
        for item in _rows(path, file):
            empty = False
            yield item
    if empty:
        raise UserError(f"{path} is empty: it should hold rows")


def _rows(path: Path, file: Bytes) -> Iterator[Item]:
    head = file.read(HEAD)
    if head.startswith(PARQUET):
        if isinstance(file, io.BufferedReader) and not isinstance(file.raw, io.FileIO):
            raise UserError(f"{path} is a packed Parquet file; unpack it")
        found = parquet_rows(path)
        yield from (Item(f"{path} row {number}", row) for number, row in found)
        return
    stream = io.BufferedReader(_Rejoined(head, file), HEAD)
    match form_of(head, path.name):
        case "array":
            found = array_rows(stream, path)
            yield from (Item(f"{path} element {number}", row) for number, row in found)
        case "lines":
            yield from json_lines(stream, path)
        case "csv" | "tsv" as form:
            found = table_rows(stream, path, "\t" if form == "tsv" else ",")
            yield from (Item(f"{path} line {number}", row) for number, row in found)
        case other:
            raise UserError(f"{path}: {other}")


def form_of(head: bytes, name: str) -> str:
    r"""The form of a text by its beginning: `lines`, `array`, `csv`, `tsv`; or a sentence.

    >>> form_of(b'{"prompt": "Why?"}\n', "a.json"), form_of(b'[{"prompt": "Why?"}]', "a")
    ('lines', 'array')
    >>> form_of(b"prompt,response\nWhy?,So.\n", "a"), form_of(b"prompt\tresponse\n", "a.csv")
    ('csv', 'tsv')
    """
    text = head.removeprefix(BOM).lstrip()
    stem = re.sub(r"\.(gz|gzip|zst|zstd)$", "", name.lower())
    lines = [line.strip() for line in text.split(b"\n") if line.strip()]
    opened = len(lines) > 1 and lines[0].startswith(b"{")
    if opened and (
        (lines[0] == b"{" and not lines[1].startswith(b"{"))
        or (lines[0] != b"{" and lines[0].endswith((b"{", b"[", b",")))
    ):
        return "holds one JSON object over several lines; give an array, or one object a line"
    if not lines or text.startswith(b"{"):
        return "lines"
    if text.startswith(b"["):
        return "lines" if len(lines) > 1 and _is_whole(lines[0]) else "array"
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "is not UTF-8 text but UTF-16 (byte 1); convert it"
    if stem.endswith((".jsonl", ".ndjson")) or any(
        line.startswith(b"{") and line.endswith(b"}") for line in lines[:50]
    ):
        return "lines"
    if b"\t" in lines[0]:
        return "tsv"
    if b"," in lines[0] or stem.endswith(".csv"):
        return "csv"
    return "is neither JSON lines, a JSON array, CSV, TSV nor Parquet; convert it to one of these"


def json_lines(file: Bytes, path: Path) -> Iterator[Item]:
    """The objects of JSON lines, parted at line feeds alone.

    Raises:
        UserError: a line is not UTF-8, or too long.
    """
    for number, before, line in lines_of(file, path):
        if content := line.strip():
            yield Item(f"{path} line {number}", _parsed(content, path, number, before, line))


def _parsed(content: bytes, path: Path, number: int, before: int, line: bytes) -> Row | Skip:
    try:
        content.decode()
    except UnicodeDecodeError:
        raise not_utf8(path, line, before, f"line {number}") from None
    try:
        return parse_row(content)
    except ValueError as error:
        return Skip(Reason.NOT_READABLE, str(error))


def _is_whole(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


class _Rejoined(io.RawIOBase):
    """A stream of which the beginning was already taken."""

    def __init__(self, head: bytes, rest: Bytes) -> None:
        self._head, self._rest = head, rest

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """The next bytes."""
        part = self._head or self._rest.read1(len(buffer))
        count = min(len(buffer), len(part))
        buffer[:count] = part[:count]
        self._head = part[count:] if self._head else b""
        return count
