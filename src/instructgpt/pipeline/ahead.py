"""All stages of a pipeline are looked at before the first of them begins."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from instructgpt.errors import UserError
from instructgpt.models.outlook import Looked, Outlook
from instructgpt.pipeline.order import Stage
from instructgpt.run.config import Resolved
from instructgpt.run.files import status_of
from instructgpt.run.outline import block, of_stage
from instructgpt.run.progress import silenced
from instructgpt.run.stages import KINDS


class Ahead(NamedTuple):
    """A stage, and what was found; nothing where it has already finished."""

    stage: Stage
    folder: Path
    looked: Looked | None


def look_ahead(
    stages: Sequence[Stage],
    folders: Mapping[str, Path],
    configs: Sequence[Resolved[Any]],
    outlook: Outlook | None = None,
) -> list[Ahead]:
    """Look at all inputs of all stages that have not finished, in order.

    What an earlier stage is yet to write is promised by it: its model reads what the model reads
    that it is made from.

    Args:
        stages: the plan.
        folders: each stage's folder, by its name.
        configs: each stage's configuration.
        outlook: where things are.

    Raises:
        UserError: something cannot be used; the sentence names the stage and the key.
    """
    outlook = outlook or Outlook()
    found: list[Ahead] = []
    for stage, resolved in zip(stages, configs, strict=True):
        folder, looked = folders[stage.name], None
        if not _has_finished(folder):
            try:
                with silenced():  # the stage will say it again in its turn
                    looked = KINDS[stage.kind].look(resolved.config, outlook)
            except UserError as error:
                raise UserError(f"{stage.name}: {error}") from None
            outlook.promise(folder, looked)
        found.append(Ahead(stage, folder, looked))
    return found


def _has_finished(folder: Path) -> bool:
    return status_of(folder) == "done"


def outlined(ahead: Ahead) -> str:
    """A stage's block of a dry run."""
    if ahead.looked is None:
        return block(f"{ahead.stage.name} -> {ahead.folder}", [("status", "finished")])
    return of_stage(ahead.stage.name, ahead.folder, ahead.looked)


def printed(stages: Sequence[Stage], configs: Sequence[Resolved[Any]]) -> str:
    """The configuration with a section per kind of stage, which a pipeline takes back.

    What the pipeline itself gives to a stage stands there as a comment: it does so again.
    """
    sections: dict[str, str] = {}
    for stage, resolved in zip(stages, configs, strict=True):
        if stage.kind in sections or stage.fixed:  # the plain arm's section is that of the other
            continue
        lines = [
            f"  # {line}" if line.endswith("  # pipeline") else f"  {line}"
            for line in resolved.to_yaml().splitlines()
        ]
        sections[stage.kind] = "\n".join([f"{stage.kind}:", *lines, ""])
    return "".join(sections.values())
