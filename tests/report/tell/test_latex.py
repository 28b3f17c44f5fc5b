"""The table in LaTeX: what LaTeX would take for commands is escaped, and every row is whole."""

import re
import shutil
import subprocess

import pytest

from instructgpt.report.read.benchmark import Benchmark
from instructgpt.report.tell.latex import escaped, latex
from tests.report import suites

HOSTILE = "\\input{x} & 5 % $y_1^2$ #~<|>\n\x00“"


def test_special_characters_are_escaped():
    assert escaped("a_b & 5 % of $1 #2 {x}") == r"a\_b \& 5 \% of \$1 \#2 \{x\}"
    assert escaped("\\") == r"\textbackslash{}"
    assert escaped("~^<|>") == (
        r"\textasciitilde{}\textasciicircum{}\textless{}\textbar{}\textgreater{}"
    )
    assert escaped("−0.1 — 2–3") == "$-$0.1 --- 2--3"
    assert escaped("two\nlines\x00") == "two lines "


def hostile_results():
    results = suites.results()
    results["models"][HOSTILE] = results["models"].pop("SFT")
    results["models"]["GPT"]["wsc"]["figures"][0]["reason"] = HOSTILE
    return results


def table(results) -> str:
    benchmark = Benchmark.parse(results)
    assert benchmark
    return latex(benchmark)


def test_hostile_names_leave_no_command_and_no_column():
    text = table(hostile_results())
    assert "\\input" not in text
    commands = set(re.findall(r"\\[a-zA-Z]+", text.replace(r"\\", " ")))
    assert commands <= {
        *(rf"\{name}" for name in "usepackage begin end centering scriptsize setlength".split()),
        *(rf"\{name}" for name in "tabcolsep caption toprule midrule bottomrule tiny".split()),
        *(rf"\{name}" for name in "textbf textsuperscript smallskip raggedright".split()),
        *(rf"\{name}" for name in "textbackslash textasciitilde textasciicircum".split()),
        *(rf"\{name}" for name in "textless textgreater textbar".split()),
    }


@pytest.mark.parametrize("results", [suites.results(), hostile_results()], ids=["plain", "hostile"])
def test_rows_have_as_many_cells_as_the_table_has_columns(results):
    text = table(results)
    (columns,) = re.findall(r"\\begin\{tabular\}\{(\w+)\}", text)
    assert columns == "lll" + "r" * 4
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(rows) > 15
    for row in rows:
        assert len(re.findall(r"(?<!\\)&", row)) == len(columns) - 1, row
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")


def test_significant_differences_are_bold_and_others_marked():
    text = table(suites.results())
    assert r"\textbf{$-$6.63 {\tiny [$-$11.43, $-$1.83]}}" in text
    assert r"$-$4.45 {\tiny [$-$9.25, +0.35]} n.s." in text
    assert r"\textsuperscript{b} no wsc.jsonl in data." in text


@pytest.mark.parametrize("results", [suites.results(), hostile_results()], ids=["plain", "hostile"])
def test_latex_takes_it(results, tmp_path):
    program = shutil.which("pdflatex")
    if program is None:
        pytest.skip("no pdflatex here")
    head = "\\documentclass{article}\n\\usepackage[T1]{fontenc}\n\\usepackage{booktabs}\n"
    body = f"{head}\\begin{{document}}\n{table(results)}\n\\end{{document}}\n"
    (tmp_path / "table.tex").write_text(body, "utf-8")
    command = [program, "-interaction=nonstopmode", "-halt-on-error", "-draftmode", "table.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]
