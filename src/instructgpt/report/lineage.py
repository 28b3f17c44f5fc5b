"""Which stage's output went into which: models and data, traced by the inputs in its run.json."""

from collections.abc import Iterable
from os.path import abspath
from pathlib import Path, PurePath
from typing import NamedTuple

from instructgpt.report.drawing import short
from instructgpt.report.load import Stage, Work, as_texts
from instructgpt.report.story import color
from instructgpt.report.tables import Table
from instructgpt.report.words import clip

ROW, PITCH = 34, 18
CAPTION = "What each stage started from, by the paths in its run.json; digests are under Inputs."


class Sources(NamedTuple):
    """What went into one stage: stages by their place in the work, and what is from outside."""

    models: list[int]
    data: list[int]
    outside_models: list[str]
    outside_data: list[str]


class Track(NamedTuple):
    """One output in the drawing: a line down a lane, from its stage to all that take it."""

    source: int
    takers: list[int]
    lane: int
    is_data: bool


class Node(NamedTuple):
    """A stage in the drawing."""

    name: str
    color: str
    y: int


class Rail(NamedTuple):
    """A track in the drawing, with a dot at the height of every taker."""

    x: int
    top: int
    bottom: int
    color: str
    is_data: bool
    dots: list[int]


class Tap(NamedTuple):
    """The line from the lanes into a stage."""

    left: int
    y: int


class Picture(NamedTuple):
    """The whole drawing, in the units of its view box."""

    width: int
    height: int
    nodes_at: int
    nodes: list[Node]
    lines: list[Rail]
    taps: list[Tap]


def sources(work: Work) -> list[Sources]:
    """For every stage in order, what it was made from."""
    found: list[Sources] = []
    for index, stage in enumerate(work.stages):
        inputs = stage.run.inputs if stage.run else []
        models = _split(work, index, [read.path for read in inputs if read.is_model])
        data = _split(work, index, [read.path for read in inputs if not read.is_model])
        found.append(Sources(models[0], data[0], models[1], data[1]))
    return found


def lineage_table(work: Work) -> Table | None:
    """One line a stage: models and data that it took."""
    rows: list[tuple[str, ...]] = []
    for stage, source in zip(work.stages, sources(work), strict=True):
        names = [[work.stages[i].name for i in inner] for inner in (source.models, source.data)]
        models = [*names[0], *map(_short_path, source.outside_models)]
        data = [*names[1], *(_short_path(path) for path in source.outside_data)]
        if models or data:
            rows.append((stage.name, ", ".join(models), ", ".join(data)))
    head = ("stage", "model from", "data from")
    return Table("What was made from what", head, rows, note=CAPTION) if rows else None


def originals(work: Work) -> list[str]:
    """Short names of the models that a pipeline took from outside, as an evaluation calls them."""
    if not work.is_pipeline:
        return []
    return [PurePath(path).name for found in sources(work) for path in found.outside_models]


def tracks(found: Iterable[Sources]) -> list[Track]:
    """Lanes for the drawing: short lines get the lane next to the stages, none overlap."""
    listed = list(found)
    spans: list[tuple[int, list[int], bool]] = []
    for index in range(len(listed)):
        models = [i for i, source in enumerate(listed) if index in source.models]
        data = [i for i, source in enumerate(listed) if index in source.data]
        if models or data:
            spans.append((index, sorted({*models, *data}), not models))
    spans.sort(key=lambda span: (span[1][-1] - span[0], span[0]))
    drawn: list[Track] = []
    for source, takers, is_data in spans:
        taken = {t.lane for t in drawn if t.source < takers[-1] and source < t.takers[-1]}
        lane = next(lane for lane in range(len(spans)) if lane not in taken)
        drawn.append(Track(source, takers, lane, is_data))
    return sorted(drawn)


def picture(work: Work) -> Picture | None:
    """Where everything stands in the drawing; None where no stage took from another."""
    found = sources(work)
    lanes = tracks(found)
    if not lanes:
        return None
    nodes_at = 20 + PITCH * (1 + max(track.lane for track in lanes))
    lane_x = {track.source: nodes_at - 20 - PITCH * track.lane for track in lanes}
    taken = [sorted({*source.models, *source.data}) for source in found]
    return Picture(
        nodes_at + 150,
        ROW * len(found),
        nodes_at,
        [
            Node(short(stage.name, 17), color(stage.kind), ROW * i + ROW // 2)
            for i, stage in enumerate(work.stages)
        ],
        [
            Rail(
                lane_x[track.source],
                ROW * track.source + ROW // 2 + 5,
                _entry(track.takers[-1]),
                color(work.stages[track.source].kind),
                track.is_data,
                [_entry(taker) for taker in track.takers],
            )
            for track in lanes
        ],
        [
            Tap(min(lane_x[i] for i in inner), _entry(taker))
            for taker, inner in enumerate(taken)
            if inner
        ],
    )


def _entry(row: int) -> int:
    return ROW * row + ROW // 2 - 5


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


def _wrote(stage: Stage, path: str) -> bool:
    """Does the path lie where the stage's directory is, or was when it ran?"""
    recorded = as_texts(stage.run.config.get("out")) if stage.run else []
    homes = [str(stage.path), *recorded]
    return any(PurePath(_absolute(path)).is_relative_to(_absolute(home)) for home in homes)


def _absolute(path: str) -> str:
    return abspath(path.replace("\0", ""))


def _short_path(path: str) -> str:
    parts = Path(path).parts
    return clip(path if len(parts) < 3 else "…/" + "/".join(parts[-2:]))
