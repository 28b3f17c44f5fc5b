"""Configuration files as they stand: YAML that holds a mapping, the presets that ship, and which
word was meant where one is unknown.
"""

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from instructgpt.errors import UserError
from instructgpt.run.files import LARGEST_YAML, parse_yaml, path_exists, read_text


def read_yaml(path: str | Path) -> dict[str, Any]:
    """A YAML file that holds a mapping, or a `UserError` that says what is wrong with it."""
    path = Path(path)
    if not path_exists(path):
        raise UserError(f"{path}: no such file; check the path of the configuration")
    text = read_text(path, "give a YAML file", most=LARGEST_YAML)
    try:
        data = parse_yaml(text)
    except ValueError as error:
        raise UserError(f"{path}{error}; mend the YAML there") from None
    if not isinstance(data, dict) or not data:
        raise UserError(f"{path}: a configuration is 'key: value' lines, this file holds none")
    return data


def preset_names() -> list[str]:
    """The presets that ship with the package."""
    return sorted(path.stem for path in (configs_folder() / "presets").glob("*.yaml"))


def configs_folder() -> Path:
    """`configs/`: inside an installed package, at the root of a checkout."""
    installed = Path(__file__).parents[1] / "configs"
    return installed if installed.is_dir() else Path(__file__).parents[3] / "configs"


def read_preset(name: str) -> dict[str, Any]:
    """A preset's YAML by name, with all its sections."""
    path = configs_folder() / "presets" / f"{name}.yaml"
    if not path_exists(path):
        known = preset_names()
        raise UserError(
            f"there is no preset '{name}'{nearest(name, known)}; the presets are {', '.join(known)}"
        )
    return read_yaml(path)


def nearest(word: str, valid: Iterable[str]) -> str:
    """` (did you mean 'x'?)` for the closest valid word, or the empty string.

    >>> nearest("lr", ["epochs", "learning_rate"])
    " (did you mean 'learning_rate'?)"
    """
    word, known = str(word), [str(name) for name in valid]
    close = difflib.get_close_matches(word, known, n=1)
    close = close or [name for name in known if len(word) > 2 and name.startswith(word)]
    close = close or [name for name in known if len(word) > 1 and _initials(name) == word]
    return f" (did you mean '{close[0]}'?)" if close else ""


def _initials(name: str) -> str:
    return "".join(part[0] for part in name.split("_") if part)
