"""What a stage reads from the disk, declared once, at the configuration's own fields.

`model: Annotated[str, Reads("policy")]`: from this follow what is looked at before the first step,
what `run.json` holds digests of, and what a dry run opens.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

from instructgpt.run.config import Config, Paths

Kind = Literal[
    "prompts",
    "demonstrations",
    "rankings",
    "answers",
    "text",
    "policy",
    "scorer",
    "trunk",
    "judge",
    "tokenizer",
]


@dataclass(frozen=True)
class Reads:
    """What the path or the paths of a field lead to.

    Attributes:
        kind: `prompts`, `demonstrations`, `rankings`, `answers` (to be ranked): files of records;
            `text`: prose; `policy`: a causal language model; `scorer`: a reward model or a critic;
            `trunk`: either; `judge`: a scorer, or the name of one that needs no file; `tokenizer`:
            a model of which the tokenizer alone is read.
        mendable: read only after all that is kept of an unfinished run has been made, so that
            another value on a resume changes nothing already done.
    """

    kind: Kind
    mendable: bool = False


class Input(NamedTuple):
    """One path that a configuration names."""

    key: str
    path: str
    reads: Reads


Policy = Annotated[str, Reads("policy")]
ScorerPath = Annotated[str, Reads("scorer")]
Prompts = Annotated[Paths, Reads("prompts")]
Demonstrations = Annotated[Paths, Reads("demonstrations")]
Rankings = Annotated[Paths, Reads("rankings")]
Answers = Annotated[Paths, Reads("answers")]
Prose = Annotated[Paths, Reads("text")]
Policies = Annotated[Paths, Reads("policy")]


def inputs_of(config: Config) -> Iterator[Input]:
    """Every path that the configuration names, in the order of its fields; empty ones are none."""
    for key, reads in reading_fields(type(config)).items():
        value = getattr(config, key)
        for path in (value,) if isinstance(value, str) else value:
            if path:
                yield Input(key, path, reads)


def reading_fields(cls: type[Config]) -> dict[str, Reads]:
    """The fields of a configuration that name paths to read."""
    found: dict[str, Reads] = {}
    for key, field in cls.model_fields.items():
        for mark in field.metadata:
            if isinstance(mark, Reads):
                found[key] = mark
    return found
