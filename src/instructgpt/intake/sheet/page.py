"""The sheet as one page that loads nothing: each table beside the paper's, and its drawing."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from instructgpt.intake.sheet import paper
from instructgpt.report.draw.compared import Group, compared
from instructgpt.report.page import render
from instructgpt.report.read.values import Estimate
from instructgpt.report.tell.charts import Chart
from instructgpt.report.tell.sections import FirstScreen, Section
from instructgpt.report.tell.tables import Table
from instructgpt.report.tell.words import listed

OURS, PAPERS = "here", "the paper"
NONE = "–"
FOOTER = (
    "The paper's figures are those of Ouyang 2022 (arXiv 2203.02155), whose lengths are in tokens "
    "of GPT-3. In drawings of lengths a mark is the median and its line goes from the 25th to the "
    "75th percentile; elsewhere there is only the mark."
)
Rows = Mapping[str, Mapping[str, Any]]


def write_sheet(sheet: Mapping[str, Any], name: str, out: Path) -> Path:
    """Write what `count` has counted as a page.

    Args:
        sheet: the tables.
        name: of the data.
        out: the file.

    Raises:
        UserError: it cannot be written, or matplotlib is not installed.
    """
    return render(
        out,
        title=name,
        kicker="Dataset sheet",
        simulated="",
        facts=[],
        summary=list(_summary(sheet)),
        cards=[],
        goes_round=False,
        first=FirstScreen([], None, ""),
        sections=[
            _use_cases(sheet),
            _sizes(sheet),
            _annotations(sheet),
            _per_customer(sheet),
            _lengths(sheet, 9, "Prompt lengths by set", "set"),
            _lengths(sheet, 10, "Prompt lengths by use case", "use case"),
            _lengths(sheet, 11, "Lengths of prompts and demonstrations", "text"),
        ],
        footer=FOOTER,
    )


def _summary(sheet: Mapping[str, Any]) -> Iterable[str]:
    labeled, of = sheet["table_1"]["labeled"], sheet["table_1"]["unlabeled"]
    yield (
        f"{sheet['prompts']:,} prompts and {sheet['demonstrations']:,} demonstrations, counted as "
        f"the paper's tables 1 and 6 to 11 count them. Lengths are in {sheet['unit']}."
    )
    if of:
        yield f"Of {labeled + of:,} prompts in table 1, {of:,} have no use case yet."
    tongues = [f"{code} {n:,}" for code, n in sheet["languages"].items()]
    more = f" and {len(tongues) - 6} more" if len(tongues) > 6 else ""
    if tongues:
        yield f"Languages: {listed(tongues[:6]) if not more else ', '.join(tongues[:6]) + more}."


def _share(value: float | None) -> str:
    return NONE if value is None else f"{100 * value:.1f} %"


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value:,.2f}".removesuffix(".00")


def _point(value: float, count: int | None = None) -> Estimate:
    return Estimate(value, value, value, count)


def _beside(ours: Mapping[str, float], papers: Mapping[str, float], unit: str) -> str:
    """The rows that either has, from the top; what one lacks is not drawn."""
    groups = [
        Group(
            name.replace("_", " "),
            {
                side: _point(values[name])
                for side, values in ((OURS, ours), (PAPERS, papers))
                if values.get(name) is not None
            },
        )
        for name in dict.fromkeys((*papers, *ours))
    ]
    return compared(groups, (OURS, PAPERS), unit)


def _section(number: int, title: str, table: Table, chart: Chart) -> Section:
    anchor = f"table-{number}"
    return Section(anchor, f"Table {number}", title, charts=[chart], tables=[table])


def _use_cases(sheet: Mapping[str, Any]) -> Section:
    found = sheet["table_1"]
    papers = paper.USE_CASES
    rows = [
        (name.replace("_", " "), _share(share), _share(papers.get(name)))
        for name, share in found["shares"].items()
    ]
    of = "the reward model's prompts" if found["of"] == "reward" else "all prompts"
    note = f"Of {of} that have one: {found['labeled']:,}; {found['unlabeled']:,} have none."
    title = "Use cases"
    shares = {name: 100 * share for name, share in found["shares"].items() if share is not None}
    svg = _beside(shares, {name: 100 * share for name, share in papers.items()}, "share (%)")
    table = Table(title, ("use case", OURS, PAPERS), rows, (1, 2), note=note)
    return _section(1, title, table, Chart(title, svg, note))


def _sizes(sheet: Mapping[str, Any]) -> Section:
    rows, ours, papers = [], {}, {}
    for name, found in sheet["table_6"].items():
        known = paper.SIZES.get(name, {})
        cells = [f"{found.get(source, 0):,}" for source in ("labeler", "customer")]
        cells += [
            f"{known.get(source, 0):,}" if known else NONE for source in ("labeler", "customer")
        ]
        rows.append((name, *cells))
        ours[name], papers[name] = sum(found.values()), sum(known.values())
    title = "Sizes of the sets"
    head = ("set", "labelers", "customers", f"labelers, {PAPERS}", f"customers, {PAPERS}")
    caption = "Each set's share of all prompts."
    chart = Chart(
        title, _beside(_percent(ours), _percent(papers), "share of all prompts (%)"), caption
    )
    return _section(6, title, Table(title, head, rows, (1, 2, 3, 4)), chart)


def _percent(sizes: Mapping[str, float]) -> dict[str, float]:
    total = sum(sizes.values()) or 1
    return {name: 100 * size / total for name, size in sizes.items()}


def _annotations(sheet: Mapping[str, Any]) -> Section:
    title = "What is true of prompts"
    names = list(dict.fromkeys([*paper.DATASETS, *sheet["table_6"]]))
    used = [n for n in names if any(n in row for row in (*sheet["table_7"].values(),))]
    rows = []
    for question, found in sheet["table_7"].items():
        known = paper.ANNOTATIONS[question]
        for side, values in (
            (OURS, {n: row["share"] for n, row in found.items()}),
            (PAPERS, known),
        ):
            shown = [_share(values.get(name)) for name in names if name in used or name in _ASKED]
            rows.append((f"{question.replace('_', ' ')}, {side}", *shown))
    head = ("question", *(name for name in names if name in used or name in _ASKED))
    counts = {
        question: sum(row["answered"] for row in found.values())
        for question, found in sheet["table_7"].items()
    }
    ours = {
        question: 100 * sum(r["share"] * r["answered"] for r in found.values()) / counts[question]
        for question, found in sheet["table_7"].items()
        if counts[question]
    }
    papers = {q: 100 * known["reward train"] for q, known in paper.ANNOTATIONS.items()
              if "reward train" in known}  # fmt: skip
    asked = [f"{q.replace('_', ' ')} {count:,}" for q, count in counts.items() if count]
    note = f"Shares are of the prompts of which it was asked: {', '.join(asked) or 'none yet'}"
    svg = _beside(ours, papers, "share (%)")
    caption = "Here: over all sets. The paper: the reward model's training set, where it was asked."
    table = Table(title, head, rows, tuple(range(1, len(head))), note=note + ".")
    return _section(7, title, table, Chart(title, svg, caption))


_ASKED = {name for known in paper.ANNOTATIONS.values() for name in known}


def _per_customer(sheet: Mapping[str, Any]) -> Section:
    title = "Prompts of a customer"
    found, papers = sheet["table_8"], paper.PER_CUSTOMER
    names = list(dict.fromkeys([*papers, *found]))
    rows = [(name, _number(found.get(name)), _number(papers.get(name))) for name in names]
    note = "The mean over the customers who have any there; prompts without a user do not count."
    chart = Chart(title, _beside(found, papers, "prompts per customer"), note)
    return _section(8, title, Table(title, ("set", OURS, PAPERS), rows, (1, 2), note=note), chart)


def _lengths(sheet: Mapping[str, Any], number: int, title: str, what: str) -> Section:
    found: Rows = sheet[f"table_{number}"]
    papers: Rows = sheet["paper"][f"table_{number}"]
    names = list(dict.fromkeys([*papers, *found]))
    columns = ("count", "mean", "std", "min", "low", "median", "high", "max")
    rows: list[tuple[str, ...]] = []
    for name in names:
        for side, table in ((OURS, found), (PAPERS, papers)):
            if row := table.get(name):
                label = f"{name.replace('_', ' ')}, {side}"
                rows.append((label, *(_number(row[column]) for column in columns)))
    groups = [
        Group(name.replace("_", " "), {side: _spread(table[name]) for side, table in
              ((OURS, found), (PAPERS, papers)) if name in table})
        for name in names
    ]  # fmt: skip
    head = (what, *_heads(columns))
    unit = f"{sheet['unit']}; {PAPERS}: tokens"
    chart = Chart(
        title, compared(groups, (OURS, PAPERS), unit), f"Medians and middle halves, in {unit}."
    )
    table = Table(title, head, rows, tuple(range(1, len(head))), note=f"In {unit}.")
    return _section(number, title, table, chart)


def _heads(columns: Sequence[str]) -> Iterable[str]:
    names = {"low": "25 %", "median": "50 %", "high": "75 %"}
    return (names.get(column, column) for column in columns)


def _spread(row: Mapping[str, Any]) -> Estimate:
    return Estimate(row["median"], row["low"], row["high"], row["count"])
