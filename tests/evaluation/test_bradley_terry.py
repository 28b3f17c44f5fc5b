"""Strengths from wins: published ones, a closed form, and the likelihood's maximum by SciPy."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from instructgpt.evaluation.stats import bradley_terry

quick = settings(max_examples=50, deadline=None, derandomize=True)

BASEBALL_1987 = [  # wins of the row over the column; American League East, Agresti 2002, 10.6
    [0, 7, 9, 7, 7, 9, 11],
    [6, 0, 7, 5, 11, 9, 9],
    [4, 6, 0, 7, 7, 8, 12],
    [6, 8, 6, 0, 6, 7, 10],
    [6, 2, 6, 7, 0, 7, 12],
    [4, 4, 5, 6, 6, 0, 6],
    [2, 4, 1, 3, 1, 7, 0],
]


def test_bradley_terry_gives_agrestis_strengths():
    strengths = bradley_terry(BASEBALL_1987)
    expected = [1.581, 1.436, 1.294, 1.248, 1.108, 0.684, 0]
    assert strengths - strengths[-1] == pytest.approx(expected, abs=1e-3)
    assert strengths.mean() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("wins", "losses"), [(1, 1), (3, 1), (2.5, 0.5), (10_000, 1)])
def test_bradley_terry_of_two_players_is_half_the_log_odds(wins, losses):
    half = np.log(wins / losses) / 2
    assert bradley_terry([[0, wins], [losses, 0]]) == pytest.approx([half, -half], abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_bradley_terry_maximises_the_likelihood(seed):
    rng = np.random.default_rng(seed)
    wins = rng.integers(1, 12, size=(6, 6)).astype(float)
    wins[rng.random((6, 6)) < 0.3] = 0
    wins[np.arange(6), np.arange(6) - 1] += 1  # a cycle of wins, so that the maximum is finite
    wins += 0.5 * (rng.random((6, 6)) < 0.2)
    np.fill_diagonal(wins, 0)

    def negative_log_likelihood(free):
        strengths = [*free, 0.0]
        return sum(
            wins[i, j] * np.logaddexp(0, strengths[j] - strengths[i])
            for i, j in permutations(range(6), 2)
        )

    best = minimize(negative_log_likelihood, np.zeros(5), options={"gtol": 1e-8}).x
    assert bradley_terry(wins) == pytest.approx(np.append(best, 0) - best.sum() / 6, abs=1e-5)


@quick
@given(st.lists(st.integers(1, 9), min_size=12, max_size=12), st.permutations(range(4)))
def test_bradley_terry_follows_relabelling_reversal_and_scale(counts, order):
    wins = np.zeros((4, 4))
    wins[~np.eye(4, dtype=bool)] = counts
    strengths = bradley_terry(wins)
    assert bradley_terry(wins[np.ix_(order, order)]) == pytest.approx(
        strengths[list(order)], abs=1e-8
    )
    assert bradley_terry(wins.T) == pytest.approx(-strengths, abs=1e-8)
    assert bradley_terry(7 * wins) == pytest.approx(strengths, abs=1e-8)


def test_bradley_terry_names_players_that_never_met():
    wins = np.zeros((5, 5))
    wins[0, 2] = wins[2, 0] = wins[1, 3] = wins[3, 1] = 1
    with pytest.raises(ValueError, match=r"\[gpt, flan\] and \[sft, ppo\] and \[t0\]"):
        bradley_terry(wins, names=["gpt", "sft", "flan", "ppo", "t0"])


def test_bradley_terry_names_players_that_never_lost():
    wins = [[0, 2, 3, 1], [1, 0, 4, 5], [0, 0, 0, 1], [0, 0, 0, 0]]
    with pytest.raises(
        ValueError, match=r"\[player 0, player 1\] never lost to \[player 2, player 3\]"
    ):
        bradley_terry(wins)


@pytest.mark.parametrize(
    ("wins", "message"),
    [([[0, 1]], "square"), ([[0, -1], [1, 0]], "square"), ([[1, 1], [1, 0]], "diagonal")],
)
def test_bradley_terry_refuses_what_is_no_table_of_wins(wins, message):
    with pytest.raises(ValueError, match=message):
        bradley_terry(wins)


def test_bradley_terry_says_when_it_did_not_converge():
    with pytest.raises(ValueError, match="no convergence in 3 iterations"):
        bradley_terry(BASEBALL_1987, max_iterations=3)


def test_bradley_terry_of_one_player_is_zero():
    assert bradley_terry([[0]]).tolist() == [0]
