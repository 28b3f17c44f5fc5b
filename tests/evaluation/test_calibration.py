"""Predicted against observed shares: by hand, and by a plain loop."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instructgpt.evaluation.stats import calibration

quick = settings(max_examples=50, deadline=None, derandomize=True)


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
