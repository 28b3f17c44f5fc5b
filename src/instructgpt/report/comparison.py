"""Several runs of one stage, or several pipelines, on one page."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from instructgpt.errors import UserError
from instructgpt.report.draw import figures
from instructgpt.report.draw.figures import Row
from instructgpt.report.page import render
from instructgpt.report.read.kinds import in_order, kind_of
from instructgpt.report.read.load import load
from instructgpt.report.read.work import StageRun, Work
from instructgpt.report.tell.charts import Chart, overlay_charts, trade_off
from instructgpt.report.tell.sections import FirstScreen, Section
from instructgpt.report.tell.story import simulated
from instructgpt.report.tell.tables import differences_table, results_table
from instructgpt.report.tell.words import overlapping


def compare_report(directories: Sequence[Path], out: Path) -> Path:
    """Write one page that lays several runs of one stage, or several pipelines, over each other.

    Raises:
        UserError: there are fewer than two, or they are not of one kind.
    """
    works = _distinct([load(Path(directory)) for directory in directories])
    kinds = sorted({"pipeline" if w.is_pipeline else w.stages[0].kind for w in works})
    if len(works) < 2 or len(kinds) != 1:
        found = ", ".join(kinds) or "none"
        raise UserError(
            f"a comparison takes two or more runs of one stage, or two or more pipelines; "
            f"found: {found}"
        )
    sections = [
        section
        for number, kind in enumerate(_kinds(works), 1)
        for section in _sections(f"step-{number}", kind, works, alone=kinds != ["pipeline"])
    ]
    names = ", ".join(work.name for work in works)
    is_pipeline = kinds == ["pipeline"]
    return render(
        Path(out),
        title=f"{len(works)} {'pipelines' if is_pipeline else 'runs'} compared",
        kicker="Pipelines" if is_pipeline else kind_of(kinds[0]).title,
        simulated=next(filter(None, map(simulated, works)), ""),
        facts=[],
        summary=[f"The same figures of {names}, laid over each other."],
        cards=[],
        goes_round=False,
        first=FirstScreen([], None, ""),
        sections=sections,
    )


def _kinds(works: Sequence[Work]) -> list[str]:
    """The kinds of stages that at least two of the works ran, in the order of a page."""
    ran = Counter(kind for work in works for kind in {run.kind for run in work.runs})
    return in_order({kind for kind, count in ran.items() if count > 1})


def _sections(anchor: str, kind: str, works: Sequence[Work], *, alone: bool) -> list[Section]:
    """Results, curves and differing settings of the last stage of a kind in each work."""
    runs = [replace(run, name=work.name) for work in works if (run := work.last(kind))]
    charts = [
        *_estimates(runs, "win_rate", "Win rate", "preferred to the baseline (%)"),
        *_estimates(runs, "accuracy", "Accuracy", "held-out pairs ordered rightly (%)"),
        *trade_off(runs),
        *overlay_charts(runs),
    ]
    results, settings = results_table(runs), differences_table(runs)
    color = kind_of(kind).color
    if alone:
        return [
            Section("results", "Results", tables=[results]),
            Section("curves", "Figures", charts=charts, color=color),
            Section("configuration", "Configuration: what differs", tables=[settings]),
        ]
    if not charts and not settings.rows:
        return []
    tables = [results, settings._replace(title="Settings that differ")]
    return [Section(anchor, kind_of(kind).title, color=color, charts=charts, tables=tables)]


def _estimates(runs: Sequence[StageRun], key: str, name: str, xlabel: str) -> list[Chart]:
    rows = [Row(run.name, value) for run in runs if (value := run.estimate(key))]
    if not rows:
        return []
    svg = figures.intervals(rows, f"{xlabel}, 95 % interval")
    best = max(rows, key=lambda row: row.estimate.value).label
    caption = "Each by its own judge on its own prompts or pairs."
    caption += overlapping(best, {row.label: row.estimate for row in rows})
    return [Chart(name, svg, caption)]


def _distinct(works: list[Work]) -> list[Work]:
    """The works, those of equal names told apart by the directory above."""
    names = [work.name for work in works]
    return [
        replace(work, name=f"{work.path.parent.name}/{work.name}")
        if names.count(work.name) > 1
        else work
        for work in works
    ]
