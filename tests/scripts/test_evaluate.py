"""scripts/evaluate.py: win rates and benchmarks of the same models, in one report."""

import importlib.util
import json
from pathlib import Path

import pytest

from tests.evaluation.tasks.rows import ROWS
from tests.ppo.letters import letter_policy
from tests.report.test_page import Page, assert_self_contained

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def main():
    spec = importlib.util.spec_from_file_location("evaluate", ROOT / "scripts" / "evaluate.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluate")
    for number, name in enumerate(("sft", "ppo", "ptx"), 1):
        letter_policy(seed=number).save(folder / name)
    (folder / "data").mkdir()
    ROWS["hellaswag"](folder / "data")
    lines = [json.dumps({"prompt": letter}) + "\n" for letter in "abcd"]
    (folder / "prompts.jsonl").write_text("".join(lines))
    return folder


@pytest.fixture
def words(folder, monkeypatch):
    monkeypatch.chdir(folder)
    few = ["--suite.tasks", "hellaswag,rte", "--suite.shots=1"]
    return ["sft", "ppo", "ptx", "--data_dir", "data", "--limit", "4", *few]


def test_both_stand_in_one_report_and_nothing_is_done_twice(main, words, folder, tmp_path, capsys):
    judged = ["--prompts", "prompts.jsonl", "--judge", "rule", "--compare.response_length", "4"]
    command = [*words, *judged, "--out", str(tmp_path / "out")]
    assert main(command) == 0
    assert str(tmp_path / "out" / "report.html") in capsys.readouterr().out
    page = Page(tmp_path / "out" / "report.html")
    assert_self_contained(page)
    assert "all 2 stages done" in page.text
    assert "Win rate over sft" in page.text
    assert "HellaSwag accuracy higher is better zero-shot n = 4" in page.text
    found = json.loads((tmp_path / "out/01-win-rates/evaluation.json").read_text())
    assert (found["a"], found["b"], set(found["others"])) == ("ppo", "sft", {"ptx"})
    results = json.loads((tmp_path / "out/02-benchmarks/results.json").read_text())
    assert results["models"]["ptx"]["hellaswag-1shot"]["n"] == 4
    assert main(command) == 0
    assert capsys.readouterr().err.count("already finished") == 2


def test_without_a_judge_there_are_no_win_rates_and_the_report_says_why(main, words, tmp_path):
    assert main([*words, "--suite.tasks", "rte", "--out", str(tmp_path / "out")]) == 0
    text = Page(tmp_path / "out" / "report.html").text
    assert "No win rates were measured: they need --prompts and --judge." in text
    assert "1 of 1 stage done" in text
    assert "— not measured: a no " in text  # RTE, for want of its file
    assert not (tmp_path / "out" / "01-win-rates").exists()


@pytest.mark.parametrize(
    ("more", "part"),
    [
        (["--judge", "nowhere", "--prompts", "prompts.jsonl"], "nowhere"),
        (["--judge", "rule", "--prompts", "none.jsonl"], "none.jsonl"),
        (["--suite.shots", "none"], "shots"),
        (["--suite.sorts", "1"], "sorts"),
        (["--sorts", "1"], "--sorts: no such flag"),
        (["--suite.shots"], "--suite.shots: no such flag; see --help, and give each key a value"),
    ],
)
def test_mistakes_are_said_before_anything_is_asked(main, words, more, part, tmp_path, capsys):
    assert main([*words, *more, "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("evaluate: ")
    assert part in said
    assert not (tmp_path / "out" / "02-benchmarks").exists()
