"""What stands where on the page: the first screen, a section for each step, and the ends."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from instructgpt.report.draw.figures import Row
from instructgpt.report.draw.lineage import Picture, picture
from instructgpt.report.read.benchmark import Benchmark
from instructgpt.report.read.kinds import in_order, kind_of
from instructgpt.report.read.lineage import originals
from instructgpt.report.read.rankings import feeding_ranks, reference_groups
from instructgpt.report.read.verdict import Verdict
from instructgpt.report.read.work import StageRun, Work
from instructgpt.report.tell import benchmarks, judged, unseen
from instructgpt.report.tell.board import Board, board, measured
from instructgpt.report.tell.charts import Chart, curve_charts, overlay_charts, trade_off
from instructgpt.report.tell.preference import accuracy_charts, accuracy_of_all, ranking_charts
from instructgpt.report.tell.samples import SampleTable, sample_table
from instructgpt.report.tell.story import headline
from instructgpt.report.tell.tables import (
    Table,
    config_table,
    environment_table,
    inputs_table,
    lineage_table,
    rankings_table,
    results_table,
    stages_table,
    timings_table,
)
from instructgpt.report.tell.words import sentence


@dataclass(frozen=True)
class Section:
    """One part of the page.

    Attributes:
        boards, charts, tables, samples: stand open.
        more, more_boards, folded: further figures and tables, to be opened.
        parts: the stages of the section, one by one, to be opened.
    """

    anchor: str
    title: str
    name: str = ""
    status: str = ""
    lead: str = ""
    color: str = "var(--muted)"
    notes: tuple[str, ...] = ()
    boards: Sequence[Board] = ()
    more_boards: Sequence[Board] = ()
    charts: Sequence[Chart] = ()
    more: Sequence[Chart] = ()
    samples: SampleTable | None = None
    tables: Sequence[Table] = ()
    folded: Sequence[Table] = ()
    parts: Sequence["Section"] = ()
    picture: Picture | None = None

    @property
    def is_empty(self) -> bool:
        """Is there nothing to show?"""
        shown = (self.notes, self.charts, self.more, self.samples, self.tables, self.parts)
        shown += (self.boards,)
        return not any(shown) and self.status != "failed"


@dataclass(frozen=True)
class FirstScreen:
    """What stands beside the loop: the win rate, the price in KL, the signs of gaming."""

    charts: Sequence[Chart]
    signs: Table | None
    conclusion: str


def first_screen(work: Work) -> FirstScreen:
    """The result at a glance, from the last evaluation and all PPO stages."""
    verdict = last_verdict(work)
    charts = [judged.win_rates(verdict)] if verdict else []
    charts += trade_off([run for run in work.runs if run.kind == "ppo"])
    if verdict is None or not unseen.is_known(verdict):
        return FirstScreen(charts, None, "")
    return FirstScreen(charts, unseen.short_table(verdict), unseen.conclusion(verdict))


def sections_of(work: Work) -> list[Section]:
    """All sections of the page, the result first."""
    by_kind: dict[str, list[StageRun]] = {}
    for stage in work.stages:
        by_kind.setdefault(kind_of(stage.kind).section, []).append(stage)
    steps = {
        kind: step_section(f"step-{i}", work, kind, by_kind[kind])
        for i, kind in enumerate(in_order(set(by_kind)), 1)
    }
    result = [steps.pop(kind) for kind in ("evaluate", "benchmark") if kind in steps]
    found = [*result, *_lineage(work), *steps.values()]
    return [*(section for section in found if not section.is_empty), *_ends(work)]


def step_section(anchor: str, work: Work, kind: str, stages: Sequence[StageRun]) -> Section:
    """One section for the stages of a kind: together what compares, then each by itself."""
    whole = [stage_section(f"{anchor}-{i}", work, s) for i, s in enumerate(stages, 1) if s.ran]
    known = [section for section in whole if not section.is_empty]
    title = kind_of(kind).title
    if len(known) == 1 and kind != "rank":
        only = known[0]
        name = only.name if only.name != kind else ""
        return replace(only, anchor=anchor, title=title, name=name)
    runs = [stage for stage in stages if stage.ran]
    left_out = tuple(note for stage in stages if not stage.ran for note in stage.notes)
    section = Section(anchor, title, color=kind_of(kind).color, notes=left_out)
    if kind == "rank":
        table = rankings_table(runs)
        return replace(
            _joined(section, known),
            charts=[*ranking_charts(runs), *(chart for part in known for chart in part.charts)],
            tables=[table] if table else [],
            lead=sentence(headline(runs[0])) if len(runs) == 1 else "",
        )
    if len(known) < 2:
        return section
    overlays = overlay_charts(runs, key_only=True) if kind in ("reward", "ppo", "sft") else []
    if kind == "reward":
        return _reward_models(replace(section, charts=overlays, parts=known), work, runs)
    if kind == "evaluate":
        return replace(known[-1], anchor=anchor, title=title, parts=known[:-1])
    return replace(section, charts=overlays, parts=known, tables=[results_table(runs)])


def _reward_models(section: Section, work: Work, runs: Sequence[StageRun]) -> Section:
    """Several reward models: all accuracies, and the breakdown of the last one in the open."""
    rows = references(work, runs[-1])
    last = section.parts[-1]
    count = len(accuracy_charts(runs[-1].evaluation))
    shown = [p._replace(title=f"{p.title}, {last.name}") for p in last.charts[:count]]
    return replace(
        section,
        charts=[*accuracy_of_all(runs, rows), *shown, *section.charts],
        parts=[*section.parts[:-1], replace(last, charts=last.charts[count:])],
    )


def stage_section(anchor: str, work: Work, run: StageRun) -> Section:
    """Everything about one stage that left a run directory."""
    if benchmark := Benchmark.parse(run.results):
        section = benchmark_section(anchor, benchmark)
        lead = sentence(measured(benchmark))
        return replace(section, name=run.name, status=run.status, notes=run.notes, lead=lead)
    key, more = curve_charts(run)
    tables: list[Table] = []
    charts = accuracy_charts(run.evaluation, references(work, run))
    if verdict := Verdict.parse(run.evaluation, originals(work)):
        charts += [*judged.scores(verdict), *judged.use_cases(verdict)]
        charts += judged.gains(run.evaluation, verdict)
        if run is not _judging(work):  # that of the last one stands on the first screen
            charts.insert(0, judged.win_rates(verdict))
        if verdict.texts:
            tables.append(unseen.full_table(verdict))
    return Section(
        anchor,
        kind_of(run.kind).title,
        name=run.name,
        status=run.status,
        color=kind_of(run.kind).color,
        lead=sentence(headline(run)),
        notes=run.notes,
        charts=[*charts, *key],
        more=more,
        samples=sample_table(run),
        tables=tables,
    )


def benchmark_section(anchor: str, benchmark: Benchmark, *, drawn: bool = True) -> Section:
    """The table of the paper's appendix E.5, its further figures, and how the texts ended."""
    open_tables, folded = benchmarks.endings_tables(benchmark)
    further = board(benchmark, in_table=False)
    return Section(
        anchor,
        kind_of("benchmark").title,
        color=kind_of("benchmark").color,
        boards=[board(benchmark)],
        more_boards=[further] if further.groups else [],
        charts=benchmarks.interval_charts(benchmark) if drawn else [],
        tables=open_tables,
        folded=folded,
    )


def references(work: Work, run: StageRun) -> list[Row]:
    """How well the labelers agree whose rankings a reward model learned."""
    if run.kind != "reward":
        return []
    found = reference_groups(run, feeding_ranks(work, run))
    many = len({name for name, _ in found}) > 1
    return [
        Row(f"{group.label} labelers" + (f", {name}" if many else ""), group.agreement, True)
        for name, group in found
        if group.agreement
    ]


def last_verdict(work: Work) -> Verdict | None:
    """What the last evaluation found."""
    run = _judging(work)
    return Verdict.parse(run.evaluation, originals(work)) if run else None


def _judging(work: Work) -> StageRun | None:
    return next((run for run in reversed(work.runs) if Verdict.parse(run.evaluation)), None)


def _joined(section: Section, parts: Sequence[Section]) -> Section:
    """One section with the notes of several, marked failed where one of them failed."""
    notes = tuple(note for part in parts for note in part.notes)
    failed = [part.status for part in parts if part.status not in ("", "done")]
    return replace(section, notes=notes, status=failed[0] if failed else "")


def _lineage(work: Work) -> list[Section]:
    table = lineage_table(work) if work.is_pipeline else None
    if table is None:
        return []
    return [Section("lineage", "How it was made", tables=[table], picture=picture(work))]


def _ends(work: Work) -> list[Section]:
    found = [stages_table(work), environment_table(work)]
    clock = timings_table(work)
    ends = Section(
        "environment",
        "Time, memory and environment",
        tables=[table for table in found if table],
        folded=[clock] if clock else [],
    )
    inputs = inputs_table(work)
    configs = [config for run in work.runs if (config := config_table(run))]
    if not inputs and not configs:
        return [ends]
    lead = (
        "Every value that a stage ran with, and where it came from. What is not a default is bold; "
        "on paper only that."
    )
    section = Section(
        "configuration",
        "Inputs and configuration",
        lead=lead,
        tables=[inputs] if inputs else [],
        folded=configs,
    )
    return [ends, section]
