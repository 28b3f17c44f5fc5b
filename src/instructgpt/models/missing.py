"""What a path is that is no model, and which model was meant."""

import difflib
import os
import re
from pathlib import Path

from instructgpt.errors import UserError
from instructgpt.run.files import status_of

CONFIG, ADAPTER = "config.json", "adapter_config.json"
SHOWN = 3
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")


def require_found(path: str | Path) -> None:
    """Refuse a path that can only be meant for the disk and holds no model, before any library is
    imported that takes seconds.

    Raises:
        UserError: it is empty, an adapter's, or no model's.
    """
    if not str(path).strip():
        raise UserError("the path of a model is empty; give a model directory or a Hub id")
    if os.path.isfile(Path(path, ADAPTER)):
        raise adapter(path)
    if not is_model(Path(path)) and not may_be_on_hub(path):
        raise no_model(path)


def may_be_on_hub(path: str | Path) -> bool:
    """Whether nothing on the disk has this name, and a model of the Hub could."""
    on_disk = isinstance(path, Path) or os.path.lexists(path)
    return not on_disk and bool(HUB_ID.fullmatch(str(path)))


def adapter(path: str | Path) -> UserError:
    """The error for the directory of an adapter."""
    return UserError(
        f"{path} is a LoRA adapter ({ADAPTER}), not a whole model; merge it into its base model "
        f"(peft's merge_and_unload, then save_pretrained) and give that directory"
    )


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
    status = status_of(run)
    return f"its status is {status}" if status else "run.json says nothing"


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
