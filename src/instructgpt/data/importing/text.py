"""Lines of bytes, and where a file is not UTF-8."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from instructgpt.data.jsonl import LONGEST_LINE
from instructgpt.errors import UserError

BOM = b"\xef\xbb\xbf"


class Bytes(Protocol):
    """A stream of bytes, buffered."""

    def read(self, size: int = -1, /) -> bytes:
        """So many bytes, fewer at the end."""
        ...

    def read1(self, size: int = -1, /) -> bytes:
        """Some bytes, at most so many; none at the end."""
        ...

    def readline(self, size: int = -1, /) -> bytes:
        """A line, or so many bytes of it."""
        ...


def lines_of(file: Bytes, path: Path) -> Iterator[tuple[int, int, bytes]]:
    """Each line with its number, from 1, and how many bytes come before it; without a byte order
    mark.

    Raises:
        UserError: one is too long.
    """
    before = number = 0
    while line := file.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            raise UserError(
                f"{path} line {number}: is longer than {LONGEST_LINE / 2**20:g} MiB; part it "
                "into several, or check that the file has one row a line"
            )
        mark = len(BOM) if number == 1 and line.startswith(BOM) else 0
        yield number, before + mark, line[mark:]
        before += len(line)


def not_utf8(path: Path, content: bytes, before: int, where: str) -> UserError:
    """That a file is not UTF-8, with the first byte that shows it.

    Args:
        path: the file.
        content: bytes of which some are not UTF-8.
        before: how many bytes of the file come before them.
        where: their place, in words.
    """
    try:
        content.decode()
    except UnicodeDecodeError as error:
        return UserError(
            f"{path} is not UTF-8 text ({error.reason}: 0x{content[error.start]:02X} at byte "
            f"{before + error.start + 1}, {where}); convert it"
        )
    raise AssertionError("it is UTF-8")
