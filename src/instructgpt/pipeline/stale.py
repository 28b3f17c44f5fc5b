"""Before the first stage of a pipeline runs, all that were begun are compared with the command."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from instructgpt.errors import UserError
from instructgpt.run.config import Resolved
from instructgpt.run.inputs import inputs_of
from instructgpt.run.provenance import (
    Continuation,
    has_results,
    kept_rankings,
    read_info,
    read_inputs,
)


def refuse_stale(plan: Sequence[tuple[str, Path, Resolved[Any]]]) -> None:
    """Refuse to go on where a stage would be skipped, or gone on with, that does not fit any more.

    Args:
        plan: name, folder and configuration of every stage, in order.

    Raises:
        UserError: a stage holds another run, its inputs or outputs have changed, or one before it
            is to be made anew.
    """
    infos = {folder: read_info(folder) for _, folder, _ in plan}
    begun = {folder for folder, info in infos.items() if info and has_results(folder, info)}
    made_from = _made_from([(folder, resolved) for _, folder, resolved in plan])
    for name, folder, resolved in plan:
        later = [other for other in made_from if other in begun and folder in made_from[other]]
        if folder in begun:
            inputs = read_inputs(resolved.config)
            Continuation(folder, infos[folder], name, resolved, inputs).refuse_another_run(later)
        if later and infos[folder].get("status") != "done":
            raise UserError(
                f"{folder} is not finished, but {_listed(later)} {_were(later)} made from it; "
                f"restore it, choose another --out, or remove {_listed(later)} to make "
                f"{'them' if len(later) > 1 else 'it'} anew{kept_rankings([folder, *later])}"
            )


def _made_from(plan: Sequence[tuple[Path, Resolved[Any]]]) -> Mapping[Path, set[Path]]:
    """By folder, the folders from which a stage takes something, directly or through others."""
    made_from: dict[Path, set[Path]] = {}
    for folder, resolved in plan:
        paths = [Path(found.path) for found in inputs_of(resolved.config)]
        direct = {f for f in made_from if any(path.is_relative_to(f) for path in paths)}
        made_from[folder] = direct.union(*(made_from[other] for other in direct))
    return made_from


def _listed(folders: Sequence[Path]) -> str:
    *first, last = map(str, folders)
    return f"{', '.join(first)} and {last}" if first else last


def _were(folders: Sequence[Path]) -> str:
    return "were" if len(folders) > 1 else "was"
