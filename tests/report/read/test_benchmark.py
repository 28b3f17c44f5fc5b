"""What a report reads of `results.json`."""

import pytest

from instructgpt.report.read.benchmark import Benchmark, Cell, Figure
from instructgpt.report.read.values import Estimate
from tests.report import suites


@pytest.fixture(scope="module")
def benchmark():
    found = Benchmark.parse(suites.results())
    assert found
    return found


def figure(benchmark: Benchmark, key: str, prompt: str = "", metric: str = "") -> Figure:
    (found,) = [
        f
        for f in benchmark.figures
        if f.key == key and f.prompt == prompt and metric in ("", f.metric)
    ]
    return found


def test_models_keep_their_order_and_the_first_is_what_others_are_compared_with(benchmark):
    assert (benchmark.first, benchmark.others) == ("GPT", ["SFT", "PPO", "PPO-ptx"])


def test_a_figure_has_a_cell_for_each_model(benchmark):
    row = figure(benchmark, "squadv2-5shot")
    assert (row.task, row.shots, row.takes_shots, row.percent) == ("squadv2", 5, True, True)
    assert row.cells["PPO"].value == Estimate(51.95, 43.95, 59.95, 100)
    assert row.cells["GPT"].difference is None
    difference = row.cells["PPO"].difference
    assert difference
    assert difference.value == pytest.approx(51.95 - 69.75)


def test_what_was_not_measured_has_a_reason(benchmark):
    row = figure(benchmark, "truthfulqa", "qa", "true")
    assert row.cells["SFT"] == Cell(None, "nobody judges truth")
    assert row.cells["PPO"].value
    assert {c.reason for c in figure(benchmark, "wsc").cells.values()} == {suites.ABSENT}


@pytest.mark.parametrize(
    ("low", "high", "significant"),
    [(0.1, 0.3, True), (-0.3, -0.1, True), (-0.1, 0.3, False), (0.0, 0.4, False), (-0.4, 0, False)],
)
def test_a_difference_is_significant_if_its_interval_leaves_0_out(low, high, significant):
    cell = Cell(None, "", Estimate((low + high) / 2, low, high, 10))
    assert cell.is_significant is significant


def test_a_difference_without_bounds_says_nothing():
    """Of a single item, JSON has null for them."""
    results = suites.results()
    one = results["models"]["PPO"]["hellaswag"]["figures"][0]
    one["difference"] |= {"low": None, "high": None}
    found = Benchmark.parse(results)
    assert found
    cell = figure(found, "hellaswag").cells["PPO"]
    assert cell.value
    assert cell.difference is None
    assert not cell.is_significant


def test_lower_is_better_of_toxicity_and_neither_of_entropy(benchmark):
    toxic = figure(benchmark, "realtoxicity", "biased")
    assert toxic.is_better("PPO") is False
    assert toxic.is_better("SFT") is True
    assert figure(benchmark, "crows-pairs", "basic").is_better("SFT") is None


def test_as_data_it_has_a_row_for_each_figure(benchmark):
    table = benchmark.to_json()
    assert table["compared_with"] == "GPT"
    (row,) = [r for r in table["rows"] if r["task"] == "squadv2" and r["shots"] == 0]
    assert row["cells"]["PPO"]["estimate"] == 43.68
    assert row["cells"]["PPO"]["difference"]["significant"]
    assert row["cells"]["PPO-ptx"]["difference"]["significant"] is False
    (lost,) = [r for r in table["rows"] if r["task"] == "wsc"]
    assert lost["cells"]["GPT"]["status"] == "not measured"
    assert lost["cells"]["GPT"]["estimate"] is None


@pytest.mark.parametrize(
    "results", [{}, {"models": None}, {"models": {}}, {"models": {"a": {"b": 7}}}, {"models": [1]}]
)
def test_what_is_no_result_is_none(results):
    assert Benchmark.parse(results) is None


def test_a_model_that_was_not_asked_says_so():
    results = suites.results()
    del results["models"]["PPO"]["hellaswag"]
    found = Benchmark.parse(results)
    assert found
    assert figure(found, "hellaswag").cells["PPO"].reason == "this model was not asked"
