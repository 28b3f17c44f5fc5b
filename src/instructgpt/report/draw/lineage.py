"""The drawing of the lineage: where its stages, lanes and dots stand."""

from collections.abc import Sequence
from typing import NamedTuple

from instructgpt.report.draw.svg import short
from instructgpt.report.read.kinds import kind_of
from instructgpt.report.read.lineage import Sources, sources
from instructgpt.report.read.work import Work

ROW, PITCH = 34, 18


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


def tracks(found: Sequence[Sources]) -> list[Track]:
    """Lanes for the drawing: short lines get the lane next to the stages, none overlap."""
    spans: list[tuple[int, list[int], bool]] = []
    for index in range(len(found)):
        models = [i for i, source in enumerate(found) if index in source.models]
        data = [i for i, source in enumerate(found) if index in source.data]
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
            Node(short(stage.name, 17), kind_of(stage.kind).color, ROW * i + ROW // 2)
            for i, stage in enumerate(work.stages)
        ],
        [
            Rail(
                lane_x[track.source],
                ROW * track.source + ROW // 2 + 5,
                _entry(track.takers[-1]),
                kind_of(work.stages[track.source].kind).color,
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
