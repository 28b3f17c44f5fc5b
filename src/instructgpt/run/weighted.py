"""Paths with weights, where a configuration mixes what several sources hold."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from instructgpt.run.files import path_exists, shortened
from instructgpt.run.given import PREFIX, Given
from instructgpt.run.presets import nearest

KEYS = ("path", "weight")
_SPELLED = re.compile(r"(?P<path>.+):(?P<weight>[^:/\\]+)", re.DOTALL)


class Weighted(str):
    """A path, and how often its source is drawn compared with the others of its list.

    Attributes:
        weight: a number above 0.
    """

    weight: float

    @classmethod
    def of(cls, path: str, weight: Any) -> Self:
        """This path with this weight.

        Raises:
            ValueError: the weight is no number above 0.
        """
        try:
            number = math.nan if isinstance(weight, bool) else float(weight)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not 0 < number < math.inf:
            given = weight if isinstance(weight, str) else shortened(weight)
            raise ValueError(f"the weight of {path} is {given}; give a number above 0")
        made = cls(path)
        made.weight = number
        return made

    @classmethod
    def of_mapping(cls, source: Mapping[Any, Any]) -> Self:
        """What `{path: web.jsonl, weight: 3}` says; without a weight it is 1.

        Raises:
            ValueError: a key is missing or unknown, or a value is none.
        """
        for key in source:
            if key not in KEYS:
                raise ValueError(
                    f"unknown key '{key}' of a source{nearest(key, KEYS)}; give path and weight"
                )
        path = source.get("path")
        if not isinstance(path, str | Path) or not str(path):
            found = f"the path {shortened(path)}" if "path" in source else "no path"
            raise ValueError(
                f"a source has {found}; name a file, a folder or a data set of the Hub"
            )
        return cls.of(str(path), source.get("weight", 1))

    def to_json(self) -> dict[str, Any]:
        """As a configuration has it."""
        return {"path": str(self), "weight": self.weight}


def is_source(value: Any) -> bool:
    """Whether a dictionary in Python names a source, and is no document."""
    return isinstance(value, Mapping) and "text" not in value and bool({*KEYS} & value.keys())


def spelled(text: str) -> str:
    """A path as it is; `web.jsonl:3` as a path with a weight, unless something has this very name.

    Raises:
        ValueError: the weight is not above 0.

    >>> spelled("web.jsonl:0.5"), spelled("web.jsonl:0.5").weight
    ('web.jsonl', 0.5)
    >>> spelled("shipped:prose")
    'shipped:prose'
    """
    found = _SPELLED.fullmatch(text)
    if not found or isinstance(text, Given | Weighted) or text.startswith(PREFIX):
        return text
    try:
        float(found["weight"])
    except ValueError:
        return text
    return text if path_exists(Path(text)) else Weighted.of(found["path"], found["weight"])


def weight_of(path: str) -> float | None:
    """The weight of a path, if it has one."""
    return path.weight if isinstance(path, Weighted) else None


def all_weighted(paths: tuple[str, ...]) -> tuple[str, ...]:
    """A plain list as it is; where one path has a weight, those that have none get 1."""
    if not any(isinstance(path, Weighted) for path in paths):
        return paths
    return tuple(
        path if isinstance(path, Given | Weighted) else Weighted.of(path, 1) for path in paths
    )


def shown(weight: float) -> str:
    """A weight as one would write it.

    >>> shown(3.0), shown(0.25)
    ('3', '0.25')
    """
    return repr(weight).removesuffix(".0")
