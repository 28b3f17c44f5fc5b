"""What `eval` and `eval suite` found: models by tasks, and the differences from the first model."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from instructgpt.report.read.values import Estimate, Json, as_dict, as_dicts, is_finite

LEVEL = 0.95
"""Of every interval."""


@dataclass(frozen=True)
class Cell:
    """One figure of one model.

    Attributes:
        value: with its interval; None where it was not measured.
        reason: why not.
        difference: from the first model's, of the paired items; None of the first model itself,
            and where its interval is not known, as with a single item.
    """

    value: Estimate | None
    reason: str = ""
    difference: Estimate | None = None

    @property
    def is_significant(self) -> bool:
        """Does the interval of the difference leave 0 out?"""
        d = self.difference
        return d is not None and (d.low > 0 or d.high < 0)


@dataclass(frozen=True)
class Figure:
    """A row of the table: one metric of one task, under one prompt, after so many examples.

    Attributes:
        key: the task's name, and the number of examples where there are some.
        task: its name.
        title: what tables call it.
        takes_shots: whether it was measured after several numbers of examples.
        in_table: whether table 14 of the paper has it.
        percent: whether it is in percent, or in points of 100 as BLEU; else between 0 and 1.
        higher_is_better: None where neither is.
        judges: how good each judge behind it is; empty where nobody has measured one.
        cells: by model.
    """

    key: str
    task: str
    title: str
    metric: str
    prompt: str
    shots: int
    takes_shots: bool
    in_table: bool
    percent: bool
    higher_is_better: bool | None
    judges: dict[str, Json]
    cells: dict[str, Cell] = field(default_factory=dict)

    def is_better(self, model: str) -> bool | None:
        """Whether a significant difference is one for the better; None where neither is."""
        difference = self.cells[model].difference
        if self.higher_is_better is None or difference is None:
            return None
        return (difference.value > 0) is self.higher_is_better


class Endings(NamedTuple):
    """How a model's texts under one prompt ended; `count` is how many there are."""

    key: str
    title: str
    prompt: str
    shots: int
    model: str
    count: int
    newline: int
    end: int
    cut: int
    empty: int
    cut_prompt: int


@dataclass(frozen=True)
class Benchmark:
    """All figures of a run, the models in order; the first is what the others are compared with."""

    models: list[str]
    figures: list[Figure]
    endings: list[Endings]

    @property
    def first(self) -> str:
        """The model that the others are compared with."""
        return self.models[0]

    @property
    def others(self) -> list[str]:
        """Those that are compared with it."""
        return self.models[1:]

    @property
    def is_measured(self) -> bool:
        """Is there one figure at least?"""
        return any(cell.value for figure in self.figures for cell in figure.cells.values())

    @classmethod
    def parse(cls, results: Json) -> "Benchmark | None":
        """Read `results.json`; None where no model stands."""
        models = {str(name): as_dict(raw) for name, raw in as_dict(results.get("models")).items()}
        found: dict[tuple[str, str, str], Figure] = {}
        several = _measured_several_times(models)
        for model, tasks in models.items():
            for key, raw in tasks.items():
                task = as_dict(raw)
                for one in as_dicts(task.get("figures")):
                    place = (key, str(one.get("prompt") or ""), str(one.get("metric") or ""))
                    row = found.setdefault(place, _figure(key, task, one, several))
                    row.cells[model] = _cell(one)
        if not found:
            return None
        for figure in found.values():
            for model in models:
                figure.cells.setdefault(model, Cell(None, "this model was not asked"))
        endings = [ending for name, tasks in models.items() for ending in _endings(name, tasks)]
        return cls(list(models), list(found.values()), endings)

    def to_json(self) -> Json:
        """The table as data: a row for each figure, and in it a cell for each model."""
        return {
            "models": self.models,
            "compared_with": self.first,
            "level": LEVEL,
            "corrected_for_many_comparisons": False,
            "rows": [_row(figure) for figure in self.figures],
        }


def _row(figure: Figure) -> Json:
    about = {key: value for key, value in vars(figure).items() if key not in ("key", "cells")}
    return about | {"cells": {model: _cell_json(cell) for model, cell in figure.cells.items()}}


def _cell_json(cell: Cell) -> Json:
    value = cell.value
    return {
        **(_interval(value) if value else dict.fromkeys(("estimate", "low", "high", "n"))),
        "status": "measured" if value else "not measured",
        "reason": cell.reason,
        "difference": cell.difference
        and _interval(cell.difference) | {"significant": cell.is_significant},
    }


def _interval(estimate: Estimate) -> Json:
    low, high = estimate.low, estimate.high
    return {"estimate": estimate.value, "low": low, "high": high, "n": estimate.n}


def _measured_several_times(models: dict[str, Json]) -> set[str]:
    keys = {(str(as_dict(t).get("task")), key) for own in models.values() for key, t in own.items()}
    tasks = [task for task, _ in keys]
    return {task for task in tasks if tasks.count(task) > 1}


def _figure(key: str, task: Json, one: Json, several: set[str]) -> Figure:
    name, shots = str(task.get("task") or key), task.get("shots")
    better = one.get("higher_is_better")
    scale, judges = one.get("scale"), as_dict(one.get("judges"))
    return Figure(
        key=key,
        task=name,
        title=str(task.get("title") or name),
        metric=str(one.get("metric") or ""),
        prompt=str(one.get("prompt") or ""),
        shots=int(shots) if is_finite(shots) else 0,
        takes_shots=name in several,
        in_table=one.get("in_table") is not False,
        percent=is_finite(scale) and scale == 100,
        higher_is_better=better if isinstance(better, bool) else None,
        judges={str(name): as_dict(quality) for name, quality in judges.items()},
    )


def _cell(one: Json) -> Cell:
    value = Estimate.parse(one) if one.get("status") != "not measured" else None
    reason = "" if value else str(one.get("reason") or "nobody says why")
    difference = as_dict(one.get("difference"))
    bounded = all(is_finite(difference.get(end)) for end in ("low", "high"))
    return Cell(value, reason, Estimate.parse(difference) if bounded else None)


def _endings(model: str, tasks: Json) -> Iterator[Endings]:
    names = ("texts", "newline", "end", "cut", "empty", "cut_prompt")
    for key, raw in tasks.items():
        task = as_dict(raw)
        shots = task.get("shots")
        title = str(task.get("title") or key)
        for prompt, counts in as_dict(task.get("endings")).items():
            numbers = [as_dict(counts).get(name) for name in names]
            yield Endings(
                key,
                title,
                str(prompt),
                int(shots) if is_finite(shots) else 0,
                model,
                *(int(number) if is_finite(number) else 0 for number in numbers),
            )
