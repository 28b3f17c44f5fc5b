"""Weights on the disk: found, whole, finite, and those of the architecture, before and while a
model is made of them.
"""

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME

from instructgpt.errors import UserError
from instructgpt.models.opening import first_line, quiet, read_json

PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
PIECE = 2**22
"""Numbers of a tensor that are looked at together (16 MiB in float32)."""

Shapes = dict[str, list[int]]


def weight_files(path: str | Path, folder: Path) -> list[Path]:
    """The safetensors files that hold a model's weights.

    Raises:
        UserError: there are none, or one that the index names is missing.
    """
    whole, index = folder / SAFE_WEIGHTS_NAME, folder / SAFE_WEIGHTS_INDEX_NAME
    if whole.is_file():
        return [whole]
    if index.is_file():
        places = read_json(index).get("weight_map")
        if not isinstance(places, dict) or not places:
            raise UserError(f"{path}: {index.name} is broken (no weight_map); copy it again")
        files = [folder / name for name in sorted(set(map(str, places.values())))]
        if missing := [file.name for file in files if not file.is_file()]:
            raise UserError(
                f"{path}: {len(missing)} of {len(files)} weight files are missing "
                f"({missing[0]}); copy the model again"
            )
        return files
    if any(file for pattern in PICKLES for file in folder.glob(pattern)):
        raise UserError(
            f"{path}: its weights are a pickle, which may run any code and is not opened; give a "
            f"model with safetensors weights (save_pretrained writes them)"
        )
    raise UserError(
        f"{path}: it has no weights ({SAFE_WEIGHTS_NAME} is missing); give a model with "
        f"safetensors weights"
    )


def read_shapes(path: str | Path, files: list[Path]) -> Shapes:
    """The shape of every tensor, from the files' headers; a file that was cut short is found.

    Raises:
        UserError: a file is damaged or cannot be read.
    """
    shapes: Shapes = {}
    for file in files:
        with _opened(path, file) as tensors:
            for name in tensors.keys():  # noqa: SIM118 - no mapping
                shapes[name] = tensors.get_slice(name).get_shape()
    return shapes


def read_tensor(path: str | Path, files: list[Path], name: str) -> Tensor | None:
    """A tensor of the files by its name, if they have it.

    Raises:
        UserError: it is not finite, or its file is damaged.
    """
    for file in files:
        with _opened(path, file) as tensors:
            if name in tensors.keys():  # noqa: SIM118 - no mapping
                tensor = tensors.get_tensor(name)
                _require_finite(path, name, tensor)
                return tensor
    return None


def architecture(path: str | Path, auto: Any, config: PreTrainedConfig) -> PreTrainedModel:
    """The model that a configuration describes, without numbers.

    Raises:
        UserError: it describes none.
    """
    try:
        with quiet(), torch.random.fork_rng(devices=[]), torch.device("meta"):
            return auto.from_config(config)
    except Exception as error:
        raise UserError(
            f"{path}: config.json makes no model ({first_line(error)}); correct it"
        ) from None


def require_shapes(path: str | Path, model: PreTrainedModel, shapes: Shapes) -> None:
    """Hold the weights' names and shapes against an architecture, as loading them does.

    Raises:
        UserError: they do not belong together.
    """
    empty = {name: torch.empty(shape) for name, shape in shapes.items()}  # memory never touched
    with torch.random.fork_rng(devices=[]):
        assemble(path, type(model), model.config, state_dict=empty)


def assemble(
    path: str | Path,
    auto: Any,
    config: PreTrainedConfig,
    folder: Path | None = None,
    state_dict: dict[str, Tensor] | None = None,
) -> PreTrainedModel:
    """The model that transformers makes of the files in a folder, or of tensors, in float32.

    Raises:
        UserError: the weights are not those of the architecture, or cannot be read.
    """
    try:
        with quiet():
            model, report = auto.from_pretrained(
                folder,
                config=config,
                state_dict=state_dict,
                dtype=torch.float32,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # told below, in words
            )
    except Exception as error:
        raise UserError(
            f"{path}: the weights cannot be read ({first_line(error)}); give a model with "
            f"safetensors weights"
        ) from None
    _require_all(path, model, report)
    return model


def require_finite_files(path: str | Path, files: list[Path], model: PreTrainedModel) -> None:
    """Read the weights once, a piece at a time, and refuse numbers that are not finite.

    Args:
        path: the model, as the user wrote it.
        files: its weight files.
        model: what they are for; what it has no place for is not looked at.
    """
    unused = getattr(model, "_keys_to_ignore_on_load_unexpected", None) or ()
    for file in files:
        for name in read_shapes(path, [file]):
            if any(re.search(pattern, name) for pattern in unused):
                continue
            with _opened(path, file) as tensors:  # anew, or all that was read would stay mapped
                for piece in _pieces(tensors.get_slice(name)):
                    _require_finite(path, name, piece)


def require_finite(path: str | Path, model: PreTrainedModel) -> None:
    """Refuse weights that are not finite.

    Raises:
        UserError: some are not.
    """
    for name, tensor in model.named_parameters():
        _require_finite(path, name, tensor)


def _require_finite(path: str | Path, name: str, tensor: Tensor) -> None:
    if tensor.is_floating_point() and not torch.isfinite(tensor).all():
        raise UserError(
            f"{path}: the weight '{name}' is not finite; the model is damaged, take an earlier one"
        )


def _pieces(tensor: Any) -> Iterator[Tensor]:
    shape = tensor.get_shape()
    if not shape:
        return
    rows = max(1, PIECE // max(1, math.prod(shape[1:])))
    for start in range(0, shape[0], rows):
        yield tensor[start : start + rows]


@contextmanager
def _opened(path: str | Path, file: Path) -> Iterator[Any]:
    try:
        with safe_open(str(file), framework="pt") as tensors:
            yield tensors
    except UserError:
        raise
    except Exception as error:  # safetensors has its own, OSError, and more
        raise UserError(
            f"{path}: the weights cannot be read ({file.name}: {first_line(error)}); copy the "
            f"model again"
        ) from None


def _require_all(path: str | Path, model: PreTrainedModel, report: dict[str, Any]) -> None:
    if wrong := sorted(report["mismatched_keys"]):
        name, found, wanted = wrong[0]
        raise UserError(
            f"{path}: the weight '{name}' is {_size(found)}, but config.json asks for "
            f"{_size(wanted)}; give the configuration and the weights of one model"
        )
    if report["missing_keys"]:
        missing = ", ".join(sorted(report["missing_keys"])[:3])
        raise UserError(
            f"{path}: the weights lack {missing}; the model is damaged or of another kind"
        )
    places = {_without_numbers(name) for name in model.state_dict()}
    for name in sorted(report["unexpected_keys"]):
        if _without_numbers(name) in places:
            raise UserError(
                f"{path}: the weights have '{name}', which config.json does not count; give the "
                f"configuration and the weights of one model"
            )


def _size(shape: Any) -> str:
    return " x ".join(map(str, shape)) or "a number"


def _without_numbers(name: str) -> str:
    return re.sub(r"\d+", "#", name)
