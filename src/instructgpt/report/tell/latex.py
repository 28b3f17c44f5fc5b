r"""The table of benchmarks for a paper: LaTeX with booktabs, in the layout of table 14."""

from collections.abc import Iterator

from instructgpt.report.read.benchmark import Benchmark
from instructgpt.report.tell.board import BoardCell, BoardGroup, board

SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "_": r"\_",
    "%": r"\%",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "−": "$-$",
    "—": "---",
    "–": "--",
    "→": r"$\rightarrow$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "…": r"\ldots{}",
    "\N{NO-BREAK SPACE}": "~",
}
"""What LaTeX would take for a command, and signs that its fonts lack, by what stands for them."""


def latex(benchmark: Benchmark) -> str:
    r"""A `table*` that needs `\usepackage{booktabs}` and a font encoding with quotes (T1)."""
    whole = board(benchmark)
    count = len(whole.models)
    caption = whole.caption + (" Bold: significant." if benchmark.others else "")
    head = " & ".join(["Task", "Metric", "Prompt", *map(escaped, whole.models)])
    lines = [
        r"% needs \usepackage{booktabs} and \usepackage[T1]{fontenc}",
        r"\begin{table*}",
        r"\centering",
        r"\scriptsize",
        r"\setlength{\tabcolsep}{3pt}",
        rf"\caption{{{escaped(caption)}}}",
        rf"\begin{{tabular}}{{lll{'r' * count}}}",
        r"\toprule",
        rf"{head} \\",
    ]
    for group in whole.groups:
        lines += [r"\midrule", *_rows(group)]
    lines += [r"\bottomrule", r"\end{tabular}"]
    notes = [f"{_mark(mark)} {escaped(reason)}." for mark, reason in whole.notes]
    notes += dict.fromkeys(
        f"{escaped(group.title)}, {escaped(group.metric)}: {escaped(judge)}."
        for group in whole.groups
        for judge in group.judges
    )
    if notes:
        if whole.notes:
            notes.insert(0, f"{escaped(whole.absent)}.")
        lines += ["", r"\smallskip", r"\raggedright", *notes]
    return "\n".join([*lines, r"\end{table*}", ""])


def escaped(text: str) -> str:
    r"""A text as LaTeX prints it, on one line.

    >>> print(escaped("PPO_ptx & 5 % {x}"))
    PPO\_ptx \& 5 \% \{x\}
    """
    line = " ".join("".join(c if c.isprintable() or c in SPECIAL else " " for c in text).split(" "))
    return "".join(SPECIAL.get(character, character) for character in line)


def _rows(group: BoardGroup) -> Iterator[str]:
    names = [escaped(group.title), escaped(group.metric)]
    for row in group.rows:
        cells = [*names, escaped(row.label), *map(_value, row.cells)]
        yield " & ".join(cells) + r" \\"
        names = ["", ""]
        if any(cell.difference for cell in row.cells):
            yield " & ".join(["", "", "", *map(_difference, row.cells)]) + r" \\"


def _value(cell: BoardCell) -> str:
    return f"{escaped(cell.value)}{_mark(cell.mark)}{_bounds(cell.interval)}"


def _difference(cell: BoardCell) -> str:
    said = f"{escaped(cell.difference)}{_bounds(cell.bounds)}"
    return f"{said} n.s." if cell.verdict == "n.s." else rf"\textbf{{{said}}}" if said else ""


def _bounds(text: str) -> str:
    return rf" {{\tiny {escaped(text)}}}" if text else ""


def _mark(mark: str) -> str:
    return rf"\textsuperscript{{{mark}}}" if mark else ""
