"""Atomic, checksummed checkpoints: `step-N/` is whole or it is not there.

A checkpoint is written to a temporary name, every file is synced and hashed, `manifest.json`
records the hashes, and only then the directory is renamed. Tensors stand in safetensors files, one
per process, in the form of torch's distributed checkpoint (DCP), which any number of processes can
read. No pickle: everything else is JSON.
"""

import errno
import hashlib
import json
import os
import re
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from instructgpt.distributed.state import Shape
from instructgpt.distributed.world import world
from instructgpt.errors import UserError

FORMAT = 2


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint, its tensors still on the disk.

    Attributes:
        step: the optimizer step after which it was written.
        path: its directory.
        shapes: its tensors, by name.
        state: what was saved beside them, JSON-ready.
    """

    step: int
    path: Path
    shapes: dict[str, Shape]
    state: dict[str, Any]

    def read(self, places: Mapping[str, Tensor]) -> None:
        """Fill tensors by name, each process the parts of sharded ones that it holds.

        Raises:
            ValueError: a tensor is missing, or has another size.
        """
        import torch.distributed.checkpoint as dcp

        for name, place in places.items():
            if name not in self.shapes:
                raise ValueError(f"{name} is missing")
            if self.shapes[name].size != place.size():
                sizes = f"{list(self.shapes[name].size)} there, {list(place.size())} here"
                raise ValueError(f"{name} has another size: {sizes}")
        with _quiet():
            reader = dcp.HuggingFaceStorageReader(str(self.path))
            dcp.load(dict(places), storage_reader=reader)


class DamagedCheckpointError(Exception):
    """The checkpoint is incomplete, was changed after it was written, or is not one of ours."""


def save_checkpoint(
    folder: Path,
    step: int,
    tensors: Mapping[str, Tensor],
    state: Mapping[str, Any],
    *,
    keep: int,
    best: int | None = None,
) -> Path:
    """Write `folder/step-N`; of the others only the newest `keep` and `best` stay.

    All processes call this together, each with its shards.

    Raises:
        UserError: the disk is full or the folder cannot be written; earlier checkpoints are
            untouched.
    """
    together = world()
    final, temporary = folder / f"step-{step}", folder / f".step-{step}.tmp"

    def prepare() -> None:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(folder)
        temporary.mkdir()
        text = json.dumps({"step": step, "state": dict(state)}, indent=1)
        _write(temporary / "state.json", text)

    def write_shard(numbers: Sequence[int]) -> list[tuple[str, dict[str, Any]]]:
        """This process's file, and its checksum."""
        name = f"tensors-{numbers[0] + 1:05}-of-{together.size:05}.safetensors"
        write_shards(tensors, temporary / name, is_first=together.is_first)
        return [(name, _synced(temporary / name))]

    def complete() -> None:
        files = {"state.json": _synced(temporary / "state.json"), **dict(written)}
        _write(temporary / "manifest.json", json.dumps({"format": FORMAT, "files": files}))
        _sync(temporary / "manifest.json")
        _sync(temporary)
        if final.exists():  # a damaged checkpoint of the same step, which was skipped on resume
            shutil.rmtree(final)
        temporary.rename(final)
        _sync(folder)
        older = [number for number in _steps(folder) if number <= step]  # a later one is damaged
        for old in older[:-keep]:
            if old != best:
                shutil.rmtree(folder / f"step-{old}")

    try:
        together.once(prepare)
        written = together.spread(range(together.size), write_shard)
        together.once(complete)
    except (OSError, SafetensorError) as error:
        if together.is_first:
            shutil.rmtree(temporary, ignore_errors=True)
        raise UserError(_why_not_saved(error, folder, step, tensors)) from error
    return final


def write_shards(tensors: Mapping[str, Tensor], path: Path, *, is_first: bool) -> None:
    """Write what this process holds: its shards, and of whole tensors all, if it is the first.

    The header is that of torch's distributed checkpoint in safetensors, which says where in the
    whole tensor a shard begins. (Its own writer needs the file once more in memory.)
    """
    parts: dict[str, Tensor] = {}
    offsets: dict[str, dict[str, list[int]]] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        if not (part := _part(tensor.detach(), is_first)):
            continue
        local, begins = part
        local = local.cpu().contiguous()
        storage = local.untyped_storage().data_ptr()
        parts[name] = local.clone() if storage in seen else local  # tied: under each name
        seen.add(storage)
        offsets[name] = {"saved_offsets": begins}
    header = {"format": "pt", "DCP_VERSION": "1.0", "DCP_SHARDING_INFO": json.dumps(offsets)}
    save_file(parts, path, metadata=header)


def _part(tensor: Tensor, is_first: bool) -> tuple[Tensor, list[int]] | None:
    """What this process writes of a tensor, and where that begins; None if others write it."""
    if not hasattr(tensor, "device_mesh"):
        return (tensor, [0] * tensor.ndim) if is_first else None
    from torch.distributed.tensor import DTensor
    from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

    assert isinstance(tensor, DTensor)
    coordinate, placements = tensor.device_mesh.get_coordinate(), tensor.placements
    assert coordinate is not None
    _, begins = compute_local_shape_and_global_offset(tensor.shape, tensor.device_mesh, placements)
    local = tensor.to_local()
    is_copy = any(p.is_replicate() and c for p, c in zip(placements, coordinate, strict=True))
    return None if is_copy or not local.numel() else (local, list(begins))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's remark that one process reads alone."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield


def open_checkpoint(path: Path) -> Checkpoint:
    """Check every byte of a checkpoint; all processes together, each some of its files.

    Raises:
        DamagedCheckpointError: it is incomplete, changed, or not ours.
    """
    together = world()
    manifest = together.once(lambda: _manifest(path))
    files = list(manifest["files"].items())
    wrong = together.spread(files, lambda mine: [_is_changed(path / n, d) for n, d in mine])
    if any(wrong):
        name = files[wrong.index(True)][0]
        raise DamagedCheckpointError(
            f"{path / name} does not have the checksum it was written with"
        )
    return together.once(lambda: _opened(path))


def _manifest(path: Path) -> dict[str, Any]:
    with _damage_named(path):
        manifest = json.loads((path / "manifest.json").read_text())
        if manifest["format"] != FORMAT:
            raise DamagedCheckpointError(
                f"{path} has format {manifest['format']}, this version reads {FORMAT}"
            )
        missing = [name for name in manifest["files"] if not (path / name).is_file()]
        if missing or "state.json" not in manifest["files"]:
            raise ValueError(f"{missing[0] if missing else 'state.json'} is missing")
        return manifest


def _opened(path: Path) -> Checkpoint:
    import torch.distributed.checkpoint as dcp

    with _damage_named(path):
        saved = json.loads((path / "state.json").read_text())
        found = dcp.HuggingFaceStorageReader(str(path)).read_metadata().state_dict_metadata
        shapes = {name: Shape(t.size, t.properties.dtype) for name, t in found.items()}  # type: ignore[union-attr]
        return Checkpoint(saved["step"], path, shapes, saved["state"])


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise DamagedCheckpointError(
            f"{path} cannot be read ({type(error).__name__}: {error})"
        ) from error


def latest_checkpoint(folder: Path, *, notice: Callable[[str], None]) -> Checkpoint | None:
    """The newest whole checkpoint; damaged ones passed over are named through `notice`."""
    for step in reversed(world().once(lambda: _steps(folder))):
        try:
            return open_checkpoint(folder / f"step-{step}")
        except DamagedCheckpointError as error:
            notice(f"{error}; going back to the checkpoint before it")
    return None


def forget_after(folder: Path, step: int) -> None:
    """Remove the checkpoints after `step`, when a run goes back to it."""

    def remove() -> None:
        for later in _steps(folder):
            if later > step:
                shutil.rmtree(folder / f"step-{later}")

    world().once(remove)


def _steps(folder: Path) -> list[int]:
    if not folder.is_dir():
        return []
    matches = (re.fullmatch(r"step-(\d+)", path.name) for path in folder.iterdir())
    return sorted(int(match[1]) for match in matches if match)


def _digest(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {
            "bytes": path.stat().st_size,
            "sha256": hashlib.file_digest(file, "sha256").hexdigest(),
        }


def _synced(path: Path) -> dict[str, Any]:
    """The checksum of a file that is safely on the disk."""
    _sync(path)
    return _digest(path)


def _is_changed(path: Path, digest: dict[str, Any]) -> bool:
    try:
        return _digest(path) != digest
    except OSError:
        return True


def _write(path: Path, text: str) -> None:
    path.write_text(text + "\n", encoding="utf-8")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_leftovers(folder: Path) -> None:
    """Half-written checkpoints of runs that were killed while saving."""
    for path in folder.glob(".step-*.tmp*"):
        shutil.rmtree(path)


def _why_not_saved(error: Exception, folder: Path, step: int, tensors: Mapping[str, Tensor]) -> str:
    needed = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    full = getattr(error, "errno", None) == errno.ENOSPC or "No space left" in str(error)
    last = _steps(folder)[-1:]
    kept = f"the checkpoint of step {last[0]} is whole" if last else "no checkpoint was written yet"
    if full:
        return (
            f"{folder}: the disk is full, the checkpoint of step {step} needs {needed / 1e6:.0f} "
            f"MB and {kept}; "
            "free some space and run the same command again"
        )
    return (
        f"{folder}: the checkpoint of step {step} cannot be written ({error}) and {kept}; "
        "make the folder writable"
    )
