"""Atomic, checksummed checkpoints: `step-N/` is whole or it is not there.

A checkpoint is written to a temporary name, every file is synced and hashed, `manifest.json`
records the hashes, and only then the directory is renamed. No pickle: tensors are safetensors,
everything else is JSON.
"""

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from instructgpt.errors import UserError

FORMAT = 1


@dataclass(frozen=True)
class Checkpoint:
    """What was saved: tensors by name and a JSON-ready state."""

    step: int
    path: Path
    tensors: dict[str, Tensor]
    state: dict[str, Any]


class DamagedCheckpointError(Exception):
    """The checkpoint is incomplete, was changed after it was written, or is not one of ours."""


def save_checkpoint(
    folder: Path, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any], *, keep: int
) -> Path:
    """Write `folder/step-N` and remove all but the newest `keep`.

    Raises:
        UserError: the disk is full or the folder cannot be written; earlier checkpoints are
            untouched.
    """
    final = folder / f"step-{step}"
    temporary = folder / f".step-{step}.tmp-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(folder)
        temporary.mkdir()
        save_file(_independent(tensors), temporary / "tensors.safetensors")
        _write(temporary / "state.json", json.dumps({"step": step, "state": dict(state)}, indent=1))
        files = {path.name: _digest(path) for path in sorted(temporary.iterdir())}
        _write(temporary / "manifest.json", json.dumps({"format": FORMAT, "files": files}))
        for path in temporary.iterdir():
            _sync(path)
        _sync(temporary)
        if final.exists():  # a damaged checkpoint of the same step, which was skipped on resume
            shutil.rmtree(final)
        temporary.rename(final)
        _sync(folder)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise UserError(_why_not_saved(error, folder, step, tensors)) from error
    older = [number for number in _steps(folder) if number <= step]  # a later one may be damaged
    for old in older[:-keep]:
        shutil.rmtree(folder / f"step-{old}")
    return final


def load_checkpoint(path: Path) -> Checkpoint:
    """Read one checkpoint and check every byte of it.

    Raises:
        DamagedCheckpointError: it is incomplete, changed, or not ours.
    """
    try:
        manifest = json.loads((path / "manifest.json").read_text())
        if manifest["format"] != FORMAT:
            raise DamagedCheckpointError(
                f"{path} has format {manifest['format']}, this version reads {FORMAT}"
            )
        for name, digest in manifest["files"].items():
            if _digest(path / name) != digest:
                raise DamagedCheckpointError(
                    f"{path / name} does not have the checksum it was written with"
                )
        with safe_open(path / "tensors.safetensors", framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        saved = json.loads((path / "state.json").read_text())
        return Checkpoint(saved["step"], path, tensors, saved["state"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise DamagedCheckpointError(
            f"{path} cannot be read ({type(error).__name__}: {error})"
        ) from error


def latest_checkpoint(folder: Path, *, notice: Callable[[str], None]) -> Checkpoint | None:
    """The newest whole checkpoint; damaged ones passed over are named through `notice`."""
    for step in reversed(_steps(folder)):
        try:
            return load_checkpoint(folder / f"step-{step}")
        except DamagedCheckpointError as error:
            notice(f"{error}; going back to the checkpoint before it")
    return None


def forget_after(folder: Path, step: int) -> None:
    """Remove the checkpoints after `step`, when a run goes back to it."""
    for later in _steps(folder):
        if later > step:
            shutil.rmtree(folder / f"step-{later}")


def _steps(folder: Path) -> list[int]:
    if not folder.is_dir():
        return []
    matches = (re.fullmatch(r"step-(\d+)", path.name) for path in folder.iterdir())
    return sorted(int(match[1]) for match in matches if match)


def _independent(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous CPU tensors that share no memory (tied weights stand under each name)."""
    seen: set[int] = set()
    result = {}
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu().contiguous()
        storage = tensor.untyped_storage().data_ptr()
        result[name] = tensor.clone() if storage in seen else tensor
        seen.add(storage)
    return result


def _digest(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {
            "bytes": path.stat().st_size,
            "sha256": hashlib.file_digest(file, "sha256").hexdigest(),
        }


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
    for path in folder.glob(".step-*.tmp-*"):
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
