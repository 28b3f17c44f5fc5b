"""The tables at the end of a report: stages, clock readings, environment, configuration."""

from collections.abc import Sequence
from typing import NamedTuple

from instructgpt.report.load import Run, Stage, Work, is_finite
from instructgpt.report.story import headline, steps, title
from instructgpt.report.words import clip, duration, number, plain, plural

RUN_FACTS = (
    "command",
    "git_commit",
    "seed",
    "started",
    "finished",
    "parents",
    "machine",
    "versions",
    "data",
)


class Table(NamedTuple):
    """A table of texts: `numeric` columns are set flush right, `strong` rows bold."""

    title: str
    head: tuple[str, ...]
    rows: list[tuple[str, ...]]
    numeric: tuple[int, ...] = ()
    strong: frozenset[int] = frozenset()


def stages_table(work: Work) -> Table:
    """One line a stage: what, how it ended, how long."""
    rows = [
        (
            stage.name,
            title(stage.kind),
            stage.status,
            f"{steps(stage.run):,}" if stage.run and stage.run.metrics else "",
            duration(stage.seconds) if stage.seconds is not None else "",
        )
        for stage in work.stages
    ]
    if len(rows) > 1:
        total = sum(stage.seconds or 0 for stage in work.stages)
        rows.append(("total", "", "", "", duration(total)))
    strong = frozenset({len(rows) - 1} if len(rows) > 1 else ())
    return Table("Stages", ("stage", "what", "status", "steps", "time"), rows, (3, 4), strong)


def timings_table(work: Work) -> Table | None:
    """Means, totals and peaks of `timings.jsonl`."""
    rows = []
    for stage in work.stages:
        readings: dict[str, list[float]] = {}
        for line in stage.run.timings if stage.run else []:
            for key, value in line.items():
                if key != "step" and is_finite(value):
                    readings.setdefault(key, []).append(value)
        rows += [(stage.name, key, *_reading(key, values)) for key, values in readings.items()]
    head = ("stage", "reading", "mean", "total", "peak")
    return Table("Time and memory", head, rows, (2, 3, 4)) if rows else None


def environment_table(work: Work) -> Table | None:
    """What `run.json` says of machine, versions, data, lineage; what all share stands once."""
    found: dict[str, dict[str, list[str]]] = {}
    runs = [(stage.name, stage.run) for stage in work.stages if stage.run]
    for name, run in runs:
        for key in RUN_FACTS:
            for fact, value in _flat(key, run.info.get(key)):
                found.setdefault(fact, {}).setdefault(value, []).append(name)
    rows = [
        (fact, clip(value), "all" if len(names) == len(runs) else ", ".join(names))
        for fact, values in found.items()
        for value, names in values.items()
    ]
    if len(runs) == 1:
        return Table("Environment", ("what", "value"), [row[:2] for row in rows]) if rows else None
    return Table("Environment", ("what", "value", "stages"), rows) if rows else None


def config_table(stage: Stage) -> Table | None:
    """Every value of a stage's configuration with its source; what is not a default is set bold."""
    if stage.run is None or not stage.run.config:
        return None
    raw = stage.run.info.get("config_sources")
    sources = raw if isinstance(raw, dict) else {}
    rows = [
        (key, clip(plain(value)), plain(sources.get(key, "")))
        for key, value in stage.run.config.items()
    ]
    chosen = {i for i, row in enumerate(rows) if row[2] and not row[2].startswith("default")}
    summary = f"{stage.name}: {plural(len(rows), 'value')}, {len(chosen)} of them chosen"
    return Table(summary, ("key", "value", "source"), rows, (), frozenset(chosen))


def differences_table(runs: Sequence[Run]) -> Table:
    """The configuration values in which the runs differ."""
    rows = []
    for key in dict.fromkeys(key for run in runs for key in run.config):
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
            f"{steps(run):,}",
            duration(stage.seconds) if stage.seconds is not None else "",
        )
        for run, stage in zip(runs, stages, strict=True)
    ]
    return Table("", ("run", "result", "steps", "time"), rows, (2, 3))


def _flat(key: str, value: object) -> list[tuple[str, str]]:
    if value is None or value == {} or value == []:
        return []
    if isinstance(value, dict):
        return [(f"{key}: {name}", plain(item)) for name, item in value.items()]
    return [(key.replace("_", " "), plain(value))]


def _reading(key: str, values: list[float]) -> tuple[str, str, str]:
    mean, total, peak = sum(values) / len(values), sum(values), max(values)
    if key.startswith("timing/"):
        return duration(mean), duration(total), duration(peak)
    if "memory" in key:
        gib = 2**30 if key.endswith("bytes") else 1
        unit = " GiB" if gib > 1 else ""
        return number(mean / gib) + unit, "", number(peak / gib) + unit
    return number(mean), "", number(peak)
