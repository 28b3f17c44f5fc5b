"""Golden values are published, or come from SciPy, a closed form, or a plain loop over the data."""

import doctest
import gzip
import json
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import binomtest, t, ttest_1samp

from instructgpt.evaluation import stats
from instructgpt.evaluation.stats import (
    Interval,
    LabelerRanking,
    bradley_terry,
    calibration,
    clustered_mean,
    clustered_share,
    krippendorff_alpha,
    pairwise_agreement,
    wilson,
)
from instructgpt.evaluation.student import t_quantile
from tests.evaluation.score_interval import assert_score_interval

quick = settings(max_examples=50, deadline=None, derandomize=True)


def bounds(interval: Interval) -> tuple[float, float]:
    return interval.low, interval.high


def test_the_examples_in_the_docstrings_hold():
    results = doctest.testmod(stats)
    assert results.attempted >= 7
    assert results.failed == 0


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


# Bradley–Terry

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


# Agreement


def test_agreement_counts_pairs_untied_for_both():
    rankings = [
        LabelerRanking("ann", "p", {"w": 1, "x": 2, "y": 2, "z": 4}),
        LabelerRanking("bob", "p", {"w": 2, "x": 1, "y": 3, "z": 3}),
        LabelerRanking("ann", "q", {"x": 1, "y": 2}),
        LabelerRanking("bob", "q", {"x": 2, "y": 2}),
        LabelerRanking("bob", "r", {"x": 2, "y": 1}),
        LabelerRanking("eve", "r", {"x": 2, "y": 1, "z": 3}),
    ]
    # p: wx disagree, wy agree, wz agree, xz agree, and xy, yz are tied; q: tied; r: xy agrees.
    interval = pairwise_agreement(rankings)
    assert (interval.estimate, interval.n) == (0.8, 5)
    # The clusters p and r deviate by 1/5: a variance of 2 · 2 / 25 / 25, as of 25 trials.
    assert_score_interval(interval, 0.8, trials=25, df=1)


def test_agreement_never_sets_a_labeler_against_himself():
    ann, again = (LabelerRanking("ann", "p", {"x": a, "y": 3 - a}) for a in (1, 2))
    with pytest.raises(ValueError, match="no two labelers"):
        pairwise_agreement([ann, again])
    bob = LabelerRanking("bob", "p", {"x": 1, "y": 2})
    assert pairwise_agreement([ann, again, bob]).estimate == 0.5


labelings = st.lists(
    st.builds(
        LabelerRanking,
        st.sampled_from(["ann", "bob", "eve"]),
        st.sampled_from("pqr"),
        st.dictionaries(st.sampled_from("wxyz"), st.integers(1, 4), min_size=2),
    ),
    max_size=8,
)


@quick
@given(labelings, st.randoms())
def test_agreement_ignores_names_order_and_direction(rankings, random):
    def result(rankings):
        try:
            return pairwise_agreement(rankings)
        except ValueError:
            return None

    expected = result([LabelerRanking("ann", "p", {"x": 1, "y": 2}), *rankings])
    renamed = {"ann": "eve", "bob": "ann", "eve": "bob"}
    changed = [
        LabelerRanking(
            renamed[r.labeler], r.prompt, {f"new {k}": 9 - 2 * v for k, v in r.ranks.items()}
        )
        for r in [LabelerRanking("ann", "p", {"x": 1, "y": 2}), *rankings]
    ]
    random.shuffle(changed)
    assert result(changed) == expected


@pytest.mark.real
def test_agreement_of_pandalm_annotators_equals_a_plain_count(public_data):
    with gzip.open(public_data / "comparisons" / "pandalm_testset.jsonl.gz", "rt") as lines:
        rows = [json.loads(line) for line in lines]
    ranks = {0: (1, 1), 1: (1, 2), 2: (2, 1)}  # 0 is a tie, else the better one
    rankings = [
        LabelerRanking(
            f"annotator{a}",
            row["instruction"] + row["input"],
            dict(zip([(row["idx"], 1), (row["idx"], 2)], ranks[row[f"annotator{a}"]], strict=True)),
        )
        for row in rows
        for a in (1, 2, 3)
    ]
    agreed = disagreed = 0
    for row in rows:
        for a, b in ((1, 2), (1, 3), (2, 3)):
            labels = {row[f"annotator{a}"], row[f"annotator{b}"]}
            agreed += labels in ({1}, {2})
            disagreed += labels == {1, 2}
    interval = pairwise_agreement(rankings)
    assert interval.n == agreed + disagreed > 1000
    assert interval.estimate == agreed / interval.n
    naive = wilson(agreed, interval.n)
    assert interval.low < naive.low < interval.estimate < naive.high < interval.high


# Krippendorff

KRIPPENDORFF_2011 = np.array(  # 4 observers, 12 units
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, np.nan, np.nan, np.nan],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, np.nan, 3],
        [np.nan, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, np.nan],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, np.nan],
    ]
)


@pytest.mark.parametrize(
    ("metric", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)]
)
def test_krippendorff_gives_the_alphas_of_his_worked_example(metric, alpha):
    assert krippendorff_alpha(KRIPPENDORFF_2011, metric) == pytest.approx(alpha, abs=5e-4)


def alpha_by_loops(ratings, metric):
    """From the definition: mean disagreement within units, over that of any two ratings."""
    units = [[v for v in unit if not np.isnan(v)] for unit in np.transpose(ratings)]
    units = [unit for unit in units if len(unit) > 1]
    everything = [v for unit in units for v in unit]

    def disagreement(a, b):
        if metric == "nominal":
            return float(a != b)
        if metric == "interval":
            return (a - b) ** 2
        between = sum(min(a, b) <= v <= max(a, b) for v in everything)
        return 0.0 if a == b else (between - (everything.count(a) + everything.count(b)) / 2) ** 2

    within = sum(
        disagreement(a, b) / (len(unit) - 1) for unit in units for a, b in permutations(unit, 2)
    ) / len(everything)
    pairs = [disagreement(a, b) for a, b in permutations(everything, 2)]
    return 1 - within / (sum(pairs) / len(pairs))


sparse = st.lists(
    st.lists(st.sampled_from([1, 2, 3, 5, 8, np.nan]), min_size=5, max_size=5),
    min_size=2,
    max_size=4,
).map(lambda rows: np.array([*rows, [1, 8, 2, 2, np.nan], [1, 8, 3, np.nan, 2]]))


@quick
@given(sparse, st.sampled_from(["nominal", "ordinal", "interval"]))
def test_krippendorff_equals_its_definition(ratings, metric):
    assert krippendorff_alpha(ratings, metric) == pytest.approx(alpha_by_loops(ratings, metric))


@quick
@given(sparse, st.permutations(range(5)))
def test_krippendorff_ignores_what_each_scale_ignores(ratings, order):
    shuffled = ratings[::-1][:, order]
    for metric in ("nominal", "ordinal", "interval"):
        assert krippendorff_alpha(shuffled, metric) == pytest.approx(
            krippendorff_alpha(ratings, metric)
        )
    assert krippendorff_alpha(7 - 2 * ratings, "interval") == pytest.approx(
        krippendorff_alpha(ratings, "interval")
    )
    assert krippendorff_alpha(np.exp(-ratings)) == pytest.approx(krippendorff_alpha(ratings))
    # 1, 2, 3, 5, 8 become 4, 8, 1, 9, 10: other names, in another order.
    assert krippendorff_alpha(4 * ratings % 11, "nominal") == pytest.approx(
        krippendorff_alpha(ratings, "nominal")
    )


def test_krippendorff_of_perfect_and_of_opposed_observers():
    assert krippendorff_alpha([[1, 2, 3], [1, 2, 3]]) == 1
    # Two observers who always differ: 1 - (2n - 1) · 2n / (2 n²) for n units.
    assert krippendorff_alpha([[0, 1, 0, 1], [1, 0, 1, 0]]) == pytest.approx(1 - 7 * 8 / 32)


@pytest.mark.parametrize(
    ("ratings", "message"),
    [
        ([[1, None], [None, 2]], "rated twice"),
        ([[3, 3], [3, 3]], "without variation"),
        ([1, 2, 3], "observers × units"),
    ],
)
def test_krippendorff_says_why_alpha_is_undefined(ratings, message):
    with pytest.raises(ValueError, match=message):
        krippendorff_alpha(ratings)


def test_krippendorff_refuses_an_unknown_metric():
    with pytest.raises(ValueError, match="metric must be"):
        krippendorff_alpha(KRIPPENDORFF_2011, "ratio")


# Calibration


def test_calibration_by_hand():
    result = calibration([0.0, 0.1, 0.15, 0.92, 1.0, 0.5], [0, 0, 1, 1, 1, 0.5])
    assert [(b.low, b.high, b.n) for b in result.bins] == [
        (0.0, 0.1, 1),
        (0.1, 0.2, 2),
        (0.5, 0.6, 1),
        (0.9, 1.0, 2),
    ]
    assert [b.predicted for b in result.bins] == pytest.approx([0, 0.125, 0.5, 0.96])
    assert [b.observed for b in result.bins] == pytest.approx([0, 0.5, 0.5, 1])
    assert result.error == pytest.approx((2 * 0.375 + 2 * 0.04) / 6)


def test_decimal_edges_belong_to_the_bin_above():
    result = calibration(np.arange(100) / 100, np.ones(100), bins=100)
    assert [b.n for b in result.bins] == [1] * 100


@pytest.mark.parametrize(
    ("probabilities", "outcomes", "message"),
    [
        ([0.5], [1, 0], "as many"),
        ([], [], "as many"),
        ([1.5], [1], "between"),
        ([np.nan], [1], "between"),
    ],
)
def test_calibration_refuses_what_is_no_probability(probabilities, outcomes, message):
    with pytest.raises(ValueError, match=message):
        calibration(probabilities, outcomes)


@quick
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1), st.integers(1, 20))
def test_calibration_error_equals_a_plain_loop(pairs, bins):
    result = calibration([p for p, _ in pairs], [y for _, y in pairs], bins)
    assert sum(b.n for b in result.bins) == len(pairs)
    error = 0.0
    for b in result.bins:
        inside = [(p, y) for p, y in pairs if b.low <= p < b.high or p == b.high == 1]
        assert len(inside) == b.n
        error += abs(sum(p - y for p, y in inside)) / len(pairs)
    assert result.error == pytest.approx(error, abs=1e-12)
