"""The tables of a report: rankings, stages, clock readings, environment, data, configuration."""

from collections.abc import Sequence
from pathlib import PurePath
from typing import NamedTuple

from instructgpt.report.read.kinds import kind_of
from instructgpt.report.read.lineage import sources
from instructgpt.report.read.rankings import groups
from instructgpt.report.read.values import as_dict, is_finite
from instructgpt.report.read.work import MEMORY, StageRun, Work
from instructgpt.report.tell.story import headline
from instructgpt.report.tell.words import clip, duration, number, percent, plain, plural, share

RUN_FACTS = ("command", "git_commit", "seed", "machine", "tuning", "versions")
READINGS = {
    "timing/train": "training steps",
    "timing/collect": "collecting answers",
    "throughput/tokens_per_second": "tokens per second",
    "throughput/episodes_per_second": "answers per second",
}
LINEAGE_NOTE = (
    "What each stage started from, by the paths in its run.json; digests are under Inputs."
)
STAGES_NOTE = (
    "Peak memory is the most that the process had held so far. The stages of a pipeline share one "
    "process, so it never falls: ≤ marks a stage that set no new peak, and may have needed less."
)


class Table(NamedTuple):
    """A table of texts: `numeric` columns are set flush right, `strong` rows bold."""

    title: str
    head: tuple[str, ...]
    rows: list[tuple[str, ...]]
    numeric: tuple[int, ...] = ()
    strong: frozenset[int] = frozenset()
    note: str = ""


def lineage_table(work: Work) -> Table | None:
    """One line a stage: models and data that it took."""
    rows: list[tuple[str, ...]] = []
    for stage, source in zip(work.stages, sources(work), strict=True):
        cells = [
            ", ".join([*(work.stages[i].name for i in inside), *map(_short_path, outside)])
            for inside, outside in (
                (source.models, source.outside_models),
                (source.data, source.outside_data),
            )
        ]
        if any(cells):
            rows.append((stage.name, *cells))
    head = ("stage", "model from", "data from")
    return Table("What was made from what", head, rows, note=LINEAGE_NOTE) if rows else None


def stages_table(work: Work) -> Table:
    """One line a stage: what, how it ended, when it began, how long and how large it was."""
    rows: list[tuple[str, ...]] = []
    before = 0.0
    for stage in work.stages:
        peak = stage.peak_memory
        same = peak is not None and abs(peak - before) <= 0.001 * before
        rows.append(
            (
                stage.name,
                kind_of(stage.kind).title + (f", round {stage.round}" if stage.round > 1 else ""),
                stage.status,
                plain(stage.info.get("started") or ""),
                f"{stage.steps:,}" if stage.metrics else "",
                duration(stage.seconds) if stage.seconds else "",
                "" if peak is None else ("≤ " if same else "") + f"{peak / 2**30:.2f} GiB",
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
    for stage in work.runs:
        readings: dict[str, list[float]] = {}
        for line in stage.timings:
            for key, value in line.items():
                if key not in ("step", MEMORY) and is_finite(value):
                    readings.setdefault(key, []).append(value)
        rows += [
            (stage.name, READINGS.get(key, key), *_reading(key, values))
            for key, values in readings.items()
        ]
    head = ("stage", "reading", "mean", "total", "peak")
    return Table("Readings of the clock", head, rows, (2, 3, 4)) if rows else None


def rankings_table(runs: Sequence[StageRun]) -> Table | None:
    """One line a group of labelers: who ranked how much, agreement, ties."""
    rows = [
        (
            run.name,
            group.label,
            _few(group.labelers),
            "" if group.rankings is None else f"{group.rankings:,}",
            share(group.agreement) if group.agreement else "not measured",
            "" if group.tied is None else percent(group.tied),
        )
        for run in runs
        for group in groups(run)
    ]
    head = ("stage", "group", "labelers", "rankings", "agreement", "tied pairs")
    note = "Agreement: the share of pairs that two labelers order alike, with its 95 % interval."
    return Table("Who ranked", head, rows, (3, 4, 5), note=note) if rows else None


def environment_table(work: Work) -> Table | None:
    """What `run.json` says of machine, versions and command, without the reasons it gives.

    What all stages share stands once.
    """
    found: dict[str, dict[str, list[str]]] = {}
    runs = work.runs
    for run in runs:
        for key in RUN_FACTS:
            for fact, value in _flat(key, run.info.get(key)):
                found.setdefault(fact, {}).setdefault(value, []).append(run.name)
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
    for run in work.runs:
        for read in run.inputs:
            readers.setdefault((read.path, read.digest), {})[run.name] = None
    rows = [(clip(path), digest[:12], ", ".join(who)) for (path, digest), who in readers.items()]
    return Table("Inputs", ("file or model", "digest", "read by"), rows) if rows else None


def config_table(run: StageRun) -> Table | None:
    """Every value of a stage's configuration with its source; what is not a default is set bold."""
    if not run.config:
        return None
    origins = as_dict(run.info.get("config_sources"))
    rows = [(k, clip(plain(value)), plain(origins.get(k, ""))) for k, value in run.config.items()]
    chosen = {i for i, row in enumerate(rows) if row[2] and not row[2].startswith("default")}
    summary = f"{run.name}: {plural(len(rows), 'value')}, {len(chosen)} of them chosen"
    return Table(summary, ("key", "value", "source"), rows, (), frozenset(chosen))


def differences_table(runs: Sequence[StageRun]) -> Table:
    """The configuration values in which the runs differ; where they stand does not count."""
    rows = []
    for key in dict.fromkeys(key for run in runs for key in run.config if key != "out"):
        values = [clip(plain(run.config[key])) if key in run.config else "" for run in runs]
        if len(set(values)) > 1:
            rows.append((key, *values))
    return Table("", ("key", *(run.name for run in runs)), rows)


def results_table(runs: Sequence[StageRun]) -> Table:
    """One line a run: its headline, its steps, its time."""
    rows = [
        (
            run.name,
            headline(run) or "nothing recorded",
            f"{run.steps:,}",
            "" if run.seconds is None else duration(run.seconds),
        )
        for run in runs
    ]
    return Table("", ("run", "result", "steps", "time"), rows, (2, 3))


def _few(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) < 4 else f"{len(names)}: {names[0]} … {names[-1]}"


def _flat(key: str, value: object) -> list[tuple[str, str]]:
    if value is None or value == {} or value == []:
        return []
    if isinstance(value, dict):
        flat = {name: item for name, item in value.items() if not isinstance(item, dict)}
        return [(f"{key}: {name}", plain(item)) for name, item in flat.items()]
    return [(key.replace("_", " "), plain(value))]


def _short_path(path: str) -> str:
    parts = PurePath(path).parts
    return clip(path if len(parts) < 3 else "…/" + "/".join(parts[-2:]))


def _reading(key: str, values: list[float]) -> tuple[str, str, str]:
    mean, total, peak = sum(values) / len(values), sum(values), max(values)
    if key.startswith("timing/"):
        return duration(mean), duration(total), duration(peak)
    return number(mean), "", number(peak)
