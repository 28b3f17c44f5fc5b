"""Text files and JSON Lines: UTF-8, gzip when the name ends in .gz, every error one sentence."""

import errno
import gzip
import io
import itertools
import json
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any

from instructgpt.errors import UserError
from instructgpt.run.disk import make_folder, new_file
from instructgpt.run.files import check_text, parse_json

Row = dict[str, Any]
"""One line of a JSON Lines file."""

MEND = "mend or remove the line"
REMEDY = f"{MEND}, or pass --on_error skip"
"""Where there is that flag."""

LONGEST_LINE = 32 * 2**20
"""Bytes of one line: parsing takes up to 30 times as many of memory."""


@contextmanager
def open_text(path: Path) -> Iterator[io.TextIOWrapper]:
    r"""Open a UTF-8 text, gzipped when the name ends in .gz; a line ends at "\n" and nowhere else.

    Raises:
        UserError: the file is missing, a folder, not UTF-8, a broken gzip, or may not be opened.
    """
    with (
        explained(path),
        _open(path) as binary,  # -sig: pass over Windows' byte-order mark
        io.TextIOWrapper(binary, encoding="utf-8-sig", newline="\n") as text,
    ):
        yield text


def read_jsonl(path: Path) -> Iterator[tuple[int, Row]]:
    """Read JSON Lines: each object with its line number, from 1; blank lines are passed over.

    Raises:
        UserError: the file cannot be read or is empty, or a line is bad (see `parse_row`).
    """
    for number, line in numbered_lines(path):
        try:
            row = parse_row(line)
        except ValueError as error:
            raise UserError(f"{path} line {number}: {error}; {MEND}") from None
        yield number, row


def write_jsonl(path: Path, rows: Iterable[Row]) -> None:
    """Write JSON Lines, the whole file or nothing, making its folder where there is none.

    Raises:
        UserError: the file cannot be written, or a text in `rows` could not be read back.
    """
    with explained(path):
        make_folder(path.parent)
        with new_file(path) as binary, _packed(binary, path) as file:
            for number, row in enumerate(rows, start=1):
                try:
                    check_text(row, "the line")
                except ValueError as error:
                    raise UserError(f"{path} line {number}: {error}; take it out") from None
                file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")


def numbered_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, each with its number in the file, from 1.

    Raises:
        UserError: the file cannot be read (see `open_text`) or is empty.
    """
    empty = True
    with explained(path), _open(path) as file:
        for number in itertools.count(1):
            if not (line := file.readline(LONGEST_LINE + 1)):
                break
            if len(line) > LONGEST_LINE:
                raise UserError(
                    f"{path} line {number}: is longer than {LONGEST_LINE / 2**20:g} MiB; part it "
                    "into several, or check that the file has one JSON object a line"
                )
            if content := line.rstrip():
                empty = False
                yield number, content
    if empty:
        raise UserError(f"{path} is empty: it should hold one JSON object a line")


def parse_row(line: bytes) -> Row:
    """Parse one line of JSON Lines.

    Raises:
        ValueError: it is not UTF-8, not JSON, not an object, or holds a NUL or a lone surrogate.
    """
    row = parse_json(line)
    if not isinstance(row, dict):
        raise ValueError(f"expected a JSON object, found {type(row).__name__}")
    check_text(row, "the line")
    return row


def _open(path: Path) -> gzip.GzipFile | IO[bytes]:
    if "\0" in str(path):
        raise OSError(errno.EINVAL, "a name holds a NUL character")
    return gzip.GzipFile(path, "rb") if path.suffix == ".gz" else open(path, "rb")


def _packed(binary: IO[bytes], path: Path) -> gzip.GzipFile | nullcontext[IO[bytes]]:
    """What is written to `path` goes through here."""
    if path.suffix == ".gz":  # no clock: equal texts give equal bytes
        return gzip.GzipFile(path.name, "wb", fileobj=binary, mtime=0)
    return nullcontext(binary)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Say in one sentence what is wrong with a file that is read in the block.

    Raises:
        UserError: it is missing, a folder, not UTF-8, a cut or broken gzip, or may not be opened.
    """
    try:
        yield
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; check the path") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder; name a file in it") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text ({error.reason}); convert it") from None
    except EOFError:
        raise UserError(f"{path} is a cut gzip file: it ends too early; fetch it again") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path} is a broken gzip file ({error}); fetch it again") from None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; check the path and its permissions") from None
