"""The drawings: numbers in, an inline SVG string out.

Matplotlib (`instructgpt[report]`) is imported on first use. Text stays text (selectable, in the
page's own font), ids are functions of the drawing, nothing is dated: the same numbers give the
same bytes.
"""

import hashlib
import io
import math
import re
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from instructgpt.errors import UserError
from instructgpt.report.load import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, which readers with any colour vision can tell apart, without its yellow
# (too pale on white).
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", ":", "-.")
INK, MUTED, RULE = "#24292f", "#57606a", "#d0d7de"
MAX_POINTS = 400
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "instructgpt",
    "text.parse_math": False,
    "font.size": 10,
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.limits": (-3, 5),
    "axes.formatter.useoffset": False,
    "grid.color": "#eaeef2",
    "grid.linewidth": 0.8,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "legend.frameon": False,
    "legend.fontsize": 10,
    "legend.handlelength": 1.4,
    "lines.linewidth": 1.6,
}


class Line(NamedTuple):
    """One curve: what the legend calls it, and its points."""

    label: str
    x: np.ndarray
    y: np.ndarray


class Bin(NamedTuple):
    """One bin of a calibration plot: mean predicted probability, observed share, pairs."""

    predicted: float
    observed: float
    count: float


def curves(lines: Sequence[Line], unit: str, reference: float | None = None) -> str:
    """Metrics over optimiser steps: each as recorded (light) and smoothed (strong)."""

    def draw(figure: "Figure", axes: "Axes") -> None:
        from matplotlib.ticker import MaxNLocator

        if reference is not None:
            axes.axhline(reference, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        for index, line in enumerate(lines):
            _curve(axes, line, index)
        axes.set_xlabel("optimiser step")
        axes.set_ylabel(unit)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        _legend(figure, lines)

    return _svg(draw, _height(lines))


def trade_off(lines: Sequence[Line], xlabel: str, ylabel: str) -> str:
    """Score against KL: a path through the run, from the hollow marker to the full one."""

    def draw(figure: "Figure", axes: "Axes") -> None:
        for index, line in enumerate(lines):
            x, y = smooth(line.x), smooth(line.y)
            color = PALETTE[index % len(PALETTE)]
            axes.plot(*thin(line.x, line.y), "o", color=color, alpha=0.25, ms=3, mew=0)
            axes.plot(x, y, color=color)
            axes.plot(x[:1], y[:1], "o", color=color, ms=6, mfc="white", mew=1.5, clip_on=False)
            axes.plot(x[-1:], y[-1:], "o", color=color, ms=6, clip_on=False)
        axes.set_xlabel(xlabel)
        axes.set_ylabel(ylabel)
        _legend(figure, lines)

    return _svg(draw, _height(lines))


def intervals(rows: Sequence[tuple[str, Interval]], xlabel: str, reference: float = 50) -> str:
    """Shares in per cent with their intervals, one row each, against a dashed reference line."""

    def draw(figure: "Figure", axes: "Axes") -> None:
        del figure
        axes.axvline(reference, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        for y, (_, row) in enumerate(rows):
            axes.plot([100 * row.low, 100 * row.high], [y, y], color=PALETTE[0], linewidth=2)
            axes.plot([100 * row.estimate], [y], "o", color=PALETTE[0], ms=6)
            axes.annotate(
                f"{100 * row.estimate:.0f} %" + (f", n = {row.n:,}" if row.n is not None else ""),
                (100 * row.estimate, y),
                xytext=(0, 7),
                textcoords="offset points",
                ha="center",
                color=INK,
                fontsize=9,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
            )
        low = min(reference, *(100 * row.low for _, row in rows))
        high = max(reference, *(100 * row.high for _, row in rows))
        axes.set_xlim(max(min(low - 12, 30), -8), min(max(high + 12, 80), 108))
        axes.set_ylim(len(rows) - 0.4, -0.8)
        axes.set_yticks(
            range(len(rows)), ["\n".join(map(short, label.split("\n"))) for label, _ in rows]
        )
        axes.tick_params(axis="y", labelcolor=INK)
        axes.spines["left"].set_visible(False)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(xlabel)

    return _svg(draw, height=max(2.7, 0.9 + 0.36 * len(rows)))


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
        axes.set_xlabel("predicted probability of the preferred answer (%)")
        axes.set_ylabel("observed (%)")

    return _svg(draw)


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


def short(text: str, limit: int = 26) -> str:
    """A label that fits and prints: one line, no control characters, at most `limit` characters."""
    clean = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


def _curve(axes: "Axes", line: Line, index: int) -> None:
    color = PALETTE[index % len(PALETTE)]
    dash = DASHES[index // len(PALETTE) % len(DASHES)]
    if len(line.x) < 40:
        axes.plot(line.x, line.y, "o", ls=dash, color=color, ms=3.5)
        return
    axes.plot(*thin(line.x, line.y), color=color, alpha=0.25, linewidth=0.9)
    axes.plot(*thin(line.x, smooth(line.y)), color=color, linestyle=dash)


def _columns(lines: Sequence[Line]) -> int:
    return 3 if max(len(short(line.label)) for line in lines) < 15 else 2


def _height(lines: Sequence[Line]) -> float:
    return 2.7 + 0.2 * max(0, math.ceil(len(lines) / _columns(lines)) - 1)


def _legend(figure: "Figure", lines: Sequence[Line]) -> None:
    if len(lines) < 2:
        return
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=PALETTE[i % len(PALETTE)], ls=DASHES[i // len(PALETTE) % len(DASHES)])
        for i in range(len(lines))
    ]
    labels = [short(line.label) for line in lines]
    figure.legend(handles, labels, loc="outside upper left", ncols=_columns(lines), borderaxespad=0)


def _svg(draw: "Callable[[Figure, Axes], None]", height: float = 2.7) -> str:
    try:
        import matplotlib as mpl
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise UserError(
            "the report draws with matplotlib, which is missing: pip install 'instructgpt[report]'"
        ) from None
    out = io.StringIO()
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a glyph the measuring font lacks: the browser has its own
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        figure = Figure(figsize=(4.4, height), layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure, figure.add_subplot())
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(out, format="svg", metadata=nothing, transparent=True)
    return _inline(out.getvalue())


def _inline(svg: str) -> str:
    """Matplotlib's SVG made fit for a page: no prolog, no fixed size or font, ids of its own."""
    body = svg[svg.index("<svg") :].strip()
    viewbox = re.search(r'viewBox="([^"]+)"', body)
    assert viewbox is not None
    body = f'<svg viewBox="{viewbox[1]}" aria-hidden="true">' + body[body.index(">") + 1 :]
    body = re.sub(r"<style.*?</style>|<metadata.*?</metadata>", "", body, flags=re.DOTALL)
    prefix = "f" + hashlib.sha256(body.encode("utf-8", "replace")).hexdigest()[:10]
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', body))

    def tidy(tag: re.Match[str]) -> str:
        text = re.sub(r"font-family: [^;\"]*;? ?", "", tag[0])
        text = re.sub(r' transform="rotate\(-0 [^"]*"', "", text)
        text = re.sub(r"-?\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}", text)
        text = re.sub(
            r' id="([^"]+)"', lambda m: f' id="{prefix}-{m[1]}"' if m[1] in used else "", text
        )
        return re.sub(r'(href="|url\()#', rf"\1#{prefix}-", " ".join(text.split()))

    # Only inside the tags: what stands between them may be anybody's text.
    return re.sub(r">\s+<", "><", re.sub(r"<[^>]*>", tidy, body))
