"""Tokens of prose that need not fit in memory: made once, kept in the machine's cache, and mapped
from there.

The file's name holds two hashes: of the data (with what a bad record does), and of all that decides
how it is read. It holds the tokens, two or four bytes each, and at its end a mark with their
number, so that a file that was cut is noticed. Whoever makes it writes beside its place and
renames; other processes of the machine wait for it meanwhile.
"""

import hashlib
import struct
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from instructgpt.data.formats.format import Skip
from instructgpt.data.formats.lines import OnError
from instructgpt.data.importing.packed import explained
from instructgpt.data.jsonl import MEND, REMEDY
from instructgpt.data.prose import documents_in, files_of, hub_commit
from instructgpt.errors import UserError
from instructgpt.models.text import TextCodec
from instructgpt.run.cache import cache_folder, made_once
from instructgpt.run.digest import WHOLE, file_digest
from instructgpt.run.disk import make_folder, new_file
from instructgpt.run.outline import counted
from instructgpt.run.progress import PLAIN_EVERY_SECONDS, say, say_skipped

FORMAT = "instructgpt tokens 1"
"""Another number where other tokens would be made of the same text."""
SHOWN = 5
"""Sentences about bad records that are shown."""
_END = struct.Struct("<24sQ")
_TOGETHER = 2**20
"""Tokens that are written at a time."""


def tokens_of(
    source: str, text: TextCodec, on_error: OnError | None = None
) -> NDArray[np.unsignedinteger]:
    """The tokens of a source, one document after the other, mapped from the cache.

    Args:
        source: a file, a folder or a Hub data set: see `data.prose`.
        text: tokenizes; documents begin and end as `TextCodec.document` has them.
        on_error: what a bad record does; None where the user cannot choose: it stops.

    Raises:
        UserError: the source cannot be read or holds no text, or the cache cannot be written.
    """
    dtype = np.dtype("<u2" if len(text.tokenizer) <= 2**16 else "<u4")
    commit = hub_commit(source)
    if commit and (found := _mapped(_place([commit], text, on_error), dtype)) is not None:
        return found
    files = files_of(source)
    commit = hub_commit(source)
    path = _place([commit] if commit else map(_content, files), text, on_error)
    if (found := _mapped(path, dtype)) is None:
        with made_once(path):
            if (found := _mapped(path, dtype)) is None:
                _make(path, dtype, source, files, text, on_error)
                found = _mapped(path, dtype)
    assert found is not None
    return found


def _place(contents: Any, text: TextCodec, on_error: OnError | None) -> Path:
    data = "\n".join([FORMAT, on_error or "stop", *contents])
    name = f"{hashlib.sha256(data.encode()).hexdigest()[:16]}-{text.reading_key[:16]}.tokens"
    return cache_folder() / "tokens" / name


def _content(file: Path) -> str:
    """What a file holds, and its form. Of a large one only parts are looked at, so that it counts
    as another when it was written anew.
    """
    with explained(file):
        stat = file.stat()
        written = f" {stat.st_mtime_ns}" if stat.st_size > WHOLE else ""
        return f"{file_digest(file)}{written} {''.join(file.suffixes[-2:])}"


def _mapped(path: Path, dtype: np.dtype[Any]) -> NDArray[np.unsignedinteger] | None:
    """What is kept there; None where nothing is, or no whole file."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _END.size))
            end = file.read()
    except OSError:
        return None
    if len(end) == _END.size:
        mark, count = _END.unpack(end)
        if mark.rstrip(b"\0") == FORMAT.encode() and size == count * dtype.itemsize + _END.size:
            return np.memmap(path, dtype, "r", shape=(count,))
    say(f"{path} is not whole; its tokens are made again")
    return None


def _make(
    path: Path,
    dtype: np.dtype[Any],
    source: str,
    files: Sequence[Path],
    text: TextCodec,
    on_error: OnError | None,
) -> None:
    try:
        make_folder(path.parent)
        with new_file(path) as file:
            count = _write(file, dtype, _encoded(source, files, text, on_error))
            if count < 2:
                raise UserError(f"{source}: no text in it; give documents to mix in")
            file.write(_END.pack(FORMAT.encode(), count))
    except OSError as error:
        raise UserError(
            f"{path.parent} cannot be written ({error.strerror}); free space there, or set "
            "INSTRUCTGPT_CACHE to another folder"
        ) from None
    say(f"{source}: {count:,} tokens, kept in {path}")


def _write(file: BinaryIO, dtype: np.dtype[Any], documents: Iterator[list[int]]) -> int:
    count, waiting = 0, []
    for ids in documents:
        waiting += ids
        if len(waiting) >= _TOGETHER:
            file.write(np.asarray(waiting, dtype).tobytes())
            count, waiting = count + len(waiting), []
    file.write(np.asarray(waiting, dtype).tobytes())
    return count + len(waiting)


def _encoded(
    source: str, files: Sequence[Path], text: TextCodec, on_error: OnError | None
) -> Iterator[list[int]]:
    """The tokens of each document; says now and then how far it has come, and at the end what was
    left out.

    Raises:
        UserError: a record cannot be used and `on_error` is not "skip", or no record can.
    """
    skipped: list[str] = []
    documents = bad = empty = tokens = 0
    last = time.monotonic()
    for place, found in documents_in(files):
        if isinstance(found, Skip):
            if on_error != "skip":
                raise UserError(f"{place}: {found}; {REMEDY if on_error else MEND}")
            bad += 1
            skipped += [f"{place}: {found}"] if bad <= SHOWN else []
            continue
        ids = text.document(found)
        empty += not ids
        documents, tokens = documents + 1, tokens + len(ids)
        yield ids
        if time.monotonic() - last > PLAIN_EVERY_SECONDS:
            last = time.monotonic()
            say(f"{source}: {tokens:,} tokens of {counted(documents, 'document')}, at {place}")
    if bad and not documents:
        raise UserError(f"{skipped[0]}; no other record can be read either, so check the format")
    say_skipped(skipped, SHOWN, count=bad)
    if empty:
        say(f"{source}: {counted(empty, 'document')} without text left out")
