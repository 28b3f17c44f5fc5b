"""What bounds a share: the equation that Wilson's interval solves, with t for the normal z."""

from math import sqrt

import pytest
from scipy.stats import t


def assert_score_interval(interval, share, trials, df):
    """Each bound p has |share - p| = t · √(p (1 - p) / trials)."""
    for bound in (interval.low, interval.high):
        half = t.ppf(0.975, df) * sqrt(bound * (1 - bound) / trials)
        assert abs(share - bound) == pytest.approx(half, rel=1e-6)
    assert interval.low < share < interval.high
