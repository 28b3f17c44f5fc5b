"""Read a run directory, or a pipeline of them, into plain values.

Only `run.json` must be there; the rest may be missing or empty.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from instructgpt.errors import UserError
from instructgpt.report.read.kinds import KINDS
from instructgpt.run.files import parse_json, parse_yaml, read_json, read_text

Json = dict[str, Any]
PEAK = "memory/peak_bytes"


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval: an accuracy, a win rate. All are shares between 0 and 1."""

    estimate: float
    low: float
    high: float
    n: int | None

    @classmethod
    def parse(cls, raw: object) -> "Interval | None":
        """Read `{"estimate", "low", "high", "n"}`; None where no finite estimate stands."""
        if not isinstance(raw, dict) or not is_finite(raw.get("estimate")):
            return None
        estimate = float(raw["estimate"])
        low, high = (raw.get(side) for side in ("low", "high"))
        n = raw.get("n")
        return cls(
            estimate,
            float(low) if is_finite(low) else estimate,
            float(high) if is_finite(high) else estimate,
            int(n) if is_finite(n) else None,
        )

    def overlaps(self, other: "Interval") -> bool:
        """Do the two have a value in common?"""
        return self.low <= other.high and other.low <= self.high


@dataclass(frozen=True)
class Series:
    """One metric over the run, in the order it was written; what is not finite is NaN."""

    steps: np.ndarray
    values: np.ndarray

    def ends(self) -> tuple[float, float]:
        """The means of the first and of the last twentieth of the finite values."""
        finite = self.values[np.isfinite(self.values)]
        count = max(1, len(finite) // 20)
        return float(finite[:count].mean()), float(finite[-count:].mean())


MODELS = frozenset("policy scorer trunk judge tokenizer".split())
"""The kinds of inputs that are models; the others are files of data."""


@dataclass(frozen=True)
class Input:
    """A model or a file that a run read, as `run.json` names it; without a digest where it says
    none.
    """

    path: str
    digest: str
    is_model: bool


@dataclass(frozen=True)
class Run:
    """What one run directory holds."""

    name: str
    info: Json
    path: Path = Path()
    config: Json = field(default_factory=dict)
    metrics: list[Json] = field(default_factory=list)
    timings: list[Json] = field(default_factory=list)
    samples: list[Json] = field(default_factory=list)
    evaluation: Json = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def stage(self) -> str:
        """The kind of the run: sft, reward, ppo, evaluate, ..."""
        name = str(self.info.get("stage") or "run")
        kind = name.partition("-")[0]
        return kind if kind in KINDS else name

    @property
    def inputs(self) -> list[Input]:
        """What was read, in the order of the configuration."""
        listed = self.info.get("inputs")
        rows = map(as_dict, listed if isinstance(listed, list) else [])
        return [
            Input(row["path"], str(row.get("digest") or ""), row.get("kind") in MODELS)
            for row in rows
            if isinstance(row.get("path"), str) and (row.get("kind") != "judge" or "digest" in row)
        ]

    @property
    def seconds(self) -> float | None:
        """How long it took by its own clock, from `started` to `finished`."""
        started, finished = (clock(self.info.get(key)) for key in ("started", "finished"))
        if started is None or finished is None or finished < started:
            return None
        return finished - started

    @property
    def steps(self) -> int:
        """The last optimizer step of which a metric was recorded."""
        found = [line["step"] for line in self.metrics if is_finite(line.get("step"))]
        return int(max(found, default=0))

    @property
    def peak_memory(self) -> float | None:
        """The highest reading of the process's peak memory, in bytes."""
        readings = [line[PEAK] for line in self.timings if is_finite(line.get(PEAK))]
        return max(readings, default=None)

    def series(self, name: str) -> Series | None:
        """The metric called `name`, or None if no finite value of it was recorded."""
        found = [
            (line["step"], line[name] if is_finite(line[name]) else np.nan)
            for line in self.metrics
            if is_number(line.get(name)) and is_finite(line.get("step"))
        ]
        if not any(is_finite(value) for _, value in found):
            return None
        steps, values = zip(*found, strict=True)
        return Series(np.array(steps, np.float64), np.array(values, np.float64))

    def metric_names(self) -> list[str]:
        """Every metric of which a number was recorded, in order of first appearance."""
        names = {
            name: None
            for line in self.metrics
            for name, value in line.items()
            if name != "step" and is_number(value)
        }
        return list(names)


@dataclass(frozen=True)
class Stage:
    """One line of `pipeline.json`, with its run where the directory holds one."""

    name: str
    kind: str
    status: str
    seconds: float | None
    run: Run | None
    round: int | None = None
    path: Path = Path()


@dataclass(frozen=True)
class Work:
    """What a report is about: a pipeline, or one run taken as a pipeline of one stage."""

    name: str
    stages: tuple[Stage, ...]
    is_pipeline: bool
    path: Path = Path()


def is_number(value: object) -> TypeGuard[float]:
    """Is this a JSON number (NaN and the infinities included, booleans not)?"""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_finite(value: object) -> TypeGuard[float]:
    """Is this a JSON number that can be drawn?"""
    return is_number(value) and abs(value) <= sys.float_info.max


def as_dict(value: object) -> Json:
    """The JSON object, or an empty one where something else stands."""
    return value if isinstance(value, dict) else {}


def as_texts(value: object) -> list[str]:
    """The texts of a JSON array; a text alone is an array of one."""
    values = value if isinstance(value, list) else [value]
    return [item for item in values if isinstance(item, str) and item]


def intervals(raw: object) -> dict[str, Interval]:
    """The entries of a JSON object that are intervals, by name."""
    parsed = {str(name): Interval.parse(value) for name, value in as_dict(raw).items()}
    return {name: interval for name, interval in parsed.items() if interval}


def load(path: Path) -> Work:
    """Read a run directory or a pipeline directory."""
    if not (path / "pipeline.json").is_file():
        run = load_run(path)
        status = str(run.info.get("status") or "unknown")
        stage = Stage(run.name, run.stage, status, run.seconds, run, path=run.path)
        return Work(run.name, (stage,), is_pipeline=False, path=run.path)
    plan = _read_object(path / "pipeline.json")
    rows = plan.get("stages")
    rows = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    stages = tuple(_load_stage(path, row) for row in rows)
    name = str(plan.get("name") or path.resolve().name)
    return Work(name, stages, is_pipeline=True, path=path.resolve())


def load_run(path: Path) -> Run:
    """Read one run directory."""
    if not (path / "run.json").is_file():
        raise UserError(f"{path}: no run.json or pipeline.json here; give the folder of a run")
    notes: list[str] = []
    metrics, timings, samples = (
        _read_lines(path / f"{name}.jsonl", notes) for name in ("metrics", "timings", "samples")
    )
    return Run(
        name=path.resolve().name,
        info=_read_object(path / "run.json"),
        path=path.resolve(),
        config=_read_config(path / "config.yaml", notes),
        metrics=metrics,
        timings=timings,
        samples=samples,
        evaluation=_read_optional(path / "evaluation.json", notes),
        notes=tuple(notes),
    )


def _load_stage(root: Path, row: Json) -> Stage:
    directory = root / str(row.get("dir") or row.get("name") or "")
    run = load_run(directory) if (directory / "run.json").is_file() else None
    seconds = row.get("seconds")
    if not is_finite(seconds):
        seconds = run.seconds if run else None
    return Stage(
        name=str(row.get("name") or directory.name),
        kind=str(row.get("kind") or (run.stage if run else "run")),
        status=str(row.get("status") or "unknown"),
        seconds=None if seconds is None else float(seconds),
        run=run,
        round=int(row["round"]) if is_finite(row.get("round")) else None,
        path=directory.resolve(),
    )


def clock(value: object) -> float | None:
    """Seconds since 1970 of a time as `run.json` writes it; None where it is none."""
    if isinstance(value, str):
        try:
            return datetime.fromisoformat(value).timestamp()
        except ValueError:
            return None
    return float(value) if is_finite(value) else None


def _read_object(path: Path) -> Json:
    return read_json(path, "restore it; was it written to the end?")


def _read_optional(path: Path, notes: list[str]) -> Json:
    if not path.is_file() or path.stat().st_size == 0:
        return {}
    try:
        return _read_object(path)
    except UserError:
        notes.append(f"{path.name} could not be read and was left out.")
        return {}


def _read_lines(path: Path, notes: list[str]) -> list[Json]:
    """JSON lines. A killed run leaves a last line cut short; any other bad line is noted."""
    if not path.is_file():
        return []
    try:
        lines = path.read_text("utf-8", errors="replace").split("\n")
    except OSError as error:
        notes.append(f"{path.name} cannot be read ({error.strerror}) and was left out.")
        return []
    good = list(_objects(lines[:-1]))
    bad = sum(bool(line.strip()) for line in lines[:-1]) - len(good)
    if bad:
        notes.append(f"{bad} unreadable line{'s' * (bad > 1)} of {path.name} left out.")
    return good + list(_objects(lines[-1:]))


def _objects(lines: list[str]) -> Iterator[Json]:
    for line in lines:
        try:
            value = parse_json(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            yield value


def _read_config(path: Path, notes: list[str]) -> Json:
    if not path.is_file():
        return {}
    try:
        value = parse_yaml(read_text(path, ""))
    except ValueError:
        notes.append(f"{path.name} is not valid YAML and was left out.")
        return {}
    return {str(key): item for key, item in value.items()} if isinstance(value, dict) else {}
