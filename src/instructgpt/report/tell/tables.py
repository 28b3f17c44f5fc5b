"""The tables of a report: rankings, stages, clock readings, environment, data, configuration."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from instructgpt.report.read.kinds import kind_of
from instructgpt.report.read.lineage import sources
from instructgpt.report.read.load import PEAK, Run, Stage, Work, as_dict, is_finite
from instructgpt.report.read.rankings import groups
from instructgpt.report.tell.story import headline
from instructgpt.report.tell.words import clip, duration, number, percent, plain, plural, span

RUN_FACTS = ("command", "git_commit", "seed", "machine", "tuning", "versions")
READINGS = {
    "timing/train": "training steps",
    "timing/collect": "collecting answers",
    "throughput/tokens_per_second": "tokens per second",
    "throughput/episodes_per_second": "answers per second",
    PEAK: "peak memory",
}
STAGES_NOTE = (
    "Peak memory is the most that the process had held so far. The stages of a pipeline share one "
    "process, so it never falls: ≤ marks a stage that set no new peak, and may have needed less."
)
LINEAGE_NOTE = (
    "What each stage started from, by the paths in its run.json; digests are under Inputs."
)


class Table(NamedTuple):
    """A table of texts: `numeric` columns are set flush right, `strong` rows bold."""

    title: str
    head: tuple[str, ...]
    rows: list[tuple[str, ...]]
    numeric: tuple[int, ...] = ()
    strong: frozenset[int] = frozenset()
    note: str = ""


def stages_table(work: Work) -> Table:
    """One line a stage: what, how it ended, when it began, how long and how large it was."""
    rows: list[tuple[str, ...]] = []
    before = 0.0
    for stage in work.stages:
        run = stage.run
        peak = run.peak_memory if run else None
        same = peak is not None and abs(peak - before) <= 0.001 * before
        again = f", round {stage.round}" if (stage.round or 1) > 1 else ""
        rows.append(
            (
                stage.name,
                kind_of(stage.kind).title + again,
                stage.status,
                plain(run.info.get("started") or "") if run else "",
                f"{run.steps:,}" if run and run.metrics else "",
                duration(stage.seconds) if stage.seconds else "",
                "" if peak is None else ("≤ " if same else "") + _gib(peak),
            )
        )
        before = before if peak is None else peak
    if len(rows) > 1:
        total = sum(stage.seconds or 0 for stage in work.stages)
        rows.append(("total", "", "", "", "", duration(total), ""))
    strong = frozenset({len(rows) - 1} if len(rows) > 1 else ())
    head = ("stage", "what", "status", "started", "steps", "time", "peak memory")
    return Table("Stages", head, rows, (4, 5, 6), strong, STAGES_NOTE if work.is_pipeline else "")


def timings_table(work: Work) -> Table | None:
    """Means, totals and peaks of `timings.jsonl`."""
    rows = []
    for stage in work.stages:
        readings: dict[str, list[float]] = {}
        for line in stage.run.timings if stage.run else []:
            for key, value in line.items():
                if key not in ("step", PEAK) and is_finite(value):
                    readings.setdefault(key, []).append(value)
        rows += [
            (stage.name, READINGS.get(key, key), *_reading(key, values))
            for key, values in readings.items()
        ]
    head = ("stage", "reading", "mean", "total", "peak")
    return Table("Readings of the clock", head, rows, (2, 3, 4)) if rows else None


def rankings_table(stages: Sequence[Stage]) -> Table | None:
    """One line a group of labelers: who ranked how much, agreement, ties."""
    rows = [
        (
            stage.name,
            group.label,
            _few(group.labelers),
            "" if group.rankings is None else f"{group.rankings:,}",
            f"{percent(group.agreement.estimate)} [{span(group.agreement)}]"
            if group.agreement
            else "not measured",
            "" if group.tied is None else percent(group.tied),
        )
        for stage in stages
        if stage.run
        for group in groups(stage.run)
    ]
    head = ("stage", "group", "labelers", "rankings", "agreement", "tied pairs")
    note = "Agreement: the share of pairs that two labelers order alike, with its 95 % interval."
    return Table("Who ranked", head, rows, (3, 4, 5), note=note) if rows else None


def environment_table(work: Work) -> Table | None:
    """What `run.json` says of machine, versions and command, without the reasons it gives.

    What all stages share stands once.
    """
    found: dict[str, dict[str, list[str]]] = {}
    runs = [(stage.name, stage.run) for stage in work.stages if stage.run]
    for name, run in runs:
        for key in RUN_FACTS:
            for fact, value in _flat(key, run.info.get(key)):
                found.setdefault(fact, {}).setdefault(value, []).append(name)
    rows = [
        (fact, clip(value, 240), "all" if len(names) == len(runs) else ", ".join(names))
        for fact, values in found.items()
        for value, names in values.items()
    ]
    if len(runs) == 1:
        return Table("Environment", ("what", "value"), [row[:2] for row in rows]) if rows else None
    return Table("Environment", ("what", "value", "stages"), rows) if rows else None


def inputs_table(work: Work) -> Table | None:
    """Every model and file that was read, the digest's beginning, and the stages that read it."""
    readers: dict[tuple[str, str], dict[str, None]] = {}
    for stage in work.stages:
        for read in stage.run.inputs if stage.run else []:
            readers.setdefault((read.path, read.digest), {})[stage.name] = None
    rows = [(clip(path), digest[:12], ", ".join(who)) for (path, digest), who in readers.items()]
    return Table("Inputs", ("file or model", "digest", "read by"), rows) if rows else None


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
    return Table("What was made from what", head, rows, note=LINEAGE_NOTE) if rows else None


def config_table(stage: Stage) -> Table | None:
    """Every value of a stage's configuration with its source; what is not a default is set bold."""
    if stage.run is None or not stage.run.config:
        return None
    sources = as_dict(stage.run.info.get("config_sources"))
    rows = [
        (key, clip(plain(value)), plain(sources.get(key, "")))
        for key, value in stage.run.config.items()
    ]
    chosen = {i for i, row in enumerate(rows) if row[2] and not row[2].startswith("default")}
    summary = f"{stage.name}: {plural(len(rows), 'value')}, {len(chosen)} of them chosen"
    return Table(summary, ("key", "value", "source"), rows, (), frozenset(chosen))


def differences_table(runs: Sequence[Run]) -> Table:
    """The configuration values in which the runs differ; where they stand does not count."""
    rows = []
    for key in dict.fromkeys(key for run in runs for key in run.config if key != "out"):
        values = [clip(plain(run.config[key])) if key in run.config else "" for run in runs]
        if len(set(values)) > 1:
            rows.append((key, *values))
    return Table("", ("key", *(run.name for run in runs)), rows)


def results_table(runs: Sequence[Run], stages: Sequence[Stage]) -> Table:
    """One line a run: its headline, its steps, its time."""
    rows = [
        (
            run.name,
            headline(run) or "nothing recorded",
            f"{run.steps:,}",
            duration(stage.seconds) if stage.seconds is not None else "",
        )
        for run, stage in zip(runs, stages, strict=True)
    ]
    return Table("", ("run", "result", "steps", "time"), rows, (2, 3))


def _short_path(path: str) -> str:
    parts = Path(path).parts
    return clip(path if len(parts) < 3 else "…/" + "/".join(parts[-2:]))


def _few(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) < 4 else f"{len(names)}: {names[0]} … {names[-1]}"


def _flat(key: str, value: object) -> list[tuple[str, str]]:
    if value is None or value == {} or value == []:
        return []
    if isinstance(value, dict):
        flat = {name: item for name, item in value.items() if not isinstance(item, dict)}
        return [(f"{key}: {name}", plain(item)) for name, item in flat.items()]
    return [(key.replace("_", " "), plain(value))]


def _gib(size: float) -> str:
    return f"{size / 2**30:.2f} GiB"


def _reading(key: str, values: list[float]) -> tuple[str, str, str]:
    mean, total, peak = sum(values) / len(values), sum(values), max(values)
    if key.startswith("timing/"):
        return duration(mean), duration(total), duration(peak)
    return number(mean), "", number(peak)
