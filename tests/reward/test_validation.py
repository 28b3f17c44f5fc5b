"""Held-out accuracy and calibration, by hand on scores that are given."""

import json
import math

import pytest
import torch

from instructgpt.reward.data import Comparison, answers
from instructgpt.reward.validation import evaluate, judge

SCORES = {10: 2.0, 11: 0.0, 12: 1.0, 20: 0.0, 21: math.log(3), 30: 5.0, 31: 5.0, 32: 6.0}
"""The reward of each answer, which is one token."""

COMPARISONS = [
    # ann: 10 > 11 > 12 and bob: 12 > 10 = 11; by score 10 > 12 > 11
    Comparison("p", [1], [[10], [11], [12]], [[1, 2, 3], [2, 2, 1]], ["ann", "bob"]),
    # ann: 20 over 21; by score 21
    Comparison("q", [2], [[20], [21]], [[1, 2]], ["ann"]),
    # bob: 30 and 31 over 32, one of them far over; by score 32 over the two equal ones
    Comparison("r", [3], [[30], [31], [32]], [[1, 3, 4]], ["bob"]),
    # nothing to hold against the scores
    Comparison("s", [4], [[30], [32]], [[1, 1]], ["cem"]),
]


def scores(comparisons):
    """Looked up, a row per answer."""
    return torch.tensor([SCORES[response[0]] for response in answers(comparisons)[1]])


@pytest.fixture
def pairs():
    return judge(scores(COMPARISONS), COMPARISONS)


def test_every_untied_pair_of_every_labeler_is_judged(pairs):
    summary = [(p.prompt_id, p.labeler, p.k, p.margin, p.right) for p in pairs]
    assert summary == [
        ("p", "ann", 3, 1, 1.0),  # 10 > 11, scores 2 > 0
        ("p", "ann", 3, 2, 1.0),  # 10 > 12, scores 2 > 1
        ("p", "ann", 3, 1, 0.0),  # 11 > 12, scores 0 < 1
        ("p", "bob", 3, 1, 0.0),  # 12 > 10, scores 1 < 2
        ("p", "bob", 3, 1, 1.0),  # 12 > 11, scores 1 > 0
        ("q", "ann", 2, 1, 0.0),
        ("r", "bob", 3, 2, 0.5),  # 30 > 31, equal scores
        ("r", "bob", 3, 3, 0.0),
        ("r", "bob", 3, 1, 0.0),
    ]


def test_probabilities_are_of_the_answer_that_stands_first(pairs):
    logits = [2, 1, -1, 1, -1, -math.log(3), 0, -1, -1]
    assert [p.probability for p in pairs] == pytest.approx([1 / (1 + math.exp(-x)) for x in logits])
    assert [p.first_won for p in pairs] == [True] * 3 + [False] * 2 + [True] * 4


def test_each_answer_is_a_row_once():
    prompts, responses = answers(COMPARISONS)
    assert responses == [[10], [11], [12], [20], [21], [30], [31], [32], [30], [32]]
    assert prompts == [[1]] * 3 + [[2]] * 2 + [[3]] * 3 + [[4]] * 2


def test_the_accuracies_by_hand(pairs):
    result = evaluate(pairs)

    def share(interval):
        return (interval["estimate"], interval["n"])

    assert share(result["accuracy"]) == (pytest.approx(3.5 / 9), 9)
    assert {k: share(v) for k, v in result["by_k"].items()} == {"2": (0, 1), "3": (3.5 / 8, 8)}
    assert {k: share(v) for k, v in result["by_margin"].items()} == {
        "1": (pytest.approx(2 / 6), 6),
        "2": (0.75, 2),
        "3": (0, 1),
    }
    assert {k: share(v) for k, v in result["by_labeler"].items()} == {
        "ann": (0.5, 4),
        "bob": (pytest.approx(1.5 / 5), 5),
    }
    for interval in (result["accuracy"], *result["by_k"].values(), *result["by_labeler"].values()):
        assert 0 <= interval["low"] <= interval["estimate"] <= interval["high"] <= 1


def test_the_calibration_by_hand(pairs):
    result = evaluate(pairs)["calibration"]
    s1, s2 = 1 / (1 + math.exp(-1)), 1 / (1 + math.exp(-2))  # 0.731, 0.881
    expected = [  # σ in bins of a tenth: (predicted, observed, count)
        ((4 * (1 - s1) + 0.25) / 5, 4 / 5, 5),
        (0.5, 1, 1),
        (s1, 1 / 2, 2),
        (s2, 1, 1),
    ]
    bins = [(b["predicted"], b["observed"], b["count"]) for b in result["bins"]]
    assert bins == [pytest.approx(row) for row in expected]
    gaps = sum(count * abs(predicted - observed) for predicted, observed, count in expected)
    assert result["ece"] == pytest.approx(gaps / 9)


def test_the_shift_moves_nothing(pairs):
    assert judge(scores(COMPARISONS) - 4, COMPARISONS) == pairs


def test_nothing_but_ties_is_no_evaluation():
    assert evaluate(judge(scores(COMPARISONS[3:]), COMPARISONS[3:])) == {}


def test_it_is_json(pairs):
    text = json.dumps(evaluate(pairs), allow_nan=False)
    assert json.loads(text) == evaluate(pairs)
