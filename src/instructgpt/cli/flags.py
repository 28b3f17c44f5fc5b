"""Command-line flags made from a configuration class: one per key."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from cyclopts import Parameter
from pydantic import BaseModel, create_model
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from instructgpt.errors import UserError
from instructgpt.run.config import Config, Resolved, resolve

C = TypeVar("C", bound=Config)


@Parameter(name="*")
@dataclass(frozen=True)
class Layers:
    """What every configurable command takes besides its keys."""

    preset: Annotated[
        list[str] | None,
        Parameter(negative="", help="start from a preset (see configs/presets); may be repeated"),
    ] = None
    print_config: Annotated[
        bool,
        Parameter(
            name="--print-config",
            negative="",
            help="print the configuration with its sources, and stop",
        ),
    ] = False
    dry_run: Annotated[
        bool,
        Parameter(
            name="--dry-run", negative="", help="check the configuration and its files, and stop"
        ),
    ] = False


def flags_of(config: type[Config]) -> type[BaseModel]:
    """A model with the same keys, all optional, whose set fields are the flags that were given."""
    fields: dict[str, Any] = {}
    for key, field in config.model_fields.items():
        kind, text = _kind(field)
        names = sorted({f"--{key}", f"--{key.replace('_', '-')}"}, reverse=True)
        parameter = Parameter(
            name=names,
            help=text,
            negative=None if kind is bool else "",
            consume_multiple=kind == list[str],
            show_default=False,
        )
        fields[key] = (Annotated[kind | None, parameter], None)
    return create_model(f"{config.__name__}Flags", **fields)


def given(flags: BaseModel | None) -> dict[str, Any]:
    """The flags that were given."""
    return {} if flags is None else {key: getattr(flags, key) for key in flags.model_fields_set}


def load(
    cls: type[C],
    stage: str,
    configs: Sequence[Path],
    layers: Layers | None,
    flags: BaseModel | None,
) -> Resolved[C] | None:
    """The configuration of a command, or None when the user only wanted to see or check it."""
    layers = layers or Layers()
    resolved = resolve(
        cls, presets=layers.preset or (), files=configs, flags=given(flags), stage=stage
    )
    if layers.print_config:
        print(resolved.to_yaml(), end="")
        return None
    if layers.dry_run:
        check_files(resolved.config)
        print(
            f"{stage}: the configuration is good and its files are there; it would write to "
            f"{resolved.config.model_dump()['out']}"
        )
        return None
    return resolved


def check_files(config: Config) -> None:
    """Every file that the configuration names is there.

    Raises:
        UserError: one is not.
    """
    from instructgpt.run.inputs import locate

    for key, value in config.model_dump().items():
        for path in value if isinstance(value, tuple | list) else ():
            if isinstance(path, str) and not locate(path).exists():
                raise UserError(f"{key}: {path} is not there; check the path")


def _kind(field: FieldInfo) -> tuple[Any, str]:
    """The type a flag is parsed as, and its help: description, choices, default."""
    annotation, text = field.annotation, field.description or ""
    if get_origin(annotation) in {Union, UnionType}:
        annotation = next(part for part in get_args(annotation) if part is not type(None))
    if get_origin(annotation) is Literal:
        text += f" ({', '.join(map(str, get_args(annotation)))})"
    if field.default is PydanticUndefined:
        text += " [required]"
    elif field.default not in ("", ()):
        default = " ".join(field.default) if isinstance(field.default, tuple) else field.default
        text += f" [{'null' if default is None else default}]"
    if annotation is bool:
        return bool, text
    return (list[str] if get_origin(annotation) is tuple else str), text
