"""A snapshot of a store, as training reads it: a folder of our files, and what is said of them.

The folder stands where a file does: each kind of record is in the file of its name.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel

from instructgpt.data.records import Demonstration, Prompt, Ranking, Rating, Record
from instructgpt.errors import UserError
from instructgpt.run.disk import write_atomically
from instructgpt.run.files import read_json, read_shaped
from instructgpt.run.inputs import MANIFEST

FILES: dict[type[Record], str] = {
    Prompt: "prompts.jsonl",
    Demonstration: "demonstrations.jsonl",
    Ranking: "rankings.jsonl",
    Rating: "ratings.jsonl",
}
STALE = "stale.json"
"""Stands in a snapshot that holds what has since been erased from its store."""
AGAIN = "write it again: instructgpt data snapshot NAME --out FOLDER"


class _Written(BaseModel):
    """A file in a manifest."""

    records: int
    sha256: str


class Manifest(BaseModel):
    """What a manifest says of the files; `digest` is that of the lines `SHA256  NAME`, by name."""

    name: str
    digest: str
    files: dict[str, _Written]


class Reader(NamedTuple):
    """A run that read a snapshot."""

    folder: Path
    keys: list[str]


def file_of(path: Path, kind: type[Record]) -> Path:
    """The file to read where a path is given: of a snapshot's folder that of its kind.

    Raises:
        UserError: the snapshot is stale, has no records of this kind, or its file is not what was
            written.
    """
    folder = path if (path / MANIFEST).is_file() else path.parent
    if (folder / MANIFEST).is_file() and (folder / STALE).exists():
        raise UserError(f"{folder}: this snapshot holds what was erased since; {AGAIN}")
    if folder != path:
        return path
    if kind not in FILES:
        names = ", ".join(FILES.values())
        raise UserError(f"{path}: a snapshot has {names}, and no {kind.__name__.lower()}; give one")
    file, written = path / FILES[kind], read_manifest(path).files.get(FILES[kind])
    if not written or not file.is_file() or sha256_of(file) != written.sha256:
        raise UserError(f"{file}: is not what {MANIFEST} says was written; {AGAIN}")
    if not written.records:
        raise UserError(f"{path}: this snapshot has no {FILES[kind].partition('.')[0]}; {AGAIN}")
    return file


def read_manifest(folder: Path) -> Manifest:
    """What is said of a snapshot's files.

    Raises:
        UserError: it cannot be read.
    """
    return Manifest.model_validate(read_shaped(folder / MANIFEST, Manifest, AGAIN))


def is_snapshot(folder: Path) -> bool:
    """Whether a folder was written as a snapshot; others have manifests, too."""
    try:
        return bool(read_manifest(folder))
    except UserError:
        return False


def write_file(path: Path, rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Write one file of a snapshot; how many records it has, and its digest."""
    count, digest = 0, hashlib.sha256()
    with path.open("wb") as file:
        for row in rows:
            line = json.dumps(row, ensure_ascii=False).encode() + b"\n"
            file.write(line)
            digest.update(line)
            count += 1
    return {"records": count, "sha256": digest.hexdigest()}


def whole_digest(files: Mapping[str, Mapping[str, Any]]) -> str:
    """The SHA-256 of the lines `SHA256  NAME` of all files, by name: no time is in it."""
    lines = (f"{files[name]['sha256']}  {name}\n" for name in sorted(files))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def sha256_of(path: Path) -> str:
    """The SHA-256 of a whole file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def mark_stale(folder: Path, digest: str, at: str) -> list[Path]:
    """Mark a snapshot, if it is still in its folder; its files.

    Args:
        folder: where it was written.
        digest: of the whole; another snapshot in the same folder is left alone.
        at: when its store lost what it holds.
    """
    try:
        manifest = read_manifest(folder)
    except UserError:
        return []
    if manifest.digest != digest:
        return []
    write_atomically(folder / STALE, json.dumps({"stale_since": at}) + "\n")
    return [folder / name for name in sorted(manifest.files)]


def readers_of(files: Iterable[Path], runs: Iterable[Path]) -> Iterator[Reader]:
    """The runs that read one of these files, by its place or by its digest.

    Args:
        files: of snapshots.
        runs: folders that hold run directories, at any depth.
    """
    files = list(files)
    places = {place.resolve() for file in files for place in (file, file.parent)}
    digests = {sha256_of(file) for file in files if file.is_file()}
    for top in runs:
        for path in sorted(top.rglob("run.json")):
            try:
                inputs = read_json(path, "").get("inputs")
            except UserError:
                continue
            named = [one for one in inputs if isinstance(one, dict)] if inputs else []
            keys = {str(one.get("key")) for one in named if _reads(one, places, digests)}
            if keys:
                yield Reader(path.parent, sorted(keys))


def _reads(source: Mapping[str, Any], places: set[Path], digests: set[str]) -> bool:
    own = {source.get("digest"), *(source.get("files") or {}).values()}
    return bool(own & digests) or Path(str(source.get("path"))).resolve() in places
