"""Command-line flags made from a configuration class: one per key."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from cyclopts import Parameter
from pydantic import BaseModel, create_model
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from instructgpt.cli.groups import READS, RUN, group_of, type_of
from instructgpt.run.config import resolve
from instructgpt.run.progress import show
from instructgpt.run.stages import KINDS

if TYPE_CHECKING:
    from instructgpt.run.directory import Run


Files = Annotated[Path, Parameter(help="YAML files, later ones winning; flags win over all")]


@Parameter(name="*")
@dataclass(frozen=True)
class Showing:
    """What every command that writes a run directory can do instead."""

    print_config: Annotated[
        bool,
        Parameter(
            name="--print-config",
            negative="",
            show_default=False,
            group=RUN,
            help="print the configuration with its sources, and stop",
        ),
    ] = False
    dry_run: Annotated[
        bool,
        Parameter(
            name="--dry-run",
            negative="",
            show_default=False,
            group=RUN,
            help="open and check every input, say what there is to do, write nothing, and stop",
        ),
    ] = False


@Parameter(name="*")
@dataclass(frozen=True)
class Layers(Showing):
    """What every configurable command takes besides its keys."""

    preset: Annotated[
        list[str] | None,
        Parameter(
            negative="",
            group=READS,
            metavar="NAME",
            help="start from a preset (see configs/presets); may be repeated",
        ),
    ] = None


def flags_of(stage: str) -> type[BaseModel]:
    """A model with the keys of a stage, all optional, whose set fields are the flags that were
    given; those that are needed come first.
    """
    config = KINDS[stage].config
    fields: dict[str, Any] = {}
    for key, field in sorted(config.model_fields.items(), key=lambda x: not x[1].is_required()):
        kind, text = _kind(field)
        own = [key, *(alias for alias, name in config.aliases.items() if name == key)]
        names = [f"--{name}" for name in own]
        parameter = Parameter(
            name=names,
            help=text,
            negative=[f"--no_{name}" for name in own] if kind is bool else "",
            group=group_of(key, field),
            metavar=type_of(key, field) or None,
            consume_multiple=kind == list[str],
            show_default=False,
        )
        fields[key] = (Annotated[kind | None, parameter], None)
    return create_model(f"{config.__name__}Flags", **fields)


def given(flags: BaseModel | None) -> dict[str, Any]:
    """The flags that were given."""
    return {} if flags is None else {key: getattr(flags, key) for key in flags.model_fields_set}


def run_stage(
    stage: str, configs: Sequence[Path], layers: Layers | Showing | None, flags: BaseModel | None
) -> "Run | None":
    """Run a stage, unless the user only wanted to see its configuration or to check its inputs.

    Args:
        stage: the stage's name, and its section in files.
        configs: YAML files.
        layers: the presets, and what is only to be shown.
        flags: the flags that were given.
    """
    kind, layers = KINDS[stage], layers or Layers()
    presets = (layers.preset if isinstance(layers, Layers) else None) or ()
    resolved = resolve(kind.config, presets=presets, files=configs, flags=given(flags), stage=stage)
    if layers.print_config:
        show(resolved.to_yaml(), end="")
    elif layers.dry_run:
        from instructgpt.run.outline import of_stage

        found = kind.look(resolved.config)
        show(of_stage(stage, resolved.config.model_dump()["out"], found))
    else:
        return kind.run(resolved, stage)
    return None


def _kind(field: FieldInfo) -> tuple[Any, str]:
    """The type a flag is parsed as, and its help: description, choices, default."""
    annotation, text = field.annotation, field.description or ""
    if get_origin(annotation) in {Union, UnionType}:
        annotation = next(part for part in get_args(annotation) if part is not type(None))
    if get_origin(annotation) is Literal:
        text += f" ({', '.join(map(str, get_args(annotation)))})"
    if field.default is PydanticUndefined:
        pass  # it stands under what is needed
    elif field.default not in ("", ()):
        default = " ".join(field.default) if isinstance(field.default, tuple) else field.default
        text += f" [{'null' if default is None else default}]"
    if annotation is bool:
        return bool, text
    return (list[str] if get_origin(annotation) is tuple else str), text
