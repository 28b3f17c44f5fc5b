"""Put the page together: sections from runs, and the one template they go through."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import jinja2
from markupsafe import Markup

from instructgpt.errors import UserError
from instructgpt.report.load import Run, Stage, load
from instructgpt.report.panels import Panel, comparison_panels, run_panels
from instructgpt.report.samples import SampleTable, sample_table
from instructgpt.report.story import COLORS, headline, loop_cards, summary, title
from instructgpt.report.tables import (
    Table,
    config_table,
    differences_table,
    environment_table,
    results_table,
    stages_table,
    timings_table,
)
from instructgpt.report.words import decimals, signed


@dataclass(frozen=True)
class Section:
    """One part of the page. `folded` tables can be opened; the others stand open."""

    anchor: str
    title: str
    name: str = ""
    status: str = ""
    lead: str = ""
    color: str = "#57606a"
    notes: tuple[str, ...] = ()
    panels: Sequence[Panel] = ()
    samples: SampleTable | None = None
    tables: Sequence[Table] = ()
    folded: Sequence[Table] = field(default=())


def write_report(path: Path, out: Path | None = None) -> Path:
    """Write the report of a run or pipeline directory, by default to its `report.html`.

    Returns where it is. The page is one file that loads nothing; equal input gives equal bytes.
    """
    path = Path(path)
    work = load(path)
    cards = loop_cards(work)
    sections = [_stage_section(index, stage) for index, stage in enumerate(work.stages, 1)]
    sections = [section for section in sections if section]
    ends = [stages_table(work), timings_table(work), environment_table(work)]
    tables = [table for table in ends if table]
    sections.append(Section("environment", "Time, memory and environment", tables=tables))
    if configs := [config for stage in work.stages if (config := config_table(stage))]:
        sections.append(Section("configuration", "Configuration", folded=configs))
    return _write(
        Path(out) if out else path / "report.html",
        title=work.name,
        kicker="Pipeline" if work.is_pipeline else title(work.stages[0].kind),
        summary=summary(work),
        cards=cards if any(card.active for card in cards) else [],
        sections=sections,
    )


def compare_report(directories: Sequence[Path], out: Path) -> Path:
    """Write one page that lays the curves of several runs of one stage over each other."""
    works = [load(Path(directory)) for directory in directories]
    stages = [work.stages[0] for work in works if not work.is_pipeline]
    runs = _distinct([stage.run for stage in stages if stage.run])
    kinds = sorted({run.stage for run in runs})
    if len(runs) != len(works) or len(runs) < 2 or len(kinds) != 1:
        found = ", ".join("pipeline" if w.is_pipeline else w.stages[0].kind for w in works)
        raise UserError(
            f"a comparison takes two or more runs of one stage, found: {found or 'none'}"
        )
    names = ", ".join(run.name for run in runs)
    sections = [
        Section("results", "Results", tables=[results_table(runs, stages)]),
        Section(
            "curves",
            "Curves",
            panels=comparison_panels(runs),
            color=COLORS.get(kinds[0], "#57606a"),
        ),
        Section("configuration", "Configuration: what differs", tables=[differences_table(runs)]),
    ]
    return _write(
        Path(out),
        title=f"{len(runs)} runs compared",
        kicker=title(kinds[0]),
        summary=f"The same curves of {names}, laid over each other.",
        cards=[],
        sections=sections,
    )


def _distinct(runs: list[Run]) -> list[Run]:
    """The runs, those of equal directory names told apart by the directory above."""
    names = [run.name for run in runs]
    return [
        replace(run, name=f"{run.path.parent.name}/{run.name}")
        if names.count(run.name) > 1
        else run
        for run in runs
    ]


def _stage_section(index: int, stage: Stage) -> Section | None:
    run = stage.run
    if run is None:
        return None
    panels, samples = run_panels(run), sample_table(run)
    if not (panels or samples or run.notes or stage.status == "failed"):
        return None
    lead = headline(run)
    return Section(
        anchor=f"stage-{index}",
        title=title(stage.kind),
        name=stage.name if stage.name != stage.kind else "",
        status=stage.status,
        lead=lead[:1].upper() + lead[1:] + "." if lead else "",
        color=COLORS.get(stage.kind, "#57606a"),
        notes=run.notes,
        panels=panels,
        samples=samples,
    )


def _write(out: Path, **context: object) -> Path:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("instructgpt.report", ""),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["signed"] = signed
    environment.filters["decimals"] = decimals
    environment.filters["drawn"] = Markup  # for our own SVG only; everything else is escaped
    page = environment.get_template("template.html.j2").render(context)
    out.parent.mkdir(parents=True, exist_ok=True)
    # A half of a surrogate pair, which JSON allows and UTF-8 does not, becomes "?".
    out.write_bytes(page.encode("utf-8", "replace"))
    return out
