"""The documents of a source of prose, one after the other: no file has to fit in memory.

Text, JSON lines and the other forms of `data.importing`, Parquet, folders of them, and data sets of
the Hub. A document is what `data.formats.documents` says it is; one is in memory at a time.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from instructgpt.data.formats.documents import text_of
from instructgpt.data.formats.format import Skip
from instructgpt.data.formats.reasons import Reason
from instructgpt.data.importing.forms import Item, rows_of
from instructgpt.data.importing.hub import data_set
from instructgpt.data.importing.packed import unpacked
from instructgpt.data.importing.parquet import parquet_rows, text_column
from instructgpt.data.importing.sources import HUB_ID
from instructgpt.data.importing.text import Bytes, lines_of, not_utf8
from instructgpt.data.jsonl import LONGEST_LINE
from instructgpt.errors import UserError
from instructgpt.run.digest import hub_data_digest
from instructgpt.run.files import check_text, path_exists
from instructgpt.run.inputs import locate

TEXT, ROWS, PARQUET = (".txt",), (".jsonl", ".json", ".ndjson", ".csv", ".tsv"), (".parquet",)
PACKED = ("", ".gz", ".gzip", ".zst", ".zstd")
SUFFIXES = tuple(kind + packed for kind in (*TEXT, *ROWS) for packed in PACKED) + PARQUET
BLANK = b" \t\r"


class Document(NamedTuple):
    """A document, or why there is none, and where it stands."""

    place: str
    text: str | Skip


def hub_commit(source: str) -> str | None:
    """`commit:` and the commit of a data set of the Hub that is in its cache; None of any other
    source.
    """
    if not _is_on_the_hub(source):
        return None
    found = hub_data_digest(source)
    return found.digest if found else None


def files_of(source: str) -> list[Path]:
    """The files of a source, by name; a data set of the Hub is fetched.

    Raises:
        UserError: there are none, or one is of a kind that is not read.
    """
    path = locate(source)
    if _is_on_the_hub(source):
        return data_set(source, SUFFIXES)
    if not path_exists(path):
        raise UserError(f"{path} does not exist; check the path")
    if not path.is_dir():
        if not path.name.endswith(SUFFIXES):
            raise UserError(f"{path}: expected a {_listed()} file; rename or convert it")
        return [path]
    try:
        files = sorted(file for file in path.iterdir() if _is_prose(file))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); make it readable") from None
    if not files:
        raise UserError(f"{path} holds no {_listed()} file; name another folder")
    return files


def documents_in(files: Iterable[Path]) -> Iterator[Document]:
    """The documents of files, in their order; pieces of whitespace alone are none.

    Raises:
        UserError: a file cannot be read as a whole, is empty, or a document is too long.
    """
    for path in files:
        if path.name.endswith(PARQUET):
            column = text_column(path)
            found = (Item(f"{path} row {n}", row) for n, row in parquet_rows(path, [column]))
            documents = _documents(found, column)
        elif path.name.endswith(tuple(TEXT[0] + packed for packed in PACKED)):
            documents = _parts(path)
        else:
            documents = _documents(rows_of(path), "text")
        empty = True
        for document in documents:
            empty = False
            yield document
        if empty:
            raise UserError(f"{path} is empty: it should hold text")


def _documents(items: Iterable[Item], key: str) -> Iterator[Document]:
    for place, row in items:
        try:
            yield Document(place, row if isinstance(row, Skip) else text_of(row, key))
        except ValueError as error:
            yield Document(place, Skip(Reason.OTHER_KEYS, str(error)))


def _parts(path: Path) -> Iterator[Document]:
    """The documents of a text file: see `data.formats.documents.read_documents`."""
    with unpacked(path) as file:
        marked = any(_is_marker(line) for _, _, line in lines_of(file, path))
    number = 0
    with unpacked(path) as file:
        for text in _cut(file, path, marked=marked):
            if not text.strip():
                continue
            number += 1
            place = f"{path} document {number}"
            try:
                check_text(text, "the text")
            except ValueError as error:
                yield Document(place, Skip(Reason.NOT_READABLE, str(error)))
            else:
                yield Document(place, text)


def _cut(file: Bytes, path: Path, *, marked: bool) -> Iterator[str]:
    """The text between the boundaries: lines `%%` where there are any, else two or more blank
    lines.
    """
    lines: list[str] = []
    blank: list[str] = []
    size = 0
    for number, before, line in lines_of(file, path):
        try:
            text = line.decode()
        except UnicodeDecodeError:
            raise not_utf8(path, line, before, f"line {number}") from None
        if not marked and line.endswith(b"\n") and not line[:-1].strip(BLANK):
            blank.append(text)
            continue
        ends = _is_marker(line) if marked else len(blank) > 1
        if ends:
            yield "".join(lines)
            lines, size = [], 0
        elif blank:
            lines += blank
        blank = []
        if marked and ends:
            continue
        lines.append(text)
        size += len(line)
        if size > LONGEST_LINE:
            raise UserError(
                f"{path} line {number}: the document is longer than {LONGEST_LINE / 2**20:g} MiB; "
                "part it by lines that are just %%"
            )
    yield "".join(lines + (blank if len(blank) == 1 else []))


def _is_on_the_hub(source: str) -> bool:
    is_id = HUB_ID.fullmatch(source) and not source.endswith(SUFFIXES)
    return bool(is_id) and not path_exists(locate(source))


def _is_marker(line: bytes) -> bool:
    return line.startswith(b"%%") and line in (b"%%", b"%%\n", b"%%\r", b"%%\r\n")


def _is_prose(file: Path) -> bool:
    return file.name.endswith(SUFFIXES) and not file.name.startswith(".") and file.is_file()


def _listed() -> str:
    return f"{', '.join((*TEXT, *ROWS))} (.gz or .zst too) or {PARQUET[0]}"
