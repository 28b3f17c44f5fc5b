"""A file's bytes as they were before it was packed: gzip and zstd, known by their first bytes."""

import errno
import gzip
import io
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from instructgpt.data.importing.text import Bytes
from instructgpt.data.jsonl import explained
from instructgpt.errors import UserError

GZIP, ZSTD, PARQUET = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PAR1"
NOT_READ = {
    b"PK\x03\x04": "a zip file or a spreadsheet; unpack it, or save its sheet as CSV",
    b"BZh": "packed with bzip2; unpack it",
    b"\xfd7zXZ": "packed with xz; unpack it",
    b"%PDF": "a PDF; name the file that it was made from",
}
"""Beginnings of files that others write, and what to do."""
CHUNK = 2**16
FRAME_CHUNK = 2**10
"""Packed bytes that zstd unpacks at a time: a block of four bytes can become 128 KiB."""


@contextmanager
def unpacked(path: Path) -> Iterator[Bytes]:
    """Open a file, unpacked where it is packed.

    Raises:
        UserError: it is missing, a folder, cut, damaged, of a kind that nobody unpacks here, or may
            not be opened; also while it is read in the block.
    """
    with explained(path), ExitStack() as stack:
        if "\0" in str(path):
            raise OSError(errno.EINVAL, "a name holds a NUL character")
        file = stack.enter_context(path.open("rb"))
        head = file.peek(8)[:8]
        for magic, found in NOT_READ.items():
            if head.startswith(magic):
                raise UserError(f"{path} is {found}")
        if head.startswith(GZIP):
            yield stack.enter_context(io.BufferedReader(_Gzip(file), CHUNK))
        elif head.startswith(ZSTD):
            yield stack.enter_context(io.BufferedReader(_Zstd(file, path), CHUNK))
        else:
            yield file


class _Gzip(gzip.GzipFile):
    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(fileobj=file, mode="rb")


class _Zstd(io.RawIOBase):
    """Frames of zstd one after the other. (`zstandard`'s own reader takes a cut frame for a whole
    one.)
    """

    def __init__(self, file: IO[bytes], path: Path) -> None:
        try:
            import zstandard
        except ModuleNotFoundError:
            raise UserError(
                f"{path} is packed with zstd; unpack it, or: pip install 'instructgpt[data]'"
            ) from None
        self._file, self._path, self._module = file, path, zstandard
        self._frame: Any = None
        self._waiting = self._ready = b""

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """The next bytes, none at the end."""
        while not self._ready:
            packed = self._waiting or self._file.read(FRAME_CHUNK)
            self._waiting = b""
            if not packed:
                if self._frame is not None:
                    raise UserError(
                        f"{self._path} is a cut zstd file: it ends too early; fetch it again"
                    )
                return 0
            self._unpack(packed)
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def _unpack(self, packed: bytes) -> None:
        if self._frame is None:
            self._frame = self._module.ZstdDecompressor().decompressobj()
        try:
            self._ready = self._frame.decompress(packed)
        except self._module.ZstdError as error:
            raise UserError(
                f"{self._path} is a broken zstd file ({error}); fetch it again"
            ) from None
        if self._frame.eof:
            self._waiting, self._frame = self._frame.unused_data, None
