"""What a stage reads from the disk, declared once, at the configuration's own fields.

`model: Annotated[str, Reads("policy")]`: from this follow what is looked at before the first step,
what `run.json` holds digests of, and what a dry run opens.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from instructgpt.errors import UserError
from instructgpt.run.config import Config
from instructgpt.run.digest import (
    MODEL_FILES,
    TOKENIZER_FILES,
    Digest,
    digest_of,
    hub_data_digest,
    hub_digest,
)
from instructgpt.run.files import path_exists
from instructgpt.run.given import Given, refuse_forgotten
from instructgpt.run.paths import Paths, WeightedPaths
from instructgpt.run.plugin import module_file
from instructgpt.run.presets import nearest
from instructgpt.run.weighted import Weighted, weight_of

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
    "verdict",
    "tokenizer",
    "reward",
]


@dataclass(frozen=True)
class Reads:
    """What the path or the paths of a field lead to.

    Attributes:
        kind: `prompts`, `demonstrations`, `rankings`, `answers` (to be ranked): files of records;
            `text`: prose; `policy`: a causal language model; `scorer`: a reward model or a critic;
            `trunk`: either; `judge`: a scorer, or the name of one that needs no file; `verdict`: a
            model that says yes or no of a text, or an http address; `tokenizer`: a model of which
            the tokenizer alone is read; `reward`: `module:function`.
    """

    kind: Kind


@dataclass(frozen=True)
class Mendable:
    """Marks a field that decides nothing of a run before its first `validation`, or its `end`.

    An unfinished run that has not come so far goes on with another value. `later`: so does one that
    has finished; it is opened again, and does what the value asks for.
    """

    until: Literal["validation", "end", "later"]


class Input(NamedTuple):
    """One path that a configuration names; with a weight, where it is one of a mix."""

    key: str
    path: str
    reads: Reads
    weight: float | None = None


MODELS = frozenset({"policy", "scorer", "trunk", "judge", "verdict", "tokenizer"})
"""The kinds that lead to a model; the others lead to files of data."""
MANIFEST = "manifest.json"
"""What makes a folder of files of records a snapshot; each kind has a file of its name."""
NAMED_JUDGES = frozenset({"simulated", "rule"})
SHIPPED = {
    "prompts": "prompts.jsonl",
    "demonstrations": "demonstrations.jsonl",
    "prose": "prose.txt",
    "heldout_prose": "heldout_prose.txt",
}
"""The data in the package, by name."""

Policy = Annotated[str, Reads("policy")]
ScorerPath = Annotated[str, Reads("scorer")]
Prompts = Annotated[Paths, Reads("prompts")]
Demonstrations = Annotated[Paths, Reads("demonstrations")]
Rankings = Annotated[Paths, Reads("rankings")]
Answers = Annotated[Paths, Reads("answers")]
Prose = Annotated[Paths, Reads("text")]
ProseMix = Annotated[WeightedPaths, Reads("text")]
PluggedRewardName = Annotated[str, Reads("reward")]
Policies = Annotated[Paths, Reads("policy")]


def inputs_of(config: Config) -> Iterator[Input]:
    """Every path that the configuration names, in the order of its fields; empty ones are none."""
    for key, reads in reading_fields(type(config)).items():
        value = getattr(config, key)
        for path in (value,) if isinstance(value, str) else value:
            if path:
                yield Input(key, path, reads, weight_of(path))


def reading_fields(cls: type[Config]) -> dict[str, Reads]:
    """The fields of a configuration that name paths to read."""
    return _marked(cls, Reads)


def mendable_fields(cls: type[Config]) -> dict[str, Mendable]:
    """The fields of a configuration that decide nothing before a validation or the end."""
    return _marked(cls, Mendable)


def locate(path: str) -> Path:
    """A path; `shipped:prompts` and the others of `SHIPPED` are in the package."""
    if not path.startswith("shipped:"):
        refuse_forgotten(path)
        return Path(path)
    name = path.removeprefix("shipped:")
    if name not in SHIPPED:
        raise UserError(f"{path}: the package ships {', '.join(SHIPPED)}{nearest(name, SHIPPED)}")
    return Path(__file__).parents[1] / "data" / "embedded" / SHIPPED[name]


def digest_input(found: Input) -> Digest | None:
    """The digest of a file, of what of a model's folder decides, or of a Hub model's commit; None
    for a name that needs no file, and where nothing is.

    Raises:
        UserError: it cannot be read.
    """
    if isinstance(found.path, Given):
        return Digest(found.path.digest)
    path = locate(found.path)
    try:
        return _digest(found, path)
    except OSError as error:
        raise UserError(
            f"{error.filename or path} cannot be read ({error.strerror}); make it readable"
        ) from None


def _digest(found: Input, path: Path) -> Digest | None:
    if found.reads.kind == "reward":
        file = module_file(found.path)
        return digest_of(file) if file else None
    if isinstance(found.path, Weighted) and not path_exists(path):
        return hub_data_digest(found.path)
    if found.reads.kind not in MODELS:
        is_snapshot = (path / MANIFEST).is_file()
        return digest_of(path, (f"{found.reads.kind}.jsonl",) if is_snapshot else ("*",))
    if found.reads.kind == "judge" and found.path in NAMED_JUDGES:
        return None
    if found.reads.kind == "verdict" and found.path.startswith(("http://", "https://")):
        return None
    if not path.exists():
        return hub_digest(found.path)
    return digest_of(path, TOKENIZER_FILES if found.reads.kind == "tokenizer" else MODEL_FILES)


def _marked(cls: type[Config], kind: type[Any]) -> dict[str, Any]:
    return {
        key: mark
        for key, field in cls.model_fields.items()
        for mark in field.metadata
        if isinstance(mark, kind)
    }
