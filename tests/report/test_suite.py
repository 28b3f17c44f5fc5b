"""The page of a benchmark run, and the table that a suite writes, from the same code."""

import json

import pytest

from instructgpt.report import write_report, write_tables
from tests.report import fake, suites
from tests.report.test_page import ATTACK, Page, assert_self_contained


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = suites.make_suite(tmp_path_factory.mktemp("runs") / "suite")
    write_report(path)
    write_tables(suites.results(), path)
    return path


@pytest.mark.parametrize("name", ["report", "table"])
def test_the_table_stands_in_both_pages(run, name):
    page = Page(run / f"{name}.html")
    assert_self_contained(page)
    for part in (
        "SQuAD v2 F1 higher is better zero-shot n = 100 64.30 [56.30, 72.30] 57.67",
        "57.67 [49.67, 65.67] −6.63 [−11.43, −1.83] worse",
        "judge of truth: accuracy 0.861 [0.831, 0.891], n = 400",
        "Nothing is corrected for the number of comparisons",
        "a nobody judges truth. b no wsc.jsonl in data.",
        "4 models measured on 8 of 9 figures.",
        "Further figures: TruthfulQA mc1",
    ):
        assert part in page.text, part


def test_the_report_draws_each_task_and_says_what_differs(run):
    text = Page(run / "report.html").text
    assert "PPO differs significantly from GPT in 5 of 8 figures: better in TruthfulQA (QA)" in text
    assert "HellaSwag: accuracy" in text
    assert "Higher is better. Different from GPT by the paired items: SFT (5-shot, worse)." in text
    # 30 texts of 100 of SFT are cut, 60 of PPO's, 90 of PPO-ptx's; TruthfulQA's are not many
    shown = text[text.index("How the texts ended, where it matters") :]
    shown = shown[: shown.index("How all texts ended")]
    assert "SQuAD v2 (5-shot) PPO 100 38 (38 %) 2 (2.0 %) 60 (60 %)" in shown
    assert "TruthfulQA" not in shown


def test_the_pages_are_the_same_for_the_same_results(run, tmp_path):
    write_tables(suites.results(), tmp_path)
    for name in ("table.html", "table.json", "table.tex"):
        assert (tmp_path / name).read_bytes() == (run / name).read_bytes()
    assert json.loads((run / "table.json").read_text())["models"] == list(suites.MODELS)


def test_hostile_names_stay_text(tmp_path):
    results = suites.results()
    results["models"][ATTACK] = results["models"].pop("SFT")
    for one in results["models"].values():
        one["wsc"] |= {"title": ATTACK}
        one["wsc"]["figures"][0] |= {"reason": ATTACK, "metric": ATTACK, "prompt": ATTACK}
        one["wsc"]["figures"][0] |= {"judges": {ATTACK: {ATTACK: ATTACK}}}
        one["wsc"]["endings"] = {ATTACK: {"texts": 5, "cut": 5}}
    write_tables(results, tmp_path)
    fake.make_run(tmp_path / "run", "suite", [])
    (tmp_path / "run" / "results.json").write_text(json.dumps(results))
    for path in (tmp_path / "table.html", write_report(tmp_path / "run")):
        page = Page(path)
        assert_self_contained(page)
        assert ATTACK.split()[0] in page.text


def test_a_table_needs_a_figure(tmp_path):
    with pytest.raises(ValueError, match="no figure of any model"):
        write_tables({"models": {}}, tmp_path)


def test_a_pipeline_may_have_a_benchmark(tmp_path):
    """Win rates and benchmarks of the same models on one page, the result first."""
    fake.make_evaluate(tmp_path / "01-win-rates")
    suites.make_suite(tmp_path / "02-benchmarks")
    stages = [
        {"name": "win-rates", "dir": "01-win-rates", "kind": "evaluate", "status": "done"},
        {"name": "benchmarks", "dir": "02-benchmarks", "kind": "suite", "status": "done"},
    ]
    plan = {"name": "evaluation", "stages": stages}
    (tmp_path / "pipeline.json").write_text(json.dumps(plan))
    text = Page(write_report(tmp_path)).text
    assert text.index("Win rate over sft") < text.index("In the layout of the paper's table 14")
