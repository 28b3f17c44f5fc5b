"""What a report is about: the stages of a pipeline, or one run, as they stand on the disk."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np

from instructgpt.report.read.values import Estimate, Json, as_dicts, is_finite, is_number

MODELS = frozenset("policy scorer trunk judge tokenizer".split())
"""The kinds of inputs that are models; the others are files of data."""
MEMORY = "memory/peak_bytes"


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


class RecordedInput(NamedTuple):
    """A model or a file that a run read, as `run.json` names it; without a digest where it says
    none.
    """

    path: str
    digest: str
    is_model: bool


@dataclass(frozen=True)
class StageRun:
    """What one run directory holds, and what `pipeline.json` says of it.

    A stage that has left no run directory is one that never `ran`, with nothing in it.
    """

    name: str
    kind: str
    info: Json = field(default_factory=dict)
    status: str = "unknown"
    seconds: float | None = None
    round: int = 1
    path: Path = Path()
    config: Json = field(default_factory=dict)
    metrics: list[Json] = field(default_factory=list)
    timings: list[Json] = field(default_factory=list)
    samples: list[Json] = field(default_factory=list)
    evaluation: Json = field(default_factory=dict)
    results: Json = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    ran: bool = True

    @property
    def inputs(self) -> list[RecordedInput]:
        """What was read, in the order of the configuration."""
        return [
            RecordedInput(row["path"], str(row.get("digest") or ""), row.get("kind") in MODELS)
            for row in as_dicts(self.info.get("inputs"))
            if isinstance(row.get("path"), str) and (row.get("kind") != "judge" or "digest" in row)
        ]

    @property
    def steps(self) -> int:
        """The last optimizer step of which a metric was recorded."""
        found = [line["step"] for line in self.metrics if is_finite(line.get("step"))]
        return int(max(found, default=0))

    @property
    def peak_memory(self) -> float | None:
        """The highest reading of the process's peak memory, in bytes."""
        found = [line[MEMORY] for line in self.timings if is_finite(line.get(MEMORY))]
        return max(found, default=None)

    def estimate(self, name: str) -> Estimate | None:
        """A value of `evaluation.json` that has an interval."""
        return Estimate.parse(self.evaluation.get(name))

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
class Work:
    """A pipeline, or one run taken as a pipeline of one stage."""

    name: str
    stages: tuple[StageRun, ...]
    is_pipeline: bool
    path: Path = Path()

    @property
    def runs(self) -> list[StageRun]:
        """The stages that left a run directory."""
        return [stage for stage in self.stages if stage.ran]

    def last(self, kind: str) -> StageRun | None:
        """The last run of a kind."""
        return next((run for run in reversed(self.runs) if run.kind == kind), None)


def clock(value: object) -> datetime | None:
    """A time as `run.json` writes it; None where it is none."""
    try:
        return datetime.fromisoformat(value).astimezone(UTC) if isinstance(value, str) else None
    except (ValueError, OverflowError):
        return None
