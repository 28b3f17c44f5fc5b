"""The table of benchmarks, as the paper's table 14: what stands in each cell, in words."""

import string
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from instructgpt.report.read.benchmark import Benchmark, Cell, Figure
from instructgpt.report.read.values import Estimate, as_dicts, is_finite
from instructgpt.report.tell.words import listed, number, plural

NOT_MEASURED = "—"
SPOKEN = {
    "f1": "F1",
    "bleu": "BLEU",
    "rouge_l": "ROUGE-L",
    "qa": "QA",
    "auc": "AUC",
    "always_one_word": "saying always one word",
}
COMPARED = (
    "Each figure has its 95 % interval, clustered by item. Below it stands the difference from "
    "{first} with the 95 % interval of the paired items, on which both models were asked the same; "
    "n.s.: not significant, the interval contains 0. Nothing is corrected for the number of "
    "comparisons: of 20 between equal models about one leaves 0 out."
)
ALONE = "Each figure has its 95 % interval, clustered by item."


class BoardCell(NamedTuple):
    """What a cell says.

    Attributes:
        value, interval: of the model.
        difference, bounds: from the first model.
        verdict: `n.s.`, `better`, `worse`; `higher` or `lower` where neither is better.
        mark: of the note that says why nothing was measured.
    """

    value: str
    interval: str = ""
    difference: str = ""
    bounds: str = ""
    verdict: str = ""
    mark: str = ""


class BoardRow(NamedTuple):
    """One prompt, after so many examples; `count` says how many items."""

    label: str
    count: str
    cells: tuple[BoardCell, ...]


class BoardGroup(NamedTuple):
    """One metric of one task; `judges` says how good they are."""

    title: str
    metric: str
    direction: str
    judges: tuple[str, ...]
    rows: list[BoardRow]


class Board(NamedTuple):
    """The table; `notes` are the marks with what they stand for."""

    title: str
    caption: str
    models: tuple[str, ...]
    groups: list[BoardGroup]
    notes: list[tuple[str, str]]
    absent: str = f"{NOT_MEASURED} not measured"

    @property
    def names(self) -> str:
        """What it is about: every task with its metrics."""
        by_task: dict[str, list[str]] = {}
        for group in self.groups:
            by_task.setdefault(group.title, []).append(group.metric)
        return "; ".join(f"{task} {listed(metrics)}" for task, metrics in by_task.items())


def board(benchmark: Benchmark, *, in_table: bool = True) -> Board:
    """Table 14 of these models, or all further figures of the same tasks."""
    marks: dict[str, str] = {}
    chosen = [figure for figure in benchmark.figures if figure.in_table is in_table]
    made = [
        BoardGroup(
            figures[0].title,
            spoken(figures[0].metric),
            direction(figures[0]),
            tuple(judged(figures[0])),
            [_row(benchmark, figure, marks) for figure in figures],
        )
        for figures in groups(chosen)
    ]
    title = "In the layout of the paper's table 14" if in_table else "Further figures"
    caption = COMPARED.format(first=benchmark.first) if benchmark.others else ALONE
    notes = [(mark, reason) for reason, mark in marks.items()]
    return Board(title, caption, tuple(benchmark.models), made, notes)


def groups(figures: Iterable[Figure]) -> list[list[Figure]]:
    """Figures of a task and metric together: by prompt, and by number of examples within it."""
    found: dict[str, dict[str, dict[str, list[Figure]]]] = {}
    for one in figures:
        by_prompt = found.setdefault(one.task, {}).setdefault(one.metric, {})
        by_prompt.setdefault(one.prompt, []).append(one)
    return [
        [one for rows in by_prompt.values() for one in sorted(rows, key=lambda row: row.shots)]
        for by_metric in found.values()
        for by_prompt in by_metric.values()
    ]


def label(figure: Figure) -> str:
    """Under which prompt, after how many examples."""
    shown = figure.shots or figure.takes_shots or not figure.prompt
    return ", ".join(filter(None, (spoken(figure.prompt), examples(figure.shots) if shown else "")))


def examples(shots: int) -> str:
    """`5-shot`, as a table says it."""
    return f"{shots}-shot" if shots else "zero-shot"


def spoken(name: str) -> str:
    """A name of the code as a reader says it."""
    return SPOKEN.get(name) or name.replace("_", " ")


def direction(figure: Figure) -> str:
    """Which way is better, where one is."""
    if figure.higher_is_better is None:
        return ""
    return "higher is better" if figure.higher_is_better else "lower is better"


def judged(figure: Figure) -> Iterator[str]:
    """How good each judge behind a figure is, on every file on which somebody has measured it."""
    for name, quality in figure.judges.items():
        measurements = [quality, *as_dicts(quality.get("others"))]
        said = "; ".join(filter(None, (", ".join(_facts(one)) for one in measurements)))
        yield f"judge of {name}: {said or 'nobody has measured how good it is'}"


def _facts(quality: dict[str, Any]) -> Iterator[str]:
    """Accuracy, AUC, n and the file; besides what saying always one word would reach."""
    for key, value in quality.items():
        if estimate := Estimate.parse(value):
            count = f", n = {estimate.n:,}" if estimate.n is not None else ""
            low, high = (f"{end:.3f}" for end in (estimate.low, estimate.high))
            yield f"{spoken(key)} {estimate.value:.3f} [{low}, {high}]{count}"
        elif key == "n" and is_finite(value):
            yield f"n = {int(value):,}"
        elif key in ("accuracy", "auc", "always_one_word") and is_finite(value):
            yield f"{spoken(key)} {number(value)}"
        elif key == "on" and isinstance(value, str) and value:
            yield f"on {value}"


def decimals(figure: Figure) -> int:
    """Three of a share, two of a figure up to 100, as the paper prints them."""
    values = [cell.value.value for cell in figure.cells.values() if cell.value]
    return 2 if figure.percent or any(abs(value) > 2 for value in values) else 3


def written(value: float, places: int, *, signed: bool = False) -> str:
    """A number with a true minus sign; what rounds to 0 has none.

    >>> written(-0.1234, 3, signed=True), written(-0.0001, 3, signed=True), written(12.5, 2)
    ('−0.123', '0.000', '12.50')
    """
    rounded = round(value, places) + 0.0  # and no negative zero
    text = f"{rounded:{'+' if signed and rounded else ''}.{places}f}"
    return text.replace("-", "−")


def verdict(figure: Figure, model: str) -> str:
    """What a model's difference from the first one is; nothing where there is none."""
    cell = figure.cells[model]
    if cell.difference is None:
        return ""
    if not cell.is_significant:
        return "n.s."
    better = figure.is_better(model)
    if better is None:
        return "higher" if cell.difference.value > 0 else "lower"
    return "better" if better else "worse"


def cell_of(figure: Figure, model: str, mark: str = "") -> BoardCell:
    """What a cell says."""
    cell, places = figure.cells[model], decimals(figure)
    if cell.value is None:
        return BoardCell(NOT_MEASURED, mark=mark)
    said = BoardCell(written(cell.value.value, places), _bounds(cell.value, places))
    if cell.difference is None:
        return said
    return said._replace(
        difference=written(cell.difference.value, places, signed=True),
        bounds=_bounds(cell.difference, places, signed=True),
        verdict=verdict(figure, model),
    )


def _bounds(estimate: Estimate, places: int, *, signed: bool = False) -> str:
    low, high = (written(end, places, signed=signed) for end in (estimate.low, estimate.high))
    return f"[{low}, {high}]"


def _row(benchmark: Benchmark, figure: Figure, marks: dict[str, str]) -> BoardRow:
    cells = [figure.cells[model] for model in benchmark.models]
    counts = {cell.value.n for cell in cells if cell.value and cell.value.n is not None}
    said = " to ".join(f"{n:,}" for n in sorted({min(counts), max(counts)})) if counts else ""
    return BoardRow(
        label(figure),
        f"n = {said}" if said else "",
        tuple(
            cell_of(figure, model, _mark(cell, marks))
            for model, cell in zip(benchmark.models, cells, strict=True)
        ),
    )


def _mark(cell: Cell, marks: dict[str, str]) -> str:
    """The letter of a reason: a, b, … z, aa, ab …"""
    if cell.value is not None:
        return ""
    if cell.reason not in marks:
        more, last = divmod(len(marks), 26)
        marks[cell.reason] = (string.ascii_lowercase[more - 1] if more else "") + (
            string.ascii_lowercase[last]
        )
    return marks[cell.reason]


def tally(benchmark: Benchmark) -> Iterator[str]:
    """In how many figures, and in which, each model differs significantly from the first."""
    rows = [figure for figure in benchmark.figures if figure.in_table]
    for model in benchmark.others:
        said = [(word, row) for row in rows if (word := verdict(row, model))]
        if not said:
            continue
        parts = [
            f"{word} in {listed([short_name(row, rows) for one, row in said if one == word])}"
            for word in ("better", "worse", "higher", "lower")
            if any(one == word for one, _ in said)
        ]
        count = sum(word != "n.s." for word, _ in said)
        of = f"{count or 'none'} of {len(said)} figures"
        named = f": {', '.join(parts)}" if parts else ""
        yield f"{model} differs significantly from {benchmark.first} in {of}{named}"


def short_name(figure: Figure, among: Sequence[Figure]) -> str:
    """A figure in a few words, with its metric where the task has several: `HellaSwag (5-shot)`."""
    several = any(one.task == figure.task and one.metric != figure.metric for one in among)
    metric = f" {spoken(figure.metric)}" if several else ""
    return f"{figure.title}{metric} ({label(figure)})"


def measured(benchmark: Benchmark) -> str:
    """How much there is, in a clause."""
    rows = [figure for figure in benchmark.figures if figure.in_table]
    count = sum(any(cell.value for cell in row.cells.values()) for row in rows)
    models = plural(len(benchmark.models), "model")
    return f"{models} measured on {count} of {len(rows)} figures"
