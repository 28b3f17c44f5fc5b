"""The drawings: numbers in, an inline SVG string out."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from instructgpt.report.draw.svg import GREY, INK, MUTED, PALETTE, look, short, svg
from instructgpt.report.read.values import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_POINTS = 400


class Line(NamedTuple):
    """One curve: what the legend calls it, and its points."""

    label: str
    x: np.ndarray
    y: np.ndarray


class Row(NamedTuple):
    """One row of an interval plot; hollow ones are there to compare with, the strong one counts."""

    label: str
    estimate: Estimate
    hollow: bool = False
    strong: bool = False


class Bin(NamedTuple):
    """One bin of a calibration plot: mean predicted probability, observed share, pairs."""

    predicted: float
    observed: float
    count: float


def curves(lines: Sequence[Line], unit: str, reference: float | None = None) -> str:
    """Metrics over optimizer steps: each as recorded (light) and smoothed (strong)."""

    def draw(figure: "Figure", axes: "Axes") -> None:
        from matplotlib.ticker import MaxNLocator

        if reference is not None:
            axes.axhline(reference, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        for index, line in enumerate(lines):
            _curve(axes, line, index)
        axes.set_xlabel("optimizer step")
        axes.set_ylabel(unit)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        legend(figure, [line.label for line in lines])

    return svg(draw, _height(lines))


def trade_off(lines: Sequence[Line], xlabel: str, ylabel: str) -> str:
    """Score against KL: a path through the run, from the hollow marker to the full one."""

    def draw(figure: "Figure", axes: "Axes") -> None:
        for index, line in enumerate(lines):
            x, y = smooth(line.x), smooth(line.y)
            color, dash, marker = look(index)
            axes.plot(*thin(line.x, line.y), "o", color=color, alpha=0.25, ms=3, mew=0)
            axes.plot(x, y, color=color, linestyle=dash)
            axes.plot(x[:1], y[:1], marker, color=color, ms=6, mfc="white", mew=1.5, clip_on=False)
            axes.plot(x[-1:], y[-1:], marker, color=color, ms=6, clip_on=False)
        axes.set_xlabel(xlabel)
        axes.set_ylabel(ylabel)
        legend(figure, [line.label for line in lines])

    return svg(draw, _height(lines))


def intervals(
    rows: Sequence[Row],
    xlabel: str,
    references: Sequence[float] = (50,),
    share: bool = True,
    mark: str = "",
) -> str:
    """Estimates with their intervals, one row each, against dashed reference lines.

    Shares are drawn in per cent. The numbers of observations go to the axis where they are equal;
    `mark` names the reference line.
    """
    scale, unit = (100, " %") if share else (1, "")
    counts = {row.estimate.n for row in rows}
    common = counts.pop() if len(counts) == 1 else None

    def draw(figure: "Figure", axes: "Axes") -> None:
        for reference in references:
            axes.axvline(reference, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
            axes.annotate(
                short(mark, 16),
                (reference, 1),
                xycoords=("data", "axes fraction"),
                xytext=(0, 3),
                textcoords="offset points",
                ha="center",
                color=MUTED,
                fontsize=9,
            )
        for y, row in enumerate(rows):
            _interval(axes, row, y, scale, unit, with_count=common is None)
        ends = [scale * end for row in rows for end in (row.estimate.low, row.estimate.high)]
        low, high = min(*references, *ends), max(*references, *ends)
        if share:
            axes.set_xlim(max(min(low - 12, 30), -8), min(max(high + 12, 80), 108))
        else:
            margin = 0.15 * (high - low) or 1
            axes.set_xlim(low - margin, high + margin)
        axes.set_ylim(len(rows) - 0.4, -0.8)
        labels = ["\n".join(map(short, row.label.split("\n"))) for row in rows]
        axes.set_yticks(range(len(rows)), labels)
        for text, row in zip(axes.get_yticklabels(), rows, strict=True):
            text.set_fontweight("bold" if row.strong else "normal")
        axes.tick_params(axis="y", labelcolor=INK)
        axes.spines["left"].set_visible(False)
        axes.grid(visible=False, axis="y")
        text = short(xlabel, 60) + (f", n = {common:,}" if common is not None else "")
        figure.supxlabel(text, fontsize=10, color=MUTED)  # centred below the row labels too

    return svg(draw, height=max(2.7, 0.9 + 0.36 * len(rows)))


def histogram(values: Sequence[float], xlabel: str, ylabel: str) -> str:
    """How often each size of a change occurs, those below, at and above zero told apart."""
    bins = 21

    def draw(figure: "Figure", axes: "Axes") -> None:
        del figure
        widest = max(map(abs, values)) or 1.0
        counts, edges = np.histogram(values, bins=bins, range=(-widest, widest))
        middles = (edges[:-1] + edges[1:]) / 2
        colors = [PALETTE[1]] * (bins // 2) + [GREY] + [PALETTE[0]] * (bins // 2)
        axes.bar(middles, counts, width=0.86 * (edges[1] - edges[0]), color=colors)
        axes.axvline(0, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_xlabel(short(xlabel, 60))
        axes.set_ylabel(ylabel)
        axes.grid(visible=False, axis="x")

    return svg(draw)


def calibration(bins: Sequence[Bin]) -> str:
    """Predicted against observed probability; on the diagonal a model is as right as it is sure."""

    def draw(figure: "Figure", axes: "Axes") -> None:
        del figure
        largest = max(max(bin_.count for bin_ in bins), 1)
        x, y = [100 * bin_.predicted for bin_ in bins], [100 * bin_.observed for bin_ in bins]
        axes.plot([0, 100], [0, 100], color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        axes.plot(x, y, color=PALETTE[0], linewidth=1, alpha=0.5)
        sizes = [12 + 90 * max(bin_.count, 0) / largest for bin_ in bins]
        axes.scatter(x, y, s=sizes, color=PALETTE[0], edgecolors="white", zorder=3)
        axes.set(xlim=(min([50, *x]) - 3, 103), ylim=(min([40, *y]) - 3, 103))
        axes.set_xlabel("predicted probability of being preferred (%)")
        axes.set_ylabel("observed share (%)")

    return svg(draw)


def smooth(values: np.ndarray) -> np.ndarray:
    """A centred moving mean over a twentieth of the points; a straight line fitted at either end.

    NaN counts for nothing, and stays NaN where it stands alone.

    >>> smooth(np.array([0.0, 1.0, 2.0])).tolist()
    [0.0, 1.0, 2.0]
    """
    half = len(values) // 40
    if half == 0:
        return values
    at, finite = np.arange(len(values)), np.isfinite(values)
    total = np.concatenate([[0.0], np.cumsum(np.where(finite, values, 0.0))])
    count = np.concatenate([[0], np.cumsum(finite)])
    low, high = np.maximum(at - half, 0), np.minimum(at + half + 1, len(values))
    with np.errstate(invalid="ignore"):
        smoothed = (total[high] - total[low]) / (count[high] - count[low])
    for window, end in (
        (at[: 4 * half + 1], at[:half]),
        (at[-4 * half - 1 :], at[len(at) - half :]),
    ):
        known = window[finite[window]]
        if len(known) > 2:
            slope, offset = np.polyfit(known - known[0], values[known], 1)
            smoothed[end] = offset + slope * (end - known[0])
    return smoothed


def thin(x: np.ndarray, y: np.ndarray, limit: int = MAX_POINTS) -> tuple[np.ndarray, np.ndarray]:
    """A long curve in about `limit` points: the extremes of each stretch, so no spike is lost."""
    if len(x) <= limit:
        return x, y
    kept: set[int] = {0, len(x) - 1}
    for part in np.array_split(np.arange(len(x)), limit // 2):
        finite = part[np.isfinite(y[part])]
        kept.update(
            (finite[y[finite].argmin()], finite[y[finite].argmax()]) if len(finite) else part[:1]
        )
    index = np.array(sorted(kept))
    return x[index], y[index]


def _curve(axes: "Axes", line: Line, index: int) -> None:
    color, dash, marker = look(index)
    if len(line.x) < 40:
        axes.plot(line.x, line.y, marker, ls=dash, color=color, ms=3.5)
        return
    axes.plot(*thin(line.x, line.y), color=color, alpha=0.25, linewidth=0.9)
    axes.plot(*thin(line.x, smooth(line.y)), color=color, linestyle=dash)


def _interval(axes: "Axes", row: Row, y: int, scale: int, unit: str, *, with_count: bool) -> None:
    estimate, low, high = (
        scale * end for end in (row.estimate.value, row.estimate.low, row.estimate.high)
    )
    color = MUTED if row.hollow else PALETTE[0]
    axes.plot([low, high], [y, y], color=color, linewidth=1.4 if row.hollow else 2)
    axes.plot([estimate], [y], "o", color=color, mfc="white" if row.hollow else color, ms=6)
    count = row.estimate.n if with_count else None
    text = f"{estimate:.0f}{unit}" if scale == 100 else f"{estimate:.2f}".replace("-", "−")
    axes.annotate(
        text + (f", n = {count:,}" if count is not None else ""),
        (estimate, y),
        xytext=(0, 7),
        textcoords="offset points",
        ha="center",
        color=INK,
        fontsize=9,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
    )


def legend(figure: "Figure", names: Sequence[str], *, dashed: bool = True) -> None:
    """What each color, marker and dash stands for, above the drawing, where there are several."""
    if len(names) < 2:
        return
    from matplotlib.lines import Line2D

    looks = [look(index) for index in range(len(names))]
    handles = [
        Line2D([], [], color=color, ls=dash if dashed else "-", marker=marker, ms=3.5)
        for color, dash, marker in looks
    ]
    labels = [short(name) for name in names]
    columns = _columns(names)
    figure.legend(handles, labels, loc="outside upper left", ncols=columns, borderaxespad=0)


def _columns(names: Sequence[str]) -> int:
    lengths = [len(short(name)) for name in names]
    if len(names) == 4 and sum(lengths) < 28:
        return 4  # in one row, and so in their order
    return 3 if max(lengths) < 15 else 2


def _height(lines: Sequence[Line]) -> float:
    rows = math.ceil(len(lines) / _columns([line.label for line in lines]))
    return 2.7 + 0.2 * max(0, rows - 1)
