"""DROP's scores, against values by hand, scipy's assignment and all assignments of few spans."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from instructgpt.evaluation.metrics.drop import best_total, compared, drop_scores, parted

NUMBERS = st.sampled_from([0.0, 0.25, 0.4, 0.67, 1.0])


@given(st.integers(1, 5), st.integers(1, 5), st.data())
def test_the_greatest_total(rows, columns, data):
    scores = [[data.draw(NUMBERS) for _ in range(columns)] for _ in range(rows)]
    table = np.asarray(scores) if rows <= columns else np.asarray(scores).T
    few, many = table.shape
    by_trying = max(
        sum(table[row, column] for row, column in enumerate(order))
        for order in permutations(range(many), few)
    )
    assert best_total(scores) == pytest.approx(by_trying)
    assert best_total(scores) == pytest.approx(table[linear_sum_assignment(-table)].sum())


def test_the_greatest_total_of_many():
    scores = np.random.default_rng(0).random((40, 30))
    assert best_total(scores.tolist()) == pytest.approx(
        scores[linear_sum_assignment(-scores)].sum()
    )


@pytest.mark.parametrize(
    ("predicted", "gold", "exact", "f1"),
    [
        (["The  cat"], ["cat"], 1, 1),
        (["5.0"], ["5"], 1, 1),  # numbers are decimals
        (["$5"], ["5"], 1, 1),
        (["5 yards"], ["6 yards"], 0, 0),  # a number that is not there costs the span
        (["5 yards"], ["yards"], 0, 0.67),
        (["36-yard"], ["36 yard"], 1, 1),  # hyphens part words
        (["cat cat dog"], ["cat dog"], 0, 1),  # bags: each word once
        (["1,000"], ["1000"], 1, 1),
        (["Rome"], ["Rome", "Bonn"], 0, 0.5),
        (["Rome", "Bonn", "Oslo"], ["Bonn", "Rome"], 0, 0.67),
        (["x y", "x"], ["x", "x y"], 1, 1),  # the order does not matter
        (["a"], ["the"], 1, 1),  # two empty bags
        ([""], ["cat"], 0, 0),
        (["3 May"], ["3 May 1999"], 0, 0.8),
    ],
)
def test_two_lists_of_spans(predicted, gold, exact, f1):
    assert compared(predicted, gold) == (exact, f1)


def test_the_best_answer_counts_for_each_figure():
    assert drop_scores("Bob, Eve", [["Ann"], ["Eve", "Bob"]]) == (1, 1)
    assert drop_scores("Houston, Texas", [["Houston, Texas"]]) == (1, 1)  # one span is not parted
    assert drop_scores("4", [[""], ["5"], ["4"]]) == (1, 1)
    assert drop_scores("", [[""]]) == (0, 0)  # an answer whose first span is empty


@pytest.mark.parametrize(
    ("text", "spans"),
    [("Bob", ["Bob"]), ("Bob and Eve", ["Bob", "Eve"]), ("A, B, and C; D", [*"ABCD"]), ("", [""])],
)
def test_a_list_in_words(text, spans):
    assert parted(text) == spans
