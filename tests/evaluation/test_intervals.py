"""Intervals of shares and means: golden values are published, SciPy's, or by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, t, ttest_1samp

from instructgpt.evaluation.stats import Interval, clustered_mean, clustered_share, wilson
from instructgpt.evaluation.student import t_quantile

quick = settings(max_examples=50, deadline=None, derandomize=True)


def bounds(interval: Interval) -> tuple[float, float]:
    return interval.low, interval.high


# Wilson


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_the_intervals_of_newcombe_1998_table_1(successes, n, low, high):
    assert bounds(wilson(successes, n)) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
@pytest.mark.parametrize(("successes", "n"), [(0, 1), (3, 7), (50, 100), (999, 1000), (20, 20)])
def test_wilson_equals_scipy(successes, n, level):
    expected = binomtest(successes, n).proportion_ci(level, method="wilson")
    interval = wilson(successes, n, level)
    assert bounds(interval) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert (interval.estimate, interval.n) == (successes / n, n)


@quick
@given(st.integers(1, 10_000), st.data())
def test_wilson_mirrors_failures_and_holds_the_estimate(n, data):
    successes = data.draw(st.integers(0, 2 * n)) / 2
    interval, mirrored = wilson(successes, n), wilson(n - successes, n)
    assert 0 <= interval.low <= interval.estimate <= interval.high <= 1
    assert bounds(mirrored) == pytest.approx((1 - interval.high, 1 - interval.low), abs=1e-12)


@pytest.mark.parametrize(
    ("successes", "n", "level"), [(0, 0, 0.95), (3, 2, 0.95), (-1, 2, 0.95), (1, 2, 95)]
)
def test_wilson_refuses_what_is_no_share(successes, n, level):
    with pytest.raises(ValueError, match=r"0 <= successes|level"):
        wilson(successes, n, level)


# Clustered values


@pytest.mark.parametrize("df", [1, 2, 3, 4, 7, 20, 51, 999])
@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
def test_the_quantile_of_t_is_scipys(level, df):
    assert t_quantile(level, df) == pytest.approx(t.ppf((1 + level) / 2, df), rel=1e-9)


def test_many_degrees_of_freedom_are_the_normal_distribution():
    assert t_quantile(0.95, 10_000) == pytest.approx(t.ppf(0.975, 10_000), rel=2e-4)


def test_the_interval_of_single_values_is_scipys():
    values = np.random.default_rng(5).normal(size=9)
    expected = ttest_1samp(values, 0).confidence_interval(0.8)
    assert bounds(clustered_mean(values, range(9), 0.8)) == pytest.approx(expected, rel=1e-9)


def test_clusters_of_one_size_count_as_their_means():
    values = np.random.default_rng(6).normal(size=(7, 5))
    interval = clustered_mean(values.ravel(), np.repeat(np.arange(7), 5))
    expected = ttest_1samp(values.mean(1), 0).confidence_interval()
    assert bounds(interval) == pytest.approx(expected, rel=1e-9)
    assert interval.n == 35


def test_clusters_of_several_sizes_by_hand():
    # Mean 3 / 6; deviations of the clusters 0.5, -0.5 and 0: 3 / 2 · 0.5 / 36 = 1 / 48.
    interval = clustered_mean([1, 1, 0, 0, 1, 0], list("aaabcc"))
    half = t.ppf(0.975, 2) / 48**0.5
    assert bounds(interval) == pytest.approx((0.5 - half, 0.5 + half))


def test_one_cluster_has_no_known_spread():
    interval = clustered_mean([0, 1, 1], ["p", "p", "p"])
    assert interval.estimate == pytest.approx(2 / 3)
    assert np.isnan(bounds(interval)).all()
    assert bounds(clustered_share([0, 1, 1], ["p", "p", "p"])) == (0, 1)


@quick
@given(st.lists(st.tuples(st.integers(0, 1), st.sampled_from("abcde")), min_size=2), st.randoms())
def test_intervals_do_not_depend_on_the_order_of_the_values(rows, random):
    before = [
        f([v for v, _ in rows], [c for _, c in rows]) for f in (clustered_mean, clustered_share)
    ]
    random.shuffle(rows)
    after = [
        f([v for v, _ in rows], [c for _, c in rows]) for f in (clustered_mean, clustered_share)
    ]
    for one, other in zip(before, after, strict=True):
        assert bounds(one) == pytest.approx(bounds(other), nan_ok=True, abs=1e-9)
    assert 0 <= after[1].low <= after[1].estimate <= after[1].high <= 1
    assert after[1].high > after[1].low


def test_values_and_clusters_must_be_as_many():
    with pytest.raises(ValueError, match="2 values and 1 clusters"):
        clustered_mean([1, 2], ["a"])
    with pytest.raises(ValueError, match="0 values"):
        clustered_share([], [])


def test_a_share_without_spread_takes_each_cluster_for_one_trial():
    z2 = t.ppf(0.975, 2) ** 2
    unanimous = clustered_share([1] * 12, [0, 1, 2] * 4)
    assert bounds(unanimous) == pytest.approx((3 / (3 + z2), 1))  # Wilson's bounds of 3 of 3
    assert unanimous.n == 12
    assert bounds(clustered_share([0] * 3, list("abc"))) == pytest.approx((0, z2 / (3 + z2)))
    tied = clustered_share([0.5, 0.5, 1, 0], list("abcc"))
    half = t.ppf(0.975, 2) / 2 / (3 + z2) ** 0.5  # Wilson's of 1½ of 3
    assert bounds(tied) == pytest.approx((0.5 - half, 0.5 + half))


def test_a_share_of_many_single_values_has_wilsons_interval():
    interval = clustered_share([1] * 1800 + [0] * 600, range(2400))
    assert bounds(interval) == pytest.approx(bounds(wilson(1800, 2400)), abs=1e-4)


RUNS = 300


def outcomes(rng, prompts, answers, rate, ties, alike):
    """Wins, ties and losses (RUNS, prompts, answers): each prompt has a rate of its own, by as much
    as `alike`, the correlation of two answers to it.
    """
    rate_RP = np.full((RUNS, prompts), rate)
    if alike:
        concentration = (1 - alike) / alike
        parameters = rate * concentration, (1 - rate) * concentration
        rate_RP = rng.beta(*parameters, (RUNS, prompts))
    wins_RPA = (rng.random((RUNS, prompts, answers)) < rate_RP[..., None]).astype(float)
    wins_RPA[rng.random(wins_RPA.shape) < ties] = 0.5
    return wins_RPA


@pytest.mark.parametrize("prompts", [3, 5, 10, 20, 50])
def test_the_interval_of_a_win_rate_covers_it_as_often_as_it_says(prompts):
    rng = np.random.default_rng(2203_02155)
    for rate in (0.5, 0.8):
        for answers, ties, alike in ((1, 0.0, 0.0), (1, 0.3, 0.0), (4, 0.0, 0.3), (4, 0.3, 0.3)):
            truth = rate * (1 - ties) + ties / 2
            clusters = np.repeat(np.arange(prompts), answers)
            intervals = [
                clustered_share(wins.ravel(), clusters)
                for wins in outcomes(rng, prompts, answers, rate, ties, alike)
            ]
            covered = np.mean([i.low - 1e-9 <= truth <= i.high + 1e-9 for i in intervals])
            # 0.95, less three standard errors of the 300 runs
            assert covered >= 0.912, (rate, answers, ties, alike)
            assert min(i.high - i.low for i in intervals) > 0


@pytest.mark.parametrize("prompts", [3, 5, 10, 20, 50])
def test_the_interval_of_a_mean_score_covers_it_as_often_as_it_says(prompts):
    rng = np.random.default_rng(2203_02155)
    clusters = np.repeat(np.arange(prompts), 4)
    covered = 0
    for _ in range(2 * RUNS):
        effects = rng.normal(size=prompts)  # as large as the noise: the correlation is a half
        scores = 0.3 + effects[clusters] + rng.normal(size=4 * prompts)
        low, high = bounds(clustered_mean(scores, clusters))
        covered += low <= 0.3 <= high
    assert 0.923 <= covered / (2 * RUNS) <= 0.977
