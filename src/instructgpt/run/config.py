"""Layered configuration: defaults < presets < YAML files < flags, with the source of every value.

A stage's configuration is a frozen pydantic model with flat keys. A YAML file is either flat (the
keys of one stage) or has one section per stage (`sft:`, `reward:`, `ppo:` …), so that one file can
describe a whole pipeline. In a preset every value is written `{value: 9.65e-6, source: "paper:
C.1"}`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Generic, Literal, NamedTuple, Self, TypeVar, get_args

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import ErrorDetails

from instructgpt.errors import UserError, require_a
from instructgpt.run.files import shortened
from instructgpt.run.presets import nearest, read_preset, read_yaml
from instructgpt.run.stages import SECTIONS


def _known_device(device: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:[0-9]{1,4})?", device):
        raise ValueError(f"there is no device {device!r}; give cpu, cuda, cuda:N or auto")
    return device


Device = Annotated[str, AfterValidator(_known_device)]
"""`cpu`, `cuda`, `cuda:N`, or `auto`."""
LENGTHS = {"max_new_tokens": "response_length", "max_tokens": "response_length"}
"""What other tools call the length of an answer."""
LARGEST = 2**63 - 1
"""Of a whole number: torch and NumPy know none above it."""


class Config(BaseModel):
    """The base of every configuration: unknown keys, numbers that are not finite and truth values
    for numbers are refused, values are frozen.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False
    )
    blank: ClassVar[Mapping[str, Any]] = {}
    """What a whole stage must be given and a trainer alone need not: from Python it may be left
    out, and is this then.
    """
    aliases: ClassVar[Mapping[str, str]] = {}
    """Other names of keys."""

    def __init__(self, **values: Any) -> None:
        cls = type(self)
        given = cls.canonical(values, cls.__name__)
        try:
            super().__init__(**{**cls.blank, **given})
        except ValidationError as error:
            raise UserError(f"{cls.__name__}: {_python_sentence(error, cls)}") from None
        self.__pydantic_fields_set__ -= cls.blank.keys() - given.keys()

    # pydantic validates past it, so that `resolve` can name the source of a bad value.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    @classmethod
    def canonical(cls, values: Mapping[str, Any], place: str) -> dict[str, Any]:
        """The values under their keys' own names.

        Raises:
            UserError: a key is given under two names.
        """
        found: dict[str, Any] = {}
        for name, value in values.items():
            key = cls.aliases.get(name, name)
            if key in found:
                raise UserError(f"{place}: '{name}' and '{key}' are the same key: give one")
            found[key] = value
        return found

    def require_inputs(self) -> None:
        """All that a whole stage reads and writes must be named.

        Raises:
            ValueError: something is not.
        """
        for key in self.blank:
            value = getattr(self, key)
            if not (any(value) if isinstance(value, tuple) else value):
                raise ValueError(f"'{key}' is needed for a whole stage: give it")

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_truth(cls, value: Any, info: ValidationInfo) -> Any:
        """YAML's `yes` and `on` are true, which pydantic would take for a 1."""
        kind = cls.model_fields[str(info.field_name)].annotation
        kinds = {kind, *get_args(kind)}
        if isinstance(value, bool) and kinds & {int, float} and bool not in kinds:
            raise ValueError(f"{str(value).lower()} is no number; give one")
        return value

    @field_validator("*")
    @classmethod
    def _refuse_huge(cls, value: Any) -> Any:
        if isinstance(value, int) and abs(value) > LARGEST:
            raise ValueError(f"{shortened(value)} is too large; give a smaller number")
        return value


class HeldOut(NamedTuple):
    """A figure on held-out data, and whether more of it is better."""

    name: str
    higher_is_better: bool


class StageConfig(Config):
    """The keys that all training stages share."""

    blank: ClassVar = {"model": "", "data": (), "out": ""}

    out: str = Field(description="run directory to write")
    seed: int = Field(0, ge=0, description="the one seed; every random stream derives from it")
    device: Device = Field(
        "auto", description="cpu, cuda, cuda:N, or auto (a GPU where there is one)"
    )
    dtype: Literal["float32", "bfloat16", "auto"] = Field(
        "float32",
        description="precision of the forward pass; master weights and losses stay float32; auto "
        "takes bfloat16 where it is faster, by a probe that run.json keeps",
    )
    threads: int = Field(0, ge=0, description="CPU threads (0: as many as there are cores)")
    template: str = Field(
        "auto",
        description="how a prompt becomes text: auto (as the model was trained; else the "
        "tokenizer's chat template if it has one), chat, plain, or a pattern with {prompt}",
    )
    micro_batch_tokens: int = Field(
        0,
        ge=0,
        description="padded tokens per forward pass (0: 1024 on a CPU; on a GPU what its memory "
        "holds, up to 32768); a hardware setting that changes no result (but dropout's masks)",
    )
    attention: Literal["auto", "sdpa", "eager"] = Field(
        "auto",
        description="attention kernels: auto (on a CPU batched products for short rows and sdpa "
        "for long ones, sdpa on a GPU), sdpa, or eager; a hardware setting",
    )
    adam_beta1: float = Field(0.9, ge=0, lt=1, description="Adam's beta1")
    adam_beta2: float = Field(0.95, ge=0, lt=1, description="Adam's beta2")
    adam_epsilon: float = Field(1e-8, gt=0, description="Adam's epsilon")
    weight_decay: float = Field(0.0, ge=0, description="decoupled weight decay")
    max_grad_norm: float = Field(
        1.0, gt=0, description="gradients are clipped to this norm, per model"
    )
    on_nonfinite: Literal["stop", "skip"] = Field(
        "stop",
        description="a loss or gradient that is NaN or infinite: stop before the optimizer step, "
        "or leave the step out and count it",
    )
    save_every: int = Field(
        50, ge=0, description="optimizer steps between checkpoints (0: only when stopped)"
    )
    save_minutes: float = Field(
        0.0, ge=0, description="minutes between checkpoints, besides save_every (0: no such limit)"
    )
    keep_checkpoints: int = Field(2, ge=1, description="how many of the newest checkpoints stay")
    keep_best: bool = Field(
        False,
        description="save whenever the held-out figure is the best so far, and keep that "
        "checkpoint as well",
    )
    keep_finished: bool = Field(
        False,
        description="leave the checkpoints of a finished run, which else go once its model is "
        "written (but for the one that keep_best asks for)",
    )
    shard_size: int = Field(
        0,
        ge=0,
        description="under torchrun: processes that share one copy of the weights; the others hold "
        "replicas (0: all share one)",
    )
    gather_weights: bool = Field(
        True,
        description="under torchrun: hold whole weights while sampling and scoring; false where "
        "they do not fit",
    )
    cpu_offload: bool = Field(
        False, description="on a GPU: weights, gradients and moments wait in the machine's memory"
    )
    activation_checkpointing: bool = Field(
        False, description="recompute each layer in the backward pass: less memory, a third slower"
    )
    resume: str = Field(
        "auto", description="auto (continue where there is a run), never, or a checkpoint directory"
    )
    on_error: Literal["stop", "skip"] = Field(
        "stop", description="what a bad record or an over-long prompt does: stop, or skip and count"
    )
    report_to: Literal["none", "tensorboard", "wandb"] = Field(
        "none", description="tracker to copy metrics to"
    )

    def held_out(self, stage: str) -> HeldOut | None:  # noqa: ARG002
        """The metric on held-out data that a run goes by which is called `stage`."""
        return None

    @property
    def chooses_best(self) -> bool:
        """Whether the weights of the best step become the model, and not the last ones."""
        return False

    @classmethod
    def load(cls, *files: str | Path, preset: str | Sequence[str] = (), **values: Any) -> Self:
        """A configuration from presets, YAML files and keyword values, later ones winning; of files
        with sections, `SFTConfig` takes `sft:`, and so on.
        """
        presets = [preset] if isinstance(preset, str) else preset
        stage = cls.__name__.removesuffix("Config").lower()
        return resolve(
            cls, presets=presets, files=files, flags=values, stage=stage, whole=False
        ).config


RUNTIME_KEYS = frozenset(
    {
        *("out", "resume", "save_every", "save_minutes"),
        *("keep_checkpoints", "keep_best", "keep_finished"),
        *("shard_size", "gather_weights", "cpu_offload", "activation_checkpointing"),
        *("report_to", "threads", "port"),
    }
)
"""Keys that may differ when a run is continued, because none of them decides a result. (The number
of threads does, by rounding: it is checked against `run.json` apart.)
"""

ROUNDING_KEYS = frozenset({"micro_batch_tokens", "rollout_slots"})
"""Keys that decide how much memory a step takes, and results only by rounding (and the masks of
dropout): a run that died of too little memory may go on with other values.
"""

C = TypeVar("C", bound=Config)


@dataclass(frozen=True)
class Resolved(Generic[C]):
    """A configuration together with where each value came from."""

    config: C
    sources: dict[str, str]

    @classmethod
    def of(cls, config: Any, kind: type[C] | None = None) -> "Resolved[C]":
        """A configuration made in Python (or a dictionary of its keys): what was set there, and the
        defaults; one that is resolved stays as it is.

        Raises:
            UserError: it does not name all that a whole stage needs.
        """
        if isinstance(config, Resolved):
            return config
        config = made(kind or type(config), config, "the stage's configuration")
        try:
            config.require_inputs()
        except ValueError as error:
            raise UserError(f"{type(config).__name__}: {error}") from None
        given = config.model_fields_set
        return cls(
            config,
            {key: "Python" if key in given else "default" for key in type(config).model_fields},
        )

    def to_yaml(self) -> str:
        """YAML that any command takes back, each value followed by its source as a comment."""
        values = self.config.model_dump(mode="json")
        return "".join(f"{key}: {_flow(values[key])}  # {self.sources[key]}\n" for key in values)


def made(cls: type[C], config: C | Mapping[str, Any], what: str) -> C:
    """A configuration as it is, or from a dictionary of its keys.

    Raises:
        UserError: it is neither, or a key or value is wrong.
    """
    return cls(**config) if isinstance(config, Mapping) else require_a(cls, config, what)


def resolve(
    cls: type[C],
    *,
    presets: Iterable[str] = (),
    files: Iterable[str | Path] = (),
    flags: Mapping[str, Any] | None = None,
    stage: str = "",
    wired: Mapping[str, Any] | None = None,
    whole: bool = True,
) -> Resolved[C]:
    """Merge the layers into one `cls`.

    Args:
        cls: the configuration class.
        presets: presets by name.
        files: YAML files.
        flags: values from the command line; None is not given.
        stage: the section to take from sectioned files.
        wired: what earlier stages of a pipeline provide, the lowest layer.
        whole: whether all that a whole stage needs must be there.

    Raises:
        UserError: an unknown key or a wrong type, naming the file or flag, the key and the nearest
            valid key.
    """
    pipeline = {key: (value, "pipeline") for key, value in (wired or {}).items()}
    layers: list[tuple[str, dict[str, tuple[Any, str]]]] = [("the pipeline", pipeline)]
    fields, in_pipeline = cls.model_fields, wired is not None
    layers += [
        (f"preset {name}", _read_preset(name, stage, fields, in_pipeline)) for name in presets
    ]
    for file in files:
        values = _section(read_yaml(file), stage, str(file), fields, in_pipeline)
        layers.append((str(file), {key: (value, str(file)) for key, value in values.items()}))
    prefix = f"--{stage}." if in_pipeline else "--"
    given = {
        key: (_scalar(value), f"{prefix}{key}")
        for key, value in (flags or {}).items()
        if value is not None
    }
    layers.append(("the command line", given))

    merged: dict[str, Any] = {}
    sources = dict.fromkeys(cls.model_fields, "default")
    for place, layer in layers:
        for key, (value, source) in cls.canonical(layer, place).items():
            if key not in cls.model_fields:
                raise UserError(f"{place}: unknown key '{key}'{nearest(key, cls.model_fields)}")
            merged[key], sources[key] = value, source
    try:
        in_files = {key for key in merged if not sources[key].startswith("--")}
        given = merged if whole else {**cls.blank, **merged}
        config = cls.model_validate(given, context=in_files)
        if whole:
            config.require_inputs()
        return Resolved(config, sources)
    except ValidationError as error:
        raise UserError(_sentence(error.errors()[0], sources, stage)) from None
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"{stage} {error}".strip()) from None


def _read_preset(
    name: str, stage: str, fields: Iterable[str], in_pipeline: bool
) -> dict[str, tuple[Any, str]]:
    values = _section(read_preset(name), stage, f"preset {name}", fields, in_pipeline)
    layer: dict[str, tuple[Any, str]] = {}
    for key, value in values.items():
        if isinstance(value, dict) and set(value) == {"value", "source"}:
            layer[key] = (value["value"], f"preset {name} ({value['source']})")
        else:
            layer[key] = (value, f"preset {name}")
    return layer


def _section(
    data: dict[str, Any], stage: str, place: str, fields: Iterable[str], in_pipeline: bool
) -> dict[str, Any]:
    """What a file says of this stage: its section over `common:`, or a flat file whole."""
    data = {key: {} if key in SECTIONS and data[key] is None else data[key] for key in data}
    sections = {key for key in data if key in {*SECTIONS, "common"} and isinstance(data[key], dict)}
    if not sections:
        return data
    strangers = [key for key in data if key not in sections]
    if strangers:
        raise UserError(
            f"{place}: unknown key '{strangers[0]}' beside the sections "
            f"{', '.join(sorted(sections))}"
            f"{nearest(strangers[0], SECTIONS)}"
        )
    if stage not in sections and not in_pipeline:
        raise UserError(f"{place}: has no section '{stage}:', only {', '.join(sorted(sections))}")
    common = {key: value for key, value in data.get("common", {}).items() if key in fields}
    return common | data.get(stage, {})


def _flow(value: Any) -> str:
    """A value as YAML on one line; in plain letters unless PyYAML would misread them (U+0085)."""
    texts = (
        yaml.safe_dump(value, default_flow_style=True, width=1_000_000, allow_unicode=unicode)
        for unicode in (True, False)
    )
    text = next(text for text in texts if yaml.safe_load(text) == value)
    return text.removesuffix("...\n").strip("\n")


def _python_sentence(error: ValidationError, cls: type[Config]) -> str:
    """pydantic's first complaint about keyword arguments, as one sentence."""
    first = error.errors()[0]
    if first["type"] == "extra_forbidden":
        key = str(first["loc"][0])
        return f"unknown key '{key}'{nearest(key, cls.model_fields)}"
    if first["type"] == "missing":
        key = str(first["loc"][0])
        return f"'{key}' is needed: give it"
    return _sentence(first, {}, "")


def _scalar(value: Any) -> Any:
    """A flag's `null` is YAML's; every other text is left to the field's type."""
    return None if value == "null" else value


def _sentence(error: ErrorDetails, sources: Mapping[str, str], stage: str) -> str:
    """pydantic's first complaint as one sentence that names the place, the key and the remedy."""
    key = str(error["loc"][0]) if error["loc"] else ""
    what = f"{stage} " if stage else ""
    if error["type"] == "missing":
        return f"{what}needs '{key}': give --{key} or put '{key}:' into a YAML file"
    source = sources.get(key, "")
    place = f"{source}: " if source and not source.startswith(("--", "default")) else ""
    reason = error["msg"].removeprefix("Value error, ")
    reason = reason[0].lower() + reason[1:]
    given = (
        ""
        if not key or error["type"] == "value_error"
        else f" (given: {shortened(error['input'])})"
    )
    label = f"{source}: " if source.startswith("--") else f"{key}: " if key else ""
    return f"{place}{label}{reason}{given}"
