"""The elements of a JSON array, one after the other, as if each stood in a line of its own.

An element is what stands between the commas of the array, found by brackets and quotation marks
alone; then it is parsed like a line of JSON lines. So an element that is no object, or in which a
key stands twice, costs itself and not the file. A streaming parser would take the last of two equal
keys, and no number over 64 bits.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from instructgpt.data.formats.format import Skip
from instructgpt.data.formats.reasons import Reason
from instructgpt.data.importing.text import Bytes, not_utf8
from instructgpt.data.jsonl import LONGEST_LINE, Row, parse_row
from instructgpt.errors import UserError

CHUNK = 2**18
_MARKS = re.compile(rb'[\[{]|[\]}]|,|"(?:[^"\\]++|\\.)*+(?P<end>"?)', re.DOTALL)
"""What decides where an element ends: brackets, commas, and texts, whole or unfinished."""


def array_rows(file: Bytes, path: Path) -> Iterator[tuple[int, Row | Skip]]:
    """Each element of an array with its number, from 1.

    Raises:
        UserError: the array is not closed, something comes after it, an element is too long, or
            bytes are not UTF-8.
    """
    for number, (before, element) in enumerate(_elements(file, path), start=1):
        try:
            element.decode()
        except UnicodeDecodeError:
            raise not_utf8(path, element, before, f"element {number}") from None
        try:
            yield number, parse_row(element.strip())
        except ValueError as error:
            yield number, Skip(Reason.NOT_READABLE, str(error))


def _elements(file: Bytes, path: Path) -> Iterator[tuple[int, bytes]]:
    """The bytes of each element, and how many come before them in the file."""
    buffer = file.read(CHUNK)
    start = at = buffer.index(b"[") + 1  # whoever calls has seen it, after a mark and blanks
    before = depth = found = 0  # bytes before the buffer, open brackets, elements
    while True:
        mark = _MARKS.search(buffer, at)
        if mark is None or (mark[0][:1] == b'"' and not mark["end"]):
            kept, at = buffer[start:], (mark.start() if mark else len(buffer)) - start
            more = file.read(max(CHUNK, len(kept)))  # doubled: a long text is looked at twice
            if not more:
                raise UserError(
                    f"{path} is cut: its JSON array is not closed after element {found}; fetch it "
                    "again"
                )
            if len(kept) > LONGEST_LINE:
                raise _too_long(path, found + 1)
            before, buffer, start = before + start, kept + more, 0
            continue
        at, sign = mark.end(), mark[0]
        is_end = sign in b"]}" and not depth
        if is_end or (sign == b"," and not depth):
            element = buffer[start : mark.start()]
            if element.strip() or found or not is_end:
                found += 1
                if len(element) > LONGEST_LINE:
                    raise _too_long(path, found)
                yield before + start, element
            start = at
        if is_end:
            break
        depth += (sign in b"[{") - (sign in b"]}")
    if (buffer[at:] + file.read(CHUNK)).strip():
        raise UserError(f"{path}: something comes after its JSON array; part it into two files")


def _too_long(path: Path, number: int) -> UserError:
    return UserError(
        f"{path} element {number}: is longer than {LONGEST_LINE / 2**20:g} MiB; check that the "
        "file is one array of objects"
    )
