"""What stands where on the page: the first screen, a section for each step, and the ends."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from instructgpt.report.draw.figures import Row
from instructgpt.report.draw.lineage import Picture, picture
from instructgpt.report.read.kinds import NO_COLOR, in_order, kind_of
from instructgpt.report.read.lineage import feeding_ranks, originals, sources
from instructgpt.report.read.load import Run, Stage, Work
from instructgpt.report.read.rankings import reference_groups
from instructgpt.report.read.verdict import Verdict
from instructgpt.report.tell import judged, unseen
from instructgpt.report.tell.panels import Panel, curve_panels, overlay_panels, trade_off
from instructgpt.report.tell.preference import accuracy_of_all, accuracy_panels, ranking_panels
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
        panels, tables, samples: stand open.
        more, folded: further figures and tables, to be opened.
        parts: the stages of the section, one by one, to be opened.
    """

    anchor: str
    title: str
    name: str = ""
    status: str = ""
    lead: str = ""
    color: str = NO_COLOR
    notes: tuple[str, ...] = ()
    panels: Sequence[Panel] = ()
    more: Sequence[Panel] = ()
    samples: SampleTable | None = None
    tables: Sequence[Table] = ()
    folded: Sequence[Table] = ()
    parts: Sequence["Section"] = ()
    picture: Picture | None = None

    @property
    def is_empty(self) -> bool:
        """Is there nothing to show?"""
        shown = (self.notes, self.panels, self.more, self.samples, self.tables, self.parts)
        return not any(shown) and self.status != "failed"


@dataclass(frozen=True)
class FirstScreen:
    """What stands beside the loop: the win rate, the price in KL, the signs of gaming."""

    panels: Sequence[Panel]
    signs: Table | None
    conclusion: str


def first_screen(work: Work) -> FirstScreen:
    """The result at a glance, from the last evaluation and all PPO stages."""
    verdict = last_verdict(work)
    panels = [judged.win_rates(verdict)] if verdict else []
    panels += trade_off(named_runs(work, "ppo"), lambda run: run.name)
    if verdict is None or not unseen.is_known(verdict):
        return FirstScreen(panels, None, "")
    return FirstScreen(panels, unseen.short_table(verdict), unseen.conclusion(verdict))


def sections_of(work: Work) -> list[Section]:
    """All sections of the page, the result first."""
    by_section: dict[str, list[Stage]] = {}
    for stage in work.stages:
        by_section.setdefault(kind_of(stage.kind).section, []).append(stage)
    kinds = in_order(by_section)
    steps = [step_section(f"step-{i}", work, by_section[kind]) for i, kind in enumerate(kinds, 1)]
    result = [step for step, kind in zip(steps, kinds, strict=True) if kind == "evaluate"]
    others = [step for step, kind in zip(steps, kinds, strict=True) if kind != "evaluate"]
    found = [*result, *_lineage(work), *others]
    return [*(section for section in found if not section.is_empty), *_ends(work)]


def step_section(anchor: str, work: Work, stages: Sequence[Stage]) -> Section:
    """One section for the stages of a kind: together what compares, then each by itself."""
    kind = kind_of(stages[0].kind).section
    whole = [stage_section(f"{anchor}-{i}", work, s) for i, s in enumerate(stages, 1) if s.run]
    known = [section for section in whole if not section.is_empty]
    if len(known) == 1 and kind != "rank":
        only = known[0]
        name = only.name if only.name != kind else ""
        return replace(only, anchor=anchor, title=kind_of(kind).title, name=name)
    runs = [replace(stage.run, name=stage.name) for stage in stages if stage.run]
    section = Section(anchor, kind_of(kind).title, color=kind_of(kind).color)
    if kind == "rank":
        table = rankings_table(stages)
        return replace(
            _joined(section, known),
            panels=[*ranking_panels(runs), *(panel for part in known for panel in part.panels)],
            tables=[table] if table else [],
            lead=sentence(headline(runs[0])) if len(runs) == 1 else "",
        )
    if len(known) < 2:
        return section
    overlays = overlay_panels(runs, key_only=True) if kind in ("reward", "ppo", "sft") else []
    if kind == "reward":
        return _reward_models(replace(section, panels=overlays, parts=known), work, stages)
    if kind == "evaluate":
        return replace(known[-1], anchor=anchor, title=kind_of(kind).title, parts=known[:-1])
    table = results_table(runs, [stage for stage in stages if stage.run])
    return replace(section, panels=overlays, parts=known, tables=[table])


def _reward_models(section: Section, work: Work, stages: Sequence[Stage]) -> Section:
    """Several reward models: all accuracies, and the breakdown of the last one in the open."""
    runs = [replace(stage.run, name=stage.name) for stage in stages if stage.run]
    rows = references(work, stages[-1])
    last = section.parts[-1]
    count = len(accuracy_panels(runs[-1].evaluation))
    shown = [p._replace(title=f"{p.title}, {last.name}") for p in last.panels[:count]]
    return replace(
        section,
        panels=[*accuracy_of_all(runs, rows), *shown, *section.panels],
        parts=[*section.parts[:-1], replace(last, panels=last.panels[count:])],
    )


def stage_section(anchor: str, work: Work, stage: Stage) -> Section:
    """Everything about one stage."""
    section = Section(
        anchor,
        kind_of(stage.kind).title,
        name=stage.name,
        status=stage.status,
        color=kind_of(stage.kind).color,
    )
    run = stage.run
    if run is None:
        return section
    key, more = curve_panels(run)
    tables: list[Table] = []
    panels = accuracy_panels(run.evaluation, references(work, stage))
    if verdict := Verdict.parse(run.evaluation, originals(work)):
        panels += [*judged.scores(verdict), *judged.use_cases(verdict)]
        panels += judged.gains(run.evaluation, verdict)
        if run is not _judging(work):  # that of the last one stands on the first screen
            panels.insert(0, judged.win_rates(verdict))
        if verdict.texts:
            tables.append(unseen.full_table(verdict))
    return replace(
        section,
        lead=sentence(headline(run)),
        notes=run.notes,
        panels=[*panels, *key],
        more=more,
        samples=sample_table(run),
        tables=tables,
    )


def references(work: Work, stage: Stage) -> list[Row]:
    """How well the labelers agree whose rankings a reward model learned."""
    if stage.kind != "reward":
        return []
    index = next(i for i, other in enumerate(work.stages) if other is stage)
    feeding = feeding_ranks(work, sources(work), index)
    found = reference_groups(stage.run, feeding) if stage.run else []
    many = len({name for name, _ in found}) > 1
    return [
        Row(f"{group.label} labelers" + (f", {name}" if many else ""), group.agreement, True)
        for name, group in found
        if group.agreement
    ]


def named_runs(work: Work, kind: str) -> list[Run]:
    """The runs of all stages of a kind, called as the stages are."""
    stages = [stage for stage in work.stages if stage.kind == kind]
    return [replace(stage.run, name=stage.name) for stage in stages if stage.run]


def last_verdict(work: Work) -> Verdict | None:
    """What the last evaluation found."""
    run = _judging(work)
    return Verdict.parse(run.evaluation, originals(work)) if run else None


def _judging(work: Work) -> Run | None:
    runs = [stage.run for stage in work.stages if stage.run and Verdict.parse(stage.run.evaluation)]
    return runs[-1] if runs else None


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
    configs = [config for stage in work.stages if (config := config_table(stage))]
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
