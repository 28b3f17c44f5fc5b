"""The types of fields that name files: several paths, records from Python, sources with weights."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    PlainSerializer,
    ValidationInfo,
    WrapValidator,
)

from instructgpt.run.given import Given, is_record, parted
from instructgpt.run.weighted import Weighted, all_weighted, is_source, spelled


def _one_or_many(value: Any, info: ValidationInfo) -> Any:
    if isinstance(value, str | Path):
        return (value,) if str(value) else ()
    if info.field_name in (info.context or ()):  # of a YAML file, which names files alone
        return value
    values = [value] if is_record(value) else value
    return tuple(parted(values)) if isinstance(values, list | tuple) else value


def _given_or_path(value: Any, check: Callable[[Any], str]) -> str:
    return value if isinstance(value, Given) else check(value)


def _weighted_or_path(value: Any, check: Callable[[Any], str]) -> str:
    return value if isinstance(value, Weighted) else spelled(_given_or_path(value, check))


def _sources(value: Any, info: ValidationInfo) -> Any:
    """A dictionary of a YAML file names a source; one from Python does unless it is a document."""
    in_a_file = info.field_name in (info.context or ())

    def source(item: Any) -> Any:
        is_one = isinstance(item, Mapping) if in_a_file else is_source(item)
        return Weighted.of_mapping(item) if is_one else item

    values = [value] if isinstance(value, Mapping) else value
    if isinstance(values, list | tuple):
        values = [source(item) for item in values]
    return _one_or_many(values, info)


def _written(path: str) -> Any:
    return path.to_json() if isinstance(path, Weighted) else path


Paths = Annotated[
    tuple[Annotated[str, WrapValidator(_given_or_path)], ...], BeforeValidator(_one_or_many)
]
"""One path or several; a single string is taken as a list of one. From Python, records and
dictionaries may stand where files do.
"""
WeightedPaths = Annotated[
    tuple[Annotated[str, WrapValidator(_weighted_or_path), PlainSerializer(_written)], ...],
    BeforeValidator(_sources),
    AfterValidator(all_weighted),
]
"""The same, and they may be `Weighted`: `{path: web.jsonl, weight: 3}`, or `web.jsonl:3`. Where one
is, the others have weight 1.
"""
