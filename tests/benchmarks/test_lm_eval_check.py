"""The comparison with lm-evaluation-harness, but for the harness: how two answers are compared."""

import json
import re
from pathlib import Path

import pytest

import lm_eval_check
from instructgpt.evaluation.tasks.task import Output
from tests.benchmarks.conftest import BENCHMARKS

PAGE = Path(__file__).parents[2] / "docs" / "benchmarking.md"

OURS = [
    Output(logprobs=(-2.0, -3.0), tokens=(1, 2)),  # means -2 and -1.5
    Output(logprobs=(-1.0, -4.0), tokens=(1, 1)),
]


def test_differences_are_between_sums_and_choices_by_means():
    found = lm_eval_check.compared(OURS, [[-2.0, -3.5], [-4.5, -4.0]])
    assert found == {
        "requests": 2,
        "choices": 4,
        "largest_difference": 3.5,
        "mean_difference": 1.0,
        "same_choice": 1,
    }


@pytest.mark.parametrize(
    ("gap", "texts", "after_ours", "passes"),
    [(5e-4, 2, 5e-4, True), (2e-3, 2, 0, False), (0, 1, 0, False), (0, 2, 2e-3, False)],
)
def test_what_is_asked_alike_must_agree(gap, texts, after_ours, passes):
    def apart(by):
        return lm_eval_check.compared(OURS, [[-2.0, -3.0 - by], [-1.0, -4.0]])

    found = {
        "log_likelihood": apart(gap),
        "greedy": {"requests": 2, "same_text": texts},
        "empty_text": {"with_our_token": apart(after_ours), "with_the_harness's": apart(1.0)},
    }
    assert lm_eval_check.passes(found) is passes


def test_the_page_repeats_the_last_check():
    found = json.loads((BENCHMARKS / "results" / "lm_eval_check.json").read_text())
    assert found["passes"] is lm_eval_check.passes(found) is True
    told = re.search(
        r"of (\d+) choices .* to (\S+), and (\d+) greedy texts", PAGE.read_text("utf-8")
    )
    assert told
    greedy, weighed = found["greedy"], found["log_likelihood"]
    assert told.groups() == (
        str(weighed["choices"]),
        f"{weighed['largest_difference']:.0e}",
        str(greedy["same_text"]),
    )
