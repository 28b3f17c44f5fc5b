"""Models beside each other: a dot and its interval each, grouped by what was measured."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from instructgpt.report.draw.figures import legend
from instructgpt.report.draw.svg import FAINT, INK, MUTED, look, short, svg
from instructgpt.report.read.values import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STEP = 0.18
"""Inches from one interval to the next."""


class Group(NamedTuple):
    """Figures that are compared, by the name of the model; `label` says what they are."""

    label: str
    estimates: Mapping[str, Estimate]


def compared(groups: Sequence[Group], names: Sequence[str], xlabel: str) -> str:
    """A row for each group, and in it an interval for each of the names, in their order."""
    rows = len(groups) * (len(names) + 1)

    def draw(figure: "Figure", axes: "Axes") -> None:
        for place, group in enumerate(groups):
            top = place * (len(names) + 1)
            for index, name in enumerate(names):
                if name in group.estimates:
                    _whisker(axes, group.estimates[name], top + index, index)
            if place:
                axes.axhline(top - 1, color=FAINT, linewidth=0.8)
        middles = [i * (len(names) + 1) + (len(names) - 1) / 2 for i in range(len(groups))]
        axes.set_yticks(middles, [short(group.label) for group in groups])
        axes.set_ylim(rows - 1.2, -0.8)
        axes.tick_params(axis="y", labelcolor=INK)
        axes.spines["left"].set_visible(False)
        axes.grid(visible=False, axis="y")
        figure.supxlabel(short(xlabel, 60), fontsize=10, color=MUTED)
        legend(figure, names, dashed=False)

    return svg(draw, height=1.1 + STEP * rows)


def _whisker(axes: "Axes", estimate: Estimate, y: float, index: int) -> None:
    color, _, marker = look(index)
    axes.plot([estimate.low, estimate.high], [y, y], color=color, linewidth=1.8)
    axes.plot([estimate.value], [y], marker, color=color, ms=5)
