"""Records that Python code gives where a configuration names files."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from instructgpt.errors import UserError

PREFIX = "python:"


class Given(str):
    """Stands for some records among paths: `python:` and the beginning of their digest, so that
    `config.yaml` and `run.json` say which they were, and a resume knows them again.

    Attributes:
        rows: the records, and dictionaries like the lines of a file.
        digest: the SHA-256 of them as JSON lines with sorted keys.
    """

    rows: tuple[Any, ...]
    digest: str

    @classmethod
    def of(cls, rows: Sequence[Any]) -> "Given":
        """These records.

        Raises:
            ValueError: a dictionary holds what JSON cannot.
        """
        sha = hashlib.sha256()
        for number, row in enumerate(rows, 1):
            try:
                sha.update(json.dumps(_plain(row), sort_keys=True).encode() + b"\n")
            except (TypeError, ValueError) as error:
                raise ValueError(f"record {number} is not JSON ({error}); mend it") from None
        given = cls(f"{PREFIX}{sha.hexdigest()[:16]}")
        given.rows, given.digest = tuple(rows), sha.hexdigest()
        return given


def parted(values: Sequence[Any]) -> Iterator[Any]:
    """Paths as they are, and records that stand side by side as one `Given`."""
    for is_row, items in groupby(values, is_record):
        if is_row:
            yield Given.of(list(items))
        else:
            yield from items


def is_record(value: Any) -> bool:
    """Whether this is a record or a dictionary."""
    return isinstance(value, Mapping | BaseModel)


def refuse_forgotten(path: str) -> None:
    """A command cannot read what Python code gave.

    Raises:
        UserError: the path stands for records that are not here.
    """
    if path.startswith(PREFIX) and not isinstance(path, Given) and not Path(path).exists():
        raise UserError(
            f"{path} stands for records that were given in Python; give the same records there, "
            "or write them to a file"
        )


def _plain(value: Any) -> Any:
    """A record as JSON has it; what stands at its default says nothing."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_defaults=True)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
