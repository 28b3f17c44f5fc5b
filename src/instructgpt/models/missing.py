"""What a path is that is no model, and which model was meant."""

import difflib
import json
import os
from contextlib import suppress
from pathlib import Path

from instructgpt.errors import UserError

CONFIG = "config.json"
SHOWN = 3


def no_model(path: str | Path, reason: str = "") -> UserError:
    """The error for a path without a model's `config.json`: what is there, and what to give.

    Args:
        path: as the user wrote it.
        reason: why it is no model of the Hub either.
    """
    place = Path(path)
    try:
        return UserError(f"{path}: no model there{_what(place, reason)}")
    except (OSError, ValueError) as error:
        return UserError(
            f"{path}: no model there (it cannot be read: {error}); give a model directory"
        )


def _what(place: Path, reason: str) -> str:
    if place.is_dir():
        return _folder(place)
    if place.is_file():
        return f", {_file(place)}"
    if place.exists():
        return ", it is neither a folder nor a file; give a model directory or a Hub id"
    return _nothing(place, reason)


def _file(place: Path) -> str:
    """What a file is, and the folder that was meant."""
    if is_model(place.parent):
        return f"it is a file of a model; give its folder: {place.parent}"
    if place.suffix == ".gguf":
        return (
            "it is a GGUF file, made for running and not for training; give the model's "
            "Hugging Face directory, with safetensors weights"
        )
    return f"it is a file; give a model directory, with {CONFIG} and safetensors weights"


def _folder(place: Path) -> str:
    inside = models_in(place)
    if len(inside) == 1:
        return f" ({CONFIG} is missing); did you mean {inside[0]}?"
    if inside:
        shown = ", ".join(map(str, inside[:SHOWN])) + (", …" if len(inside) > SHOWN else "")
        return f", it holds several; give one of them: {shown}"
    if place.parent.name == "checkpoints":
        return f", it is a checkpoint: the state of training at a step; {_of_run(place.parents[1])}"
    if (place / "run.json").is_file():
        return f", it is a run that has not written one ({_status(place)}); finish the run first"
    if any(place.glob("*.gguf")):
        return (
            ", it holds a GGUF file, made for running and not for training; give the model's "
            "Hugging Face directory, with safetensors weights"
        )
    return f" ({CONFIG} is missing); give a model directory or a Hub id"


def _of_run(run: Path) -> str:
    """What to give instead of a run's checkpoint."""
    if inside := models_in(run):
        return f"give the run's model: {inside[0]}"
    return f"finish the run {run} with --resume auto and give its model"


def _status(run: Path) -> str:
    with suppress(OSError, ValueError, AttributeError):
        return f"its status is {json.loads((run / 'run.json').read_bytes())['status']}"
    return "run.json says nothing"


def _nothing(place: Path, reason: str) -> str:
    """Nothing has that name: the closest one that has a model in it."""
    if (close := _closest(place)) and (inside := models_in(close)):
        return f"; did you mean {inside[0]}?"
    for run in place.parents:
        if (run / "run.json").is_file():
            return f": the run {run} has not written it ({_status(run)}); finish the run first"
    if str(place).startswith("~") and is_model(place.expanduser()):
        return f"; did you mean {place.expanduser()}?"
    return f" ({reason or 'no such folder'}); give a model directory or a Hub id"


def _closest(place: Path) -> Path | None:
    """The path with each part that does not exist replaced by the folder of closest spelling."""
    found = Path(place.anchor)
    for part in place.relative_to(place.anchor).parts:
        step = found / part
        if not step.exists():
            siblings = [other.name for other in found.iterdir() if other.is_dir()]
            close = difflib.get_close_matches(part, siblings, n=1)
            if not close:
                return None
            step = found / close[0]
        found = step
    return found


def models_in(place: Path) -> list[Path]:
    """The model that a folder is, or the models in it and in the runs that it holds, in order."""
    if is_model(place):
        return [place]
    configs = [place / "model" / CONFIG]
    if not configs[0].is_file():
        configs = sorted([*place.glob(f"*/{CONFIG}"), *place.glob(f"*/model/{CONFIG}")])
    return [config.parent for config in configs if config.is_file()]


def is_model(place: Path) -> bool:
    """Whether a folder has a model's configuration."""
    return os.path.isfile(place / CONFIG)  # false for a name that none can have
