"""The area under the ROC curve and its interval, against pairs counted one by one."""

import numpy as np
import pytest

from instructgpt.evaluation.stats import auc

Z = 1.959963984540054


def delong_by_pairs(scores, labels):
    """DeLong et al. 1988 with loops over all pairs."""
    yes = [s for s, label in zip(scores, labels, strict=True) if label]
    no = [s for s, label in zip(scores, labels, strict=True) if not label]
    wins = [[1.0 if x > y else 0.5 if x == y else 0.0 for y in no] for x in yes]
    v = [sum(row) / len(no) for row in wins]
    w = [sum(row[j] for row in wins) / len(yes) for j in range(len(no))]
    area = sum(v) / len(v)
    variance = sum((x - area) ** 2 for x in v) / (len(v) - 1) / len(v)
    variance += sum((x - area) ** 2 for x in w) / (len(w) - 1) / len(w)
    return area, Z * variance**0.5


def test_by_hand():
    """Of the six pairs five are right: V = 1, 1, ½, W = ⅔, 1; se² = (1/12)/3 + (1/18)/2."""
    found = auc([0.9, 0.8, 0.3, 0.7, 0.1], [1, 1, 1, 0, 0], level=0.5)
    se = (1 / 12 / 3 + 1 / 18 / 2) ** 0.5
    assert found.estimate == pytest.approx(5 / 6)
    assert found.low == pytest.approx(5 / 6 - 0.6744897501960817 * se)
    assert found.n == 5


@pytest.mark.parametrize("seed", range(5))
def test_against_all_pairs_with_ties(seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, 60)
    scores = np.round(rng.normal(size=60) + labels, 1)
    area, half = delong_by_pairs(scores, labels)
    found = auc(scores, labels)
    assert found.estimate == pytest.approx(area)
    assert found.high - found.estimate == pytest.approx(min(half, 1 - area))
    assert found.estimate - found.low == pytest.approx(half)


def test_scores_that_are_turned_round_or_stretched():
    rng = np.random.default_rng(3)
    labels, scores = rng.integers(0, 2, 40), rng.normal(size=40)
    found, turned = auc(scores, labels), auc(-scores, labels)
    assert turned.estimate == pytest.approx(1 - found.estimate)
    assert auc(np.exp(scores), labels) == found


def test_clusters_of_one_are_no_clusters_and_doubled_rows_add_nothing():
    rng = np.random.default_rng(4)
    labels, scores = rng.integers(0, 2, 50), rng.normal(size=50)
    alone = auc(scores, labels)
    assert auc(scores, labels, range(50)).low == pytest.approx(alone.low)
    twice = auc([*scores, *scores], [*labels, *labels], [*range(50), *range(50)])
    assert (twice.estimate, twice.low) == pytest.approx((alone.estimate, alone.low))
    assert auc([*scores, *scores], [*labels, *labels]).low > alone.low


def test_clustered_intervals_cover_as_they_say():
    """Questions that are easy or hard to judge as a whole: 400 draws of 40 clusters of 6."""
    rng = np.random.default_rng(5)

    def draw(clusters):
        labels = rng.integers(0, 2, (clusters, 6))
        scores = labels + rng.normal(size=(clusters, 1)) + rng.normal(size=(clusters, 6))
        return scores.ravel(), labels.ravel(), np.repeat(np.arange(clusters), 6)

    true = auc(*draw(20_000)[:2]).estimate
    found = [auc(*draw(40)) for _ in range(400)]
    covered = np.mean([one.low <= true <= one.high for one in found])
    assert 0.91 <= covered <= 0.98


@pytest.mark.parametrize(
    ("scores", "labels", "why"),
    [
        ([0.1, 0.2], [1, 1], "positives and negatives"),
        ([0.1], [1, 0], "a label for each"),
        ([float("nan"), 0.1], [0, 1], "numbers"),
    ],
    ids=["one class", "lengths", "no number"],
)
def test_what_has_no_area_is_refused(scores, labels, why):
    with pytest.raises(ValueError, match=why):
        auc(scores, labels)


def test_bounds_are_unknown_where_classes_are_parted_or_single():
    parted = auc([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1])
    assert parted.estimate == 1.0
    assert np.isnan(parted.low)
    single = auc([0.1, 0.2, 0.15], [0, 0, 1])
    assert single.estimate == 0.5
    assert np.isnan(single.high)
