"""Figures of a benchmark run besides its table: intervals by task, and how the texts ended."""

from collections.abc import Iterator, Sequence

from instructgpt.report.draw.compared import Group, compared
from instructgpt.report.read.benchmark import Benchmark, Endings, Figure
from instructgpt.report.tell.board import (
    decimals,
    direction,
    examples,
    groups,
    label,
    spoken,
    verdict,
    written,
)
from instructgpt.report.tell.charts import Chart
from instructgpt.report.tell.tables import Table
from instructgpt.report.tell.words import listed, percent

MATTERS = 0.1
"""Endings are shown from this share of cut or empty texts on, of any model."""


def interval_charts(benchmark: Benchmark) -> list[Chart]:
    """A drawing for each task and metric of table 14: every model's figure with its interval."""
    in_table = [figure for figure in benchmark.figures if figure.in_table]
    return [chart for rows in groups(in_table) if (chart := _chart(benchmark, rows))]


def _chart(benchmark: Benchmark, rows: Sequence[Figure]) -> Chart | None:
    drawn = [row for row in rows if any(cell.value for cell in row.cells.values())]
    if not drawn:
        return None
    names = benchmark.models  # all, so that each has its color in every drawing
    compare = [
        Group(label(row), {n: value for n in names if (value := row.cells[n].value)})
        for row in drawn
    ]
    head = drawn[0]
    metric = spoken(head.metric)
    title = f"{head.title}: {metric}"
    svg = compared(compare, names, f"{metric}, 95 % interval")
    caption = ". ".join(
        filter(None, (direction(head).capitalize(), *_differences(benchmark, rows)))
    )
    alt = "; ".join(
        f"{label(row)}: " + ", ".join(_said(row, name) for name in names) for row in drawn
    )
    return Chart(title, svg, f"{caption}." if caption else "", alt)


def _said(row: Figure, name: str) -> str:
    value = row.cells[name].value
    return f"{name} {written(value.value, decimals(row)) if value else 'not measured'}"


def _differences(benchmark: Benchmark, rows: Sequence[Figure]) -> Iterator[str]:
    """Which models differ from the first, by the paired items."""
    found = [
        f"{model} ({', '.join((label(row), verdict(row, model)))})"
        for row in rows
        for model in benchmark.others
        if row.cells[model].is_significant
    ]
    if found:
        yield f"Different from {benchmark.first} by the paired items: {listed(found)}"
    elif any(row.cells[model].difference for row in rows for model in benchmark.others):
        yield f"By the paired items none differs significantly from {benchmark.first}"


def endings_tables(benchmark: Benchmark) -> tuple[list[Table], list[Table]]:
    """How continuations ended: what matters, and all of it to be opened."""
    shown = _rows_that_matter(benchmark.endings)
    whole = [one for one in benchmark.endings if one.count]
    note = (
        "A text that is cut at the length limit, or is empty, mostly scores nothing, whatever the "
        "model knows. A cut prompt lost its beginning, as it was longer than the model's context. "
        f"Here are the rows in which one model has {percent(MATTERS)} or more of them."
    )
    table = [_table("How the texts ended, where it matters", shown, note)] if shown else []
    return table, [_table("How all texts ended", whole, "")] if len(whole) > len(shown) else []


def _rows_that_matter(endings: Sequence[Endings]) -> list[Endings]:
    matters = {one[:4] for one in endings if _share(one) >= MATTERS}
    return [one for one in endings if one[:4] in matters]


def _share(one: Endings) -> float:
    return max(one.cut, one.empty, one.cut_prompt) / max(one.count, 1)


def _table(title: str, rows: Sequence[Endings], note: str) -> Table:
    """Models side by side of each task."""
    head = ("task", "model", "texts", "at a newline", "by itself", "cut", "empty", "prompt cut")
    order = [*dict.fromkeys(one[:4] for one in rows)]
    cells = [
        (
            f"{one.title} ({', '.join(filter(None, (spoken(one.prompt), examples(one.shots))))})",
            one.model,
            f"{one.count:,}",
            *(
                _of(part, one.count)
                for part in (one.newline, one.end, one.cut, one.empty, one.cut_prompt)
            ),
        )
        for one in sorted(rows, key=lambda one: order.index(one[:4]))
    ]
    return Table(title, head, cells, tuple(range(2, 8)), note=note)


def _of(part: int, count: int) -> str:
    return f"{part:,} ({percent(part / count)})" if part and count else "0"
