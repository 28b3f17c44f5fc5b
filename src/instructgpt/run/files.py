"""Text, JSON and YAML as anybody may have left them: read, or refused in one sentence.

Every file that is not ours alone comes through here: data, configurations, a model's JSON files,
and what a run keeps beside its results.
"""

import json
import math
import re
import reprlib
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from yaml.composer import ComposerError

from instructgpt.errors import UserError

DEEPEST = 100
"""Levels of lists and objects in each other; no data of ours has ten."""
LARGEST_JSON = 256 * 2**20
"""Bytes of a JSON file: the largest tokenizers take 40 MB."""
LARGEST_YAML = 2**20
"""Bytes of a configuration."""
MOST_VALUES = 100_000
"""Values of a configuration once its aliases are written out."""

LONGEST_SHOWN = 100
"""Characters of a value in a message."""

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = LONGEST_SHOWN
M = TypeVar("M", bound=BaseModel)


def path_exists(path: Path) -> bool:
    """Whether something has this name; false for a name that nothing can have."""
    try:
        return path.exists()
    except (OSError, ValueError):  # over 255 bytes, or with a NUL
        return False


def shortened(value: Any) -> str:
    """A value as Python writes it, cut where it is long."""
    text = _REPR.repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


def read_text(path: Path, remedy: str, *, most: int = LARGEST_JSON) -> str:
    """A UTF-8 text.

    Args:
        path: the file.
        remedy: what the user can do where it cannot be read.
        most: bytes that it may have.

    Raises:
        UserError: it is missing, a folder, too large, not UTF-8, or may not be read.
    """
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except IsADirectoryError:
        raise UserError(f"{path}: is a folder, not a file; {remedy}") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: cannot be read ({reason}); {remedy}") from None
    if len(content) > most:
        raise UserError(f"{path}: has more than {most / 2**20:g} MiB; {remedy}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: not UTF-8 text ({error.reason} at byte {error.start + 1}); {remedy}"
        ) from None


def read_json(path: Path, remedy: str, *, unique: bool = True) -> dict[str, Any]:
    """A JSON file that holds one object.

    Args:
        path: the file.
        remedy: what the user can do where it cannot be read.
        unique: whether a key may not stand in it twice.

    Raises:
        UserError: it cannot be read, or holds anything else.
    """
    text = read_text(path, remedy)
    try:
        content = parse_json(text, unique=unique)
    except ValueError as error:
        why = "it is empty" if not text.strip() else str(error)
        raise UserError(f"{path}: {why}; {remedy}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds no JSON object; {remedy}")
    return content


def read_shaped(path: Path, shape: type[M], remedy: str) -> dict[str, Any]:
    """A JSON file whose fields are of the types that a model of pydantic names, as it stands.

    Args:
        path: the file.
        shape: the fields that are read later on; others may be anything.
        remedy: what the user can do where it cannot be read.

    Raises:
        UserError: it cannot be read, or a field is of another type.
    """
    content = read_json(path, remedy)
    try:
        shape.model_validate(content, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"]))
        reason = first["msg"][:1].lower() + first["msg"][1:]
        raise UserError(f"{path}: '{field}' is not what was written ({reason}); {remedy}") from None
    return content


def status_of(folder: Path) -> str:
    """The status in a folder's `run.json`; empty where none can be read."""
    try:
        return str(read_json(folder / "run.json", "").get("status", ""))
    except UserError:
        return ""


def parse_json(text: str | bytes, *, unique: bool = True) -> Any:
    """A JSON value, not nested too deeply, in which (if `unique`) no object has a key twice.

    Raises:
        ValueError: it is none; the message says why in a few words.
    """
    try:
        text = text if isinstance(text, str) else text.decode("utf-8-sig")
        value = json.loads(text, object_pairs_hook=_each_once if unique else None)
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 text ({error.reason} at byte {error.start + 1})") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} " if error.lineno > 1 else ""
        raise ValueError(f"not valid JSON ({error.msg} at {where}column {error.colno})") from None
    except RecursionError:
        raise ValueError("not valid JSON (nested too deeply)") from None
    except _TwiceError:
        raise
    except ValueError:  # Python reads no integer of more than 4300 digits
        raise ValueError("a number has more digits than can be read") from None
    _measure([value])
    return value


def parse_yaml(text: str) -> Any:
    """A YAML value that is small also where aliases repeat parts of it.

    Raises:
        ValueError: it is none; the message says why in a few words, after ` line N: ` where a line
            is known.
    """
    try:
        value = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or getattr(error, "reason", None)
        raise ValueError(f"{line}: {problem or 'not valid YAML'}") from None
    except RecursionError:
        raise ValueError(": nested too deeply") from None
    except Exception as error:  # PyYAML converts dates, numbers and the like without care
        raise ValueError(f": a value cannot be read ({error})") from None
    try:
        _measure([value], MOST_VALUES)
    except ValueError as error:
        raise ValueError(f": {error}") from None
    return value


def check_text(value: Any, name: str) -> None:
    """Refuse characters that UTF-8 files or databases cannot hold, in any text of a JSON value.

    Raises:
        ValueError: a text holds a NUL or half a surrogate pair; the message begins with the name
            of the innermost field, or with `name` outside any.
    """
    match value:
        case str():
            if found := _UNSTORABLE.search(value):
                kind = "a NUL character" if found[0] == "\0" else "a lone surrogate"
                raise ValueError(f"{name} holds {kind} (U+{ord(found[0]):04X})")
        case list():
            for item in value:
                check_text(item, name)
        case dict():
            for key, item in value.items():
                check_text(key, f"a field name in {name}")
                check_text(item, key)


class _TwiceError(ValueError):
    """A key stands twice in one object: one of its values would be dropped in silence."""

    def __init__(self, key: Any) -> None:
        super().__init__(f"the key {shortened(key)} stands there twice")


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        raise _TwiceError(next(key for key, _ in pairs if key in seen or seen.add(key)))
    return found


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, which by itself takes the last of two equal keys."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if (key.tag, key.value) in seen:
                problem = str(_TwiceError(key.value))
                raise ComposerError(problem=problem, problem_mark=key.start_mark)
            seen.add((key.tag, key.value))
        return node


def _measure(value: Any, most: float = math.inf) -> None:
    """Walk through a value, level by level, as far as it may reach."""
    level, seen = [value], 0
    for _ in range(DEEPEST + 1):
        below: list[Any] = []
        for parent in level:
            for child in parent.values() if isinstance(parent, dict) else parent:
                seen += 1
                if seen > most:
                    raise ValueError(f"it holds more than {most:,} values")
                if isinstance(child, dict | list | tuple | set):
                    below.append(child)
        if not below:
            return
        level = below
    raise ValueError(f"nested too deeply (more than {DEEPEST} levels)")
