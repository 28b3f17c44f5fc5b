"""Where records go: files that take their places together, or not at all."""

import gzip
import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from instructgpt.data.records import Record
from instructgpt.errors import UserError
from instructgpt.run.disk import explained, make_folder, refuse_unfit, scratch, settle, sync_folder


class Outputs:
    """Records on their way into files, one for each kind; made by `outputs`."""

    def __init__(self, out: str, folder: Path, stack: ExitStack) -> None:
        self._out, self._folder, self._stack = out, folder, stack
        self._files: dict[str, IO[bytes] | gzip.GzipFile] = {}
        self.paths: dict[str, Path] = {}

    def write(self, record: Record) -> None:
        """Add a record to the file of its kind."""
        kind = type(record).__name__.lower()
        if kind not in self._files:
            self._open(kind)
        row = record.model_dump(mode="json", exclude_defaults=True)
        self._files[kind].write(json.dumps(row, ensure_ascii=False).encode() + b"\n")

    def _open(self, kind: str) -> None:
        place = Path(self._out, f"{kind}.jsonl") if is_folder(self._out) else Path(self._out)
        refuse_unfit(place)
        file = self._stack.enter_context((self._folder / place.name).open("wb"))
        if place.suffix == ".gz":  # no clock: equal records give equal bytes
            file = self._stack.enter_context(
                gzip.GzipFile(place.name, "wb", fileobj=file, mtime=0)  # type: ignore[arg-type]
            )
        self._files[kind], self.paths[kind] = file, place


@contextmanager
def outputs(out: str) -> Iterator[Outputs]:
    """Take records; their files are in place when the block ends, and if it raises, nothing is
    changed.

    Args:
        out: a file; or a folder, which exists or ends in a slash, for one file of each kind.

    Raises:
        UserError: something there cannot be written.
    """
    if out.endswith((".parquet", ".csv", ".tsv", ".json", ".zst", ".zip", ".bz2", ".xz")):
        raise UserError(
            f"--out {out}: an import writes JSON lines; end the name in .jsonl or .jsonl.gz"
        )
    if not is_folder(out):
        refuse_unfit(Path(out))
    place = Path(os.path.abspath(out))
    making = place.with_name(f"{place.name}.import")
    with explained(Path(out)), _made(place.parent), scratch(making) as folder:
        with ExitStack() as stack:
            found = Outputs(out, folder, stack)
            yield found
        for file in found.paths.values():
            make_folder(file.parent)
            settle(folder / file.name)
        for file in found.paths.values():
            os.replace(folder / file.name, file)
            sync_folder(file.parent)


def is_folder(out: str) -> bool:
    """Whether what is written goes into a folder, a file for each kind."""
    return out.endswith(("/", os.sep)) or Path(out).is_dir()


@contextmanager
def _made(folder: Path) -> Iterator[None]:
    """A folder that is there in the block, and again gone if that raises and nothing was there."""
    missing = [one for one in (folder, *folder.parents) if not one.is_dir()]
    make_folder(folder)
    try:
        yield
    except BaseException:
        with suppress(OSError):  # somebody else has put something there
            for one in missing:
                one.rmdir()
        raise
