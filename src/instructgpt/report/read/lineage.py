"""Which stage's output went into which: models and data, traced by the inputs in its run.json."""

from collections.abc import Iterable
from os.path import abspath
from pathlib import PurePath
from typing import NamedTuple

from instructgpt.report.read.values import as_texts
from instructgpt.report.read.work import StageRun, Work


class Sources(NamedTuple):
    """What went into one stage: stages by their place in the work, and what is from outside."""

    models: list[int]
    data: list[int]
    outside_models: list[str]
    outside_data: list[str]


def sources(work: Work) -> list[Sources]:
    """For every stage in order, what it was made from."""
    found: list[Sources] = []
    for index, run in enumerate(work.stages):
        models = _split(work, index, [read.path for read in run.inputs if read.is_model])
        data = _split(work, index, [read.path for read in run.inputs if not read.is_model])
        found.append(Sources(models[0], data[0], models[1], data[1]))
    return found


def originals(work: Work) -> list[str]:
    """Short names of the models that a pipeline took from outside, as an evaluation calls them."""
    if not work.is_pipeline:
        return []
    return [PurePath(path).name for found in sources(work) for path in found.outside_models]


def _split(work: Work, index: int, paths: Iterable[str]) -> tuple[list[int], list[str]]:
    """The stages that wrote these paths, and the paths that no other stage wrote."""
    inside: dict[int, None] = {}
    outside: list[str] = []
    for path in paths:
        owners = [i for i, stage in enumerate(work.stages[:index]) if _wrote(stage, path)]
        if owners:
            inside[owners[0]] = None
        else:
            outside.append(path)
    return sorted(inside), list(dict.fromkeys(outside))


def _wrote(run: StageRun, path: str) -> bool:
    """Does the path lie where the stage's directory is, or was when it ran?"""
    homes = [str(run.path), *as_texts(run.config.get("out"))]
    return any(PurePath(_absolute(path)).is_relative_to(_absolute(home)) for home in homes)


def _absolute(path: str) -> str:
    return abspath(path.replace("\0", ""))
