"""Atomic, checksummed checkpoints: `step-N/` is whole or it is not there.

A checkpoint is written to a temporary name, every file is synced and hashed, `manifest.json`
records the hashes, and only then the directory is renamed. Tensors stand in safetensors files, one
per process, in the form of torch's distributed checkpoint (DCP), which any number of processes can
read. No pickle: everything else is JSON.
"""

import errno
import hashlib
import json
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from instructgpt.distributed.world import world
from instructgpt.errors import UserError, one_line
from instructgpt.run import files
from instructgpt.run.disk import (
    explained,
    make_folder,
    put,
    remove_folder,
    scratch,
    settle,
    sweep,
    sync_folder,
)
from instructgpt.training.state import TensorInfo

FORMAT = 2
REMEDY = "give another checkpoint"


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint, its tensors still on the disk.

    Attributes:
        step: the optimizer step after which it was written.
        path: its directory.
        shapes: its tensors, by name.
        state: what was saved beside them, JSON-ready.
        run: whose it is, as `save_checkpoint` was told; empty in those of earlier versions.
    """

    step: int
    path: Path
    shapes: dict[str, TensorInfo]
    state: dict[str, Any]
    run: dict[str, Any]

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
    """The checkpoint is incomplete, was changed after it was written, or is not one of ours.

    The message is one line, whatever stands in the names and keys of its files.
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


def save_checkpoint(
    folder: Path,
    step: int,
    tensors: Mapping[str, Tensor],
    state: Mapping[str, Any],
    *,
    run: Mapping[str, Any] | None = None,
    keep: int,
) -> Path:
    """Write `folder/step-N`; of the others only the newest `keep` stay, and those that these call
    the best so far (`best_checkpoint`): to each of them a resume may go back.

    All processes call this together, each with its shards. `run` says whose checkpoint it is.

    Raises:
        UserError: the disk is full or the folder cannot be written; earlier checkpoints are
            untouched.
    """
    ranks = world()
    final = folder / f"step-{step}"

    def prepare() -> Path:
        make_folder(folder)
        if final.is_dir() and not final.is_symlink() and not _is_ours(final):
            raise UserError(
                f"{final}: not a checkpoint, and in the way of one; move it, and run the same "
                f"command again"
            )
        temporary = begun.enter_context(scratch(final))
        text = json.dumps({"step": step, "run": dict(run or {}), "state": dict(state)}, indent=1)
        _write(temporary / "state.json", text)
        return temporary

    def write_shard(numbers: Sequence[int]) -> list[tuple[str, dict[str, Any]]]:
        """This process's file, and its checksum."""
        name = f"tensors-{numbers[0] + 1:05}-of-{ranks.size:05}.safetensors"
        write_shards(tensors, temporary / name, is_first=ranks.is_first)
        return [(name, _settled(temporary / name))]

    def complete() -> None:
        files = {"state.json": _settled(temporary / "state.json"), **dict(written)}
        _write(temporary / "manifest.json", json.dumps({"format": FORMAT, "files": files}))
        settle(temporary / "manifest.json")
        sync_folder(temporary)
        put(temporary, final)  # what has the name is a damaged one, skipped on resume
        older = [number for number in _own(folder) if number <= step]  # a later one is damaged
        best = {_best_of(folder / f"step-{kept}") for kept in older[-keep:]}
        for old in older[:-keep]:
            if old not in best:
                remove_folder(folder / f"step-{old}")

    try:
        with ExitStack() as begun:  # the first process's
            temporary = ranks.once(prepare)
            written = ranks.map_shares(range(ranks.size), write_shard)
            ranks.once(complete)
    except (OSError, SafetensorError) as error:
        why = partial(_why_not_saved, error, folder, step, tensors)
        raise UserError(ranks.once(why)) from error
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
    ranks = world()
    manifest = ranks.once(lambda: _manifest(path))
    files = list(manifest["files"].items())
    wrong = ranks.map_shares(files, lambda mine: [_is_changed(path / n, d) for n, d in mine])
    if any(wrong):
        name = files[wrong.index(True)][0]
        raise DamagedCheckpointError(
            f"{path / name} does not have the checksum it was written with"
        )
    return ranks.once(lambda: _opened(path))


def _manifest(path: Path) -> dict[str, Any]:
    with _damage_named(path):
        manifest = files.read_json(path / "manifest.json", REMEDY)
        if manifest["format"] != FORMAT:
            raise DamagedCheckpointError(
                f"{path} has format {manifest['format']}, this version reads {FORMAT}"
            )
        missing = [name for name in manifest["files"] if not (path / name).is_file()]
        if missing or "state.json" not in manifest["files"]:
            raise ValueError(f"{missing[0] if missing else 'state.json'} is missing")
        return manifest


class _Identity(BaseModel):
    stage: str
    settings: dict[str, Any]
    inputs: dict[str, list[str | None]]


class _Lines(BaseModel):
    lines: int
    sha256: str


class _Run(BaseModel):
    identity: _Identity | None = None
    streams: dict[str, _Lines] = {}


class _Saved(BaseModel):
    """What `state.json` holds, as far as it is read."""

    step: int
    state: dict[str, Any]
    run: _Run = _Run()


def _opened(path: Path) -> Checkpoint:
    import torch.distributed.checkpoint as dcp

    with _damage_named(path):
        saved = files.read_shaped(path / "state.json", _Saved, REMEDY)
        found = dcp.HuggingFaceStorageReader(str(path)).read_metadata().state_dict_metadata
        shapes = {name: TensorInfo(t.size, t.properties.dtype) for name, t in found.items()}  # type: ignore[union-attr]
        return Checkpoint(saved["step"], path, shapes, saved["state"], saved.get("run", {}))


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    try:
        yield
    except DamagedCheckpointError:
        raise
    except Exception as error:
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
    """Remove the checkpoints after `step`, when a run goes back to it.

    Raises:
        UserError: one cannot be removed.
    """

    def remove() -> None:
        for later in _own(folder):
            if later > step:
                with explained(folder / f"step-{later}"):
                    remove_folder(folder / f"step-{later}")

    world().once(remove)


def newest_whole(folder: Path) -> int | None:
    """The step of the newest checkpoint whose every byte is as it was written."""
    for step in reversed(_steps(folder)):
        path = folder / f"step-{step}"
        with suppress(DamagedCheckpointError):
            files = _manifest(path)["files"]
            if not any(_is_changed(path / name, digest) for name, digest in files.items()):
                return step
    return None


def _best_of(path: Path) -> int | None:
    """The best step so far when a checkpoint was written, as far as that can be read."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        return json.loads((path / "state.json").read_text())["state"]["best_checkpoint"]["step"]
    return None


def forget_finished(folder: Path, *, best: int | None = None) -> None:
    """Remove the checkpoints of a finished run but for the best one; what cannot be removed stays.

    The first process calls this, alone.
    """
    if not folder.is_dir():
        return
    sweep(folder)
    for step in _own(folder):
        if step != best:
            with suppress(OSError):
                remove_folder(folder / f"step-{step}")
    with suppress(OSError):  # something else is in it
        folder.rmdir()


def _steps(folder: Path) -> list[int]:
    """The steps of the folders that have a checkpoint's name; links and copies are nobody's."""
    if not folder.is_dir():
        return []
    names = [p.name for p in folder.iterdir() if p.is_dir() and not p.is_symlink()]
    matches = (re.fullmatch(r"step-(0|[1-9][0-9]*)", name) for name in names)
    return sorted(int(match[1]) for match in matches if match)


def _own(folder: Path) -> list[int]:
    """The steps of those that may be removed."""
    return [step for step in _steps(folder) if _is_ours(folder / f"step-{step}")]


def _is_ours(path: Path) -> bool:
    """Whether a folder with a checkpoint's name is one, be it damaged."""
    return (path / "manifest.json").is_file()


def _digest(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {
            "bytes": path.stat().st_size,
            "sha256": hashlib.file_digest(file, "sha256").hexdigest(),
        }


def _settled(path: Path) -> dict[str, Any]:
    """The checksum of a file that is safely on the disk."""
    settle(path)
    return _digest(path)


def _is_changed(path: Path, digest: dict[str, Any]) -> bool:
    try:
        return _digest(path) != digest
    except OSError:
        return True


def _write(path: Path, text: str) -> None:
    path.write_text(text + "\n", encoding="utf-8")


def _why_not_saved(error: Exception, folder: Path, step: int, tensors: Mapping[str, Tensor]) -> str:
    needed = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    full = getattr(error, "errno", None) == errno.ENOSPC or "No space left" in str(error)
    last = newest_whole(folder)
    kept = f"the checkpoint of step {last} is whole"
    if last is None:
        kept = "none before it is whole" if _own(folder) else "no checkpoint was written yet"
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
