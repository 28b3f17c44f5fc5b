"""The table of benchmarks in words: cells, notes, and which differences count."""

import pytest

from instructgpt.report.read.benchmark import Benchmark
from instructgpt.report.tell import board as said
from instructgpt.report.tell.board import BoardCell, board, groups, measured, tally
from tests.report import suites


@pytest.fixture(scope="module")
def benchmark():
    return Benchmark.parse(suites.results())


def cells(benchmark, title: str, label: str) -> tuple[BoardCell, ...]:
    (row,) = [
        row
        for group in board(benchmark).groups
        if group.title == title
        for row in group.rows
        if row.label == label
    ]
    return row.cells


def test_rows_stand_by_prompt_and_by_number_of_examples(benchmark):
    found = [(g.title, g.metric, [r.label for r in g.rows]) for g in board(benchmark).groups]
    assert found == [
        ("TruthfulQA", "true", ["QA"]),
        ("RealToxicity", "toxicity", ["basic", "biased"]),
        ("CrowS-Pairs", "entropy", ["basic"]),
        ("HellaSwag", "accuracy", ["zero-shot", "5-shot"]),
        ("SQuAD v2", "F1", ["zero-shot", "5-shot"]),
        ("WSC", "accuracy", ["zero-shot"]),
    ]


def test_what_table_14_lacks_is_apart(benchmark):
    assert [(g.title, g.metric) for g in board(benchmark, in_table=False).groups] == [
        ("TruthfulQA", "mc1")
    ]


def test_a_cell_has_value_interval_and_the_difference_from_the_first(benchmark):
    gpt, sft, ppo, _ = cells(benchmark, "SQuAD v2", "zero-shot")
    assert gpt == BoardCell("64.30", "[56.30, 72.30]")
    # 57.67 − 64.30, ± 0.6 · 8
    assert sft == BoardCell("57.67", "[49.67, 65.67]", "−6.63", "[−11.43, −1.83]", "worse")
    assert ppo.verdict == "worse"


def test_what_is_not_significant_is_marked(benchmark):
    assert cells(benchmark, "SQuAD v2", "zero-shot")[3].verdict == "n.s."
    assert "n.s.: not significant" in board(benchmark).caption
    assert "corrected" in board(benchmark).caption
    assert "from GPT" in board(benchmark).caption


def test_better_and_worse_follow_the_metric(benchmark):
    assert [c.verdict for c in cells(benchmark, "RealToxicity", "biased")] == [
        "", "n.s.", "worse", "worse"
    ]  # fmt: skip
    assert [c.verdict for c in cells(benchmark, "CrowS-Pairs", "basic")] == [
        "", "lower", "lower", "n.s."
    ]  # fmt: skip
    assert cells(benchmark, "TruthfulQA", "QA")[2].verdict == "better"


def test_what_was_not_measured_is_a_dash_with_a_note(benchmark):
    whole = board(benchmark)
    assert cells(benchmark, "TruthfulQA", "QA")[1] == BoardCell("—", mark="a")
    assert {c.mark for c in cells(benchmark, "WSC", "zero-shot")} == {"b"}
    assert whole.notes == [("a", "nobody judges truth"), ("b", suites.ABSENT)]


def test_the_quality_of_a_judge_stands_beside_its_figures(benchmark):
    judges = {(g.title, g.metric): g.judges for g in board(benchmark).groups}
    (truth,) = judges["TruthfulQA", "true"]
    assert truth == (
        "judge of truth: accuracy 0.861 [0.831, 0.891], n = 400, saying always one word 0.600, on "
        "held_out.jsonl; AUC 0.700 [0.600, 0.800], n = 50, on paper.csv"
    )
    assert judges["RealToxicity", "toxicity"] == (
        "judge of toxicity: nobody has measured how good it is",
    )
    assert judges["HellaSwag", "accuracy"] == ()


def test_the_tally_counts_what_is_significant(benchmark):
    by_model = {line.split()[0]: line for line in tally(benchmark)}
    # ± 0.048, or 4.8 points: HellaSwag 5-shot −.05, SQuAD −6.63 and −3.85, CrowS-Pairs −.169
    assert by_model["SFT"] == (
        "SFT differs significantly from GPT in 3 of 7 figures: worse in HellaSwag (5-shot) and "
        "SQuAD v2 (zero-shot), lower in CrowS-Pairs (basic)"
    )
    assert by_model["PPO-ptx"].endswith(
        "2 of 8 figures: better in TruthfulQA (QA), worse in RealToxicity (biased)"
    )
    assert measured(benchmark) == "4 models measured on 8 of 9 figures"


def test_equal_models_are_said_to_be_so():
    results = suites.results()
    results["models"] = {"a": results["models"]["GPT"], "b": results["models"]["GPT"]}
    for task in results["models"]["b"].values():
        for one in task["figures"]:
            one["difference"] = {"estimate": 0.0, "low": 0.0, "high": 0.0, "n": 100}
    found = Benchmark.parse(results)
    assert found
    assert list(tally(found)) == ["b differs significantly from a in none of 9 figures"]


def test_one_model_is_compared_with_nothing():
    results = suites.results()
    results["models"] = {"only": results["models"]["GPT"]}
    found = Benchmark.parse(results)
    assert found
    assert "difference" not in board(found).caption
    assert list(tally(found)) == []


def test_notes_go_on_after_z():
    marks: dict[str, str] = {}
    results = suites.results()
    found = Benchmark.parse(results)
    assert found
    for number in range(28):
        said._mark(found.figures[0].cells["GPT"].__class__(None, str(number)), marks)
    assert [*marks.values()][24:] == ["y", "z", "aa", "ab"]


def test_figures_of_a_task_stay_together(benchmark):
    assert [len(rows) for rows in groups(benchmark.figures)] == [1, 1, 2, 1, 2, 2, 1]
