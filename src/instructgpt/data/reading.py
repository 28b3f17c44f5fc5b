"""The files a stage was given, as records; what was left out is said on the way."""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal, TypeVar

from instructgpt.data.embedded import (
    demonstrations_path,
    heldout_prose_path,
    prompts_path,
    prose_path,
)
from instructgpt.data.formats import read_documents, read_records
from instructgpt.data.records import Record
from instructgpt.errors import UserError
from instructgpt.run.config import nearest
from instructgpt.run.directory import file_hash
from instructgpt.run.progress import say_skipped

SHIPPED = {
    "prompts": prompts_path,
    "demonstrations": demonstrations_path,
    "prose": prose_path,
    "heldout_prose": heldout_prose_path,
}

R = TypeVar("R", bound=Record)


def load_records(
    paths: Iterable[str],
    kind: type[R],
    *,
    format: str = "auto",
    on_error: Literal["stop", "skip"] = "stop",
) -> list[R]:
    """All records of all files, in order.

    Raises:
        UserError: a file or a line cannot be used (with `on_error="stop"`).
    """
    records: list[R] = []
    for path in paths:
        result = read_records(locate(path), kind, format=format, on_error=on_error)
        records += result.records
        say_skipped(result.skipped)
    return records


def load_documents(paths: Iterable[str]) -> list[str]:
    """All documents of all pretraining files, in order.

    Raises:
        UserError: a file cannot be used.
    """
    return [document for path in paths for document in read_documents(locate(path))]


def data_hashes(paths: Iterable[str]) -> dict[str, str]:
    """SHA-256 of every file that is there, also of those in a folder, for `run.json`."""
    hashes = {}
    for path in paths:
        found = locate(path)
        files = (
            sorted(file for file in found.rglob("*") if file.is_file())
            if found.is_dir()
            else [found]
        )
        for file in files:
            name = path if file == found else f"{path}/{file.relative_to(found)}"
            if file.is_file():
                hashes[name] = file_hash(file)
    return hashes


def locate(path: str) -> Path:
    """A path; `shipped:prompts` and the others of `SHIPPED` are in the package."""
    if not path.startswith("shipped:"):
        return Path(path)
    name = path.removeprefix("shipped:")
    if name not in SHIPPED:
        raise UserError(f"{path}: the package ships {', '.join(SHIPPED)}{nearest(name, SHIPPED)}")
    return SHIPPED[name]()
