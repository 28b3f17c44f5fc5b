"""`eval suite`: without examples and with some, differences of paired items, three tables."""

import json
import math
import statistics

import pytest

from instructgpt.cli import main
from instructgpt.evaluation.benchmark import stage
from instructgpt.evaluation.benchmark.config import BenchmarkConfig, SuiteConfig
from tests.evaluation.tasks.rows import ROWS
from tests.ppo.letters import letter_policy

T_7 = 2.364624251592784  # Student's t, 7 degrees of freedom, 97.5 %: any table
T_5 = 2.5705818356363141


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """What the command takes: three models, of which the last is the first again; eight items."""
    folder = tmp_path_factory.mktemp("suite")
    for number, name in enumerate(("base", "ppo"), 1):
        letter_policy(seed=number).save(folder / name)
    (folder / "data").mkdir()
    ROWS["hellaswag"](folder / "data")
    models = [f"GPT={folder}/base", f"PPO={folder}/ppo", f"again={folder}/base"]
    return [*models, "--tasks", "hellaswag", "--data_dir", f"{folder}/data", "--shots", "2"]


@pytest.fixture(scope="module")
def run(words, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "suite"
    with pytest.raises(SystemExit) as ended:
        main(["eval", "suite", *words, "--out", str(out)])
    assert not ended.value.code
    return out


def scores(run, model: str, name: str) -> dict[str, float]:
    lines = (run / model / f"{name}.jsonl").read_text().splitlines()
    return {row["id"]: row["scores"]["accuracy"] for row in map(json.loads, lines)}


def test_a_task_is_measured_without_examples_and_with_some(run):
    found = json.loads((run / "results.json").read_text())["models"]
    assert set(found) == {"GPT", "PPO", "again"}
    for tasks in found.values():
        assert [(key, task["shots"], task["n"]) for key, task in tasks.items()] == [
            ("hellaswag", 0, 8),
            ("hellaswag-2shot", 2, 6),
        ]


@pytest.mark.parametrize(("name", "t"), [("hellaswag", T_7), ("hellaswag-2shot", T_5)])
def test_the_difference_is_the_t_interval_of_the_paired_items(run, name, t):
    before, after = scores(run, "GPT", name), scores(run, "PPO", name)
    gaps = [after[item] - before[item] for item in before]
    mean = sum(gaps) / len(gaps)
    half = t * statistics.stdev(gaps) / math.sqrt(len(gaps))
    found = json.loads((run / "results.json").read_text())["models"]["PPO"][name]
    difference = found["figures"][0]["difference"]
    assert difference["estimate"] == pytest.approx(mean)
    assert difference["low"] == pytest.approx(mean - half)
    assert difference["high"] == pytest.approx(mean + half)
    assert difference["n"] == len(gaps)


def test_the_first_model_has_no_difference_and_an_equal_one_none_of_account(run):
    found = json.loads((run / "results.json").read_text())["models"]
    for name in ("hellaswag", "hellaswag-2shot"):
        assert found["GPT"][name]["difference"] is None
        same = found["again"][name]["difference"]
        assert (same["estimate"], same["low"], same["high"]) == (0, 0, 0)


def test_the_table_is_written_three_times(run):
    table = json.loads((run / "table.json").read_text())
    assert (table["models"], table["compared_with"]) == (["GPT", "PPO", "again"], "GPT")
    assert [(row["title"], row["shots"]) for row in table["rows"]] == [
        ("HellaSwag", 0), ("HellaSwag", 2)
    ]  # fmt: skip
    for row in table["rows"]:
        assert row["cells"]["again"]["difference"]["significant"] is False
    assert "HellaSwag & accuracy & zero-shot" in (run / "table.tex").read_text()
    assert "<strong>HellaSwag</strong>" in (run / "table.html").read_text()


def test_a_finished_suite_is_told_again_and_not_measured(run, words, capsys):
    before = (run / "results.json").stat().st_mtime_ns
    with pytest.raises(SystemExit):
        main(["eval", "suite", *words, "--out", str(run)])
    captured = capsys.readouterr()
    assert "already finished" in captured.err
    assert str(run / "table.html") in captured.out
    assert (run / "results.json").stat().st_mtime_ns == before


def refused(words: list[str], capsys) -> str:
    """What the command says instead of measuring."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    (said,) = capsys.readouterr().err.splitlines()
    return said


def test_a_suite_and_an_eval_do_not_share_a_directory(run, words, capsys):
    said = refused(["eval", *words, "--out", str(run)], capsys)
    assert str(run) in said
    assert "suite" in said


def test_a_suite_needs_examples(words, tmp_path, capsys):
    out = str(tmp_path / "suite")
    assert "shots" in refused(["eval", "suite", *words, "--shots", "0", "--out", out], capsys)


def test_both_have_the_same_keys():
    assert set(SuiteConfig.model_fields) == set(BenchmarkConfig.model_fields)
    assert stage.suite is not stage.evaluate
