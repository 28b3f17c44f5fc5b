"""Digests of what a run reads and writes, so that another file under the same name is noticed.

A file has the SHA-256 of its bytes, which `sha256sum` gives too. Above `WHOLE` bytes it is sampled,
and its digest begins with `sampled:`. It covers the file's size and blocks of `BLOCK` bytes: of
safetensors the whole header and up to `PER_TENSOR` blocks of every tensor, so that a change of one
small tensor shows; of any other file `PER_FILE` blocks, evenly spaced from the first to the last
byte. A change that spares size and every block is not seen. A folder has the SHA-256 of the lines
`DIGEST  NAME` of its files, sorted by name.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

WHOLE = 32 * 2**20
BLOCK = 64 * 2**10
PER_TENSOR, PER_FILE = 4, 512

TOKENIZER_FILES = (
    *("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"),
    *("added_tokens.json", "vocab.json", "vocab.txt", "merges.txt", "*.model", "*.tiktoken"),
    *("chat_template.json", "chat_template.jinja", "additional_chat_templates/*.jinja"),
    "generation_config.json",  # where answers end
)
MODEL_FILES = (
    *TOKENIZER_FILES,
    *("*.safetensors", "*.safetensors.index.json"),
    *("adapter_config.json",),
)
"""What of a model's folder decides what it computes; no README, no optimizer state, no hidden file.
"""


class Digest(NamedTuple):
    """Of a file; of a folder together with its files', by name."""

    digest: str
    files: dict[str, str] | None = None

    def to_json(self) -> dict[str, Any]:
        """As `run.json` keeps it."""
        return {"digest": self.digest} | ({} if self.files is None else {"files": self.files})

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Digest":
        """What `to_json` gave."""
        return cls(value["digest"], value.get("files"))


def digest_of(path: Path, patterns: tuple[str, ...] = ("*",)) -> Digest | None:
    """Of a file, or of a folder's files whose names match; None where nothing is."""
    if path.is_file():
        return Digest(file_digest(path))
    if not path.is_dir():
        return None
    files = {name: file_digest(path / name) for name in _names(path, patterns)}
    lines = "".join(f"{digest}  {name}\n" for name, digest in files.items())
    return Digest(hashlib.sha256(lines.encode()).hexdigest(), files)


def hub_digest(name: str) -> Digest | None:
    """`commit:` and the commit of a Hub model's snapshot in the cache; None where there is none."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    with suppress(HFValidationError):
        found = try_to_load_from_cache(name, "config.json")
        if isinstance(found, str):
            return Digest(f"commit:{Path(found).parent.name}")
    return None


def hub_data_digest(name: str) -> Digest | None:
    """The same of a Hub data set; None where there is none."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    with suppress(HFValidationError, LocalEntryNotFoundError):
        found = snapshot_download(name, repo_type="dataset", local_files_only=True)
        return Digest(f"commit:{Path(found).name}")
    return None


def file_digest(path: Path) -> str:
    """SHA-256 of a file in hex; of a large one `sampled:` and that of its size and some blocks."""
    with path.open("rb") as file:
        size = path.stat().st_size
        if size <= WHOLE:
            return hashlib.file_digest(file, "sha256").hexdigest()
        sampled = hashlib.sha256(f"{size}\n".encode())
        parts = _tensors(file, size) if path.suffix == ".safetensors" else None
        for start, end, most in parts or [(0, size, PER_FILE)]:
            for offset in _offsets(start, end, most):
                file.seek(offset)
                sampled.update(file.read(min(BLOCK, end - offset)))
    return f"sampled:{sampled.hexdigest()}"


def _names(folder: Path, patterns: tuple[str, ...]) -> Iterator[str]:
    """Names that match and are neither hidden nor an optimizer's, sorted."""
    paths = [*folder.glob("*"), *folder.glob("*/*.jinja")]
    for name in sorted(path.relative_to(folder).as_posix() for path in paths):
        kept = not name.startswith((".", "optimizer")) and (folder / name).is_file()
        if kept and any(fnmatch(name, pattern) for pattern in patterns):
            yield name


def _tensors(file: BinaryIO, size: int) -> list[tuple[int, int, int]] | None:
    """Begin, end and most blocks of a safetensors file's header and tensors; None if it is none."""
    length = int.from_bytes(file.read(8), "little")
    begin = 8 + length
    if begin > size:
        return None
    try:
        header = json.loads(file.read(length))
        places = sorted(
            tuple(tensor["data_offsets"]) for name, tensor in header.items() if name[:2] != "__"
        )
        parts = [(begin + start, begin + end, PER_TENSOR) for start, end in places]
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return [(0, begin, begin // BLOCK + 1), *parts]


def _offsets(start: int, end: int, most: int) -> Iterator[int]:
    """Where blocks begin: all of them side by side, or `most`, the first and the last included."""
    if end - start <= most * BLOCK:
        yield from range(start, end, BLOCK)
    else:
        for number in range(most):
            yield start + number * (end - BLOCK - start) // (most - 1)
