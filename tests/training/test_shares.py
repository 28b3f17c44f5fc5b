"""Who is drawn at each place of a mix: shares that hold at every length, one number as state."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instructgpt.training.shares import Shares

WEIGHTS = st.lists(
    st.one_of(st.integers(1, 40).map(float), st.floats(0.001, 50).map(lambda x: round(x, 3))),
    min_size=1,
    max_size=7,
)


def test_small_mixes_by_hand():
    assert Shares([1]).take(3) == [0, 0, 0]
    assert Shares([2, 2]).take(4) == [0, 1, 0, 1]
    assert Shares([3, 1]).take(8) == [0, 0, 0, 1] * 2
    # Of weights 5, 3, 2 the turns are due by 2, 4, 6, 8, 10; 3 1/3, 6 2/3, 10; 5, 10; and none may
    # come before 0, 2, 4, 6, 8; 0, 3 1/3, 6 2/3; 0, 5 (rounded down), counting places from 0.
    assert Shares([5, 3, 2]).take(10) == [0, 1, 0, 2, 0, 1, 0, 1, 0, 2]
    assert Shares([0.1, 0.3]).take(4) == Shares([1, 3]).take(4)


@settings(max_examples=50)
@given(weights=WEIGHTS, length=st.integers(1, 150))
def test_every_beginning_holds_each_source_in_its_share(weights, length):
    drawn = Shares(weights).take(length)
    counts = [0] * len(weights)
    for number, source in enumerate(drawn, start=1):
        counts[source] += 1
        for count, weight in zip(counts, weights, strict=True):
            assert abs(count - number * weight / sum(weights)) < 1 + 1e-9


@settings(max_examples=50)
@given(weights=WEIGHTS, position=st.integers(0, 150))
def test_the_position_is_the_whole_state(weights, position):
    walked, jumped = Shares(weights), Shares(weights)
    drawn = walked.take(position)
    jumped.position = position
    assert jumped.counts == walked.counts == [drawn.count(i) for i in range(len(weights))]
    assert jumped.take(20) == walked.take(20)
    assert jumped.position == position + 20


def test_far_positions_cost_no_walk_from_the_beginning():
    shares = Shares([3, 1])
    shares.position = 4 * 10**15 + 2
    assert shares.counts == [3 * 10**15 + 2, 10**15]
    assert shares.take(2) == [0, 1]


@pytest.mark.parametrize("weights", [[], [0], [1, -1]])
def test_no_sources_are_no_mix(weights):
    with pytest.raises(ValueError, match="weights above 0"):
        Shares(weights)
