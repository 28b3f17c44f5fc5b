"""Agreement between labelers, and Krippendorff's alpha: published values, or plain loops."""

import gzip
import json
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instructgpt.evaluation.stats import (
    LabelerRanking,
    krippendorff_alpha,
    pairwise_agreement,
    wilson,
)
from tests.evaluation.score_interval import assert_score_interval

quick = settings(max_examples=50, deadline=None, derandomize=True)


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
