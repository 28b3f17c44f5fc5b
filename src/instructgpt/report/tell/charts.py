"""The curves of a run, alone or laid over those of other runs, and the sentence under each."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from instructgpt.report.draw import figures
from instructgpt.report.draw.figures import Line, Row
from instructgpt.report.read.values import is_finite
from instructgpt.report.read.work import Series, StageRun
from instructgpt.report.tell.curves import CURVES, UNDRAWN, Curve
from instructgpt.report.tell.words import change, number, percent, plural, span

MAX_LEFTOVERS = 12


class Chart(NamedTuple):
    """One figure of the page. `alt` tells those who cannot see it what is drawn."""

    title: str
    svg: str
    caption: str
    alt: str = ""


def curve_charts(run: StageRun) -> tuple[list[Chart], list[Chart]]:
    """A figure for every metric of a run: those that tell the story, and the others."""
    key: list[Chart] = []
    others: list[Chart] = []
    for curve in (*CURVES, *_leftovers([run])):
        found = {label: s for metric, label in curve.metrics.items() if (s := run.series(metric))}
        if found:
            lines = [Line(label, series.steps, series.values) for label, series in found.items()]
            svg = figures.curves(lines, curve.unit, curve.reference)
            caption = f"{_movement(found)} {curve.reading}".strip()
            alt = f"{curve.unit} over optimizer steps: {', '.join(found)}"
            (key if curve.key else others).append(Chart(curve.title, svg, caption, alt))
    return (key, others) if key else (others, [])


def overlay_charts(runs: Sequence[StageRun], *, key_only: bool = False) -> list[Chart]:
    """The runs laid over each other, one metric a figure; `key_only`: the first of the key ones."""
    charts: list[Chart] = []
    for curve in (*CURVES, *(() if key_only else _leftovers(runs))):
        if key_only and not curve.key:
            continue
        drawn = [p for metric in curve.metrics if (p := _overlay(runs, curve, metric))]
        charts += drawn[:1] if key_only else drawn
    return charts


def trade_off(runs: Sequence[StageRun]) -> list[Chart]:
    """Score against KL, the path of every run that recorded both."""
    lines: list[Line] = []
    for run in runs:
        both = [
            line
            for line in run.metrics
            if all(is_finite(line.get(f"objective/{key}")) for key in ("kl", "scores"))
        ]
        clean = replace(run, metrics=both)
        kl, score = (clean.series(f"objective/{key}") for key in ("kl", "scores"))
        if kl and score and len(kl.values) > 1:
            lines.append(Line(run.name, kl.values, score.values))
    if not lines:
        return []
    svg = figures.trade_off(lines, "KL from the starting model (nats per answer)", "score")
    caption = (
        "From the start of training (hollow) to its end (full), one small dot an iteration. "
        "A path that moves right without climbing pays KL for nothing." + scale_note(runs)
    )
    ends = "; ".join(
        f"{line.label} ends at a score of {number(line.y[-1])} and a KL of {number(line.x[-1])}"
        for line in lines
    )
    return [Chart("Score bought with KL", svg, caption, ends)]


def scale_note(runs: Sequence[StageRun]) -> str:
    """A warning where the scores of several runs come from different reward models."""
    judges = {str(run.config.get("reward_model") or run.config.get("reward")) for run in runs}
    if len(judges) < 2:
        return ""
    return " The runs have different reward models: shapes compare, heights do not."


def _overlay(runs: Sequence[StageRun], curve: Curve, metric: str) -> Chart | None:
    found = [(run, series) for run in runs if (series := run.series(metric))]
    if not found:
        return None
    ends = "; ".join(f"{run.name} ends at {number(s.ends()[1])}" for run, s in found)
    label = curve.metrics[metric]
    title = curve.title if len(curve.metrics) == 1 else f"{curve.title}: {label}"
    lines = [Line(run.name, s.steps, s.values) for run, s in found]
    svg = figures.curves(lines, curve.unit, curve.reference)
    note = scale_note([run for run, _ in found]) if curve.unit == "score" else ""
    return Chart(title, svg, f"{ends}. {curve.reading}{note}", f"{curve.unit} over optimizer steps")


def _movement(found: dict[str, Series]) -> str:
    parts = [
        (f"{label}: " if len(found) > 1 else "") + change(*s.ends()) for label, s in found.items()
    ]
    holes = sum(int((series.values != series.values).sum()) for series in found.values())
    text = "; ".join(parts)
    return (
        text[0].upper() + text[1:] + (f" ({plural(holes, 'value')} not finite)." if holes else ".")
    )


def _leftovers(runs: Iterable[StageRun]) -> list[Curve]:
    known = UNDRAWN | {metric for curve in CURVES for metric in curve.metrics}
    names = dict.fromkeys(name for run in runs for name in run.metric_names() if name not in known)
    return [Curve(name, "value", {name: name}, "") for name in list(names)[:MAX_LEFTOVERS]]


def in_words(rows: Sequence[Row]) -> str:
    """What an interval plot of shares shows, for those who cannot see it."""
    return "; ".join(
        f"{' '.join(label.split())} {percent(row.value)}"
        + (f" ({span(row)})" if row.low < row.high else "")
        for label, row, *_ in rows
    )
