"""`ShuffledCursor`: every item once an epoch, in an order that seed, name and position decide."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instructgpt.training.cursor import ShuffledCursor


def cursor(count, *, seed=0, stream="test", position=0):
    made = ShuffledCursor(count, seed=seed, stream=stream)
    made.position = position
    return made


@given(count=st.integers(1, 30), takes=st.lists(st.integers(0, 40), max_size=8))
def test_each_epoch_holds_every_item_once_however_it_is_taken(count, takes):
    walk = cursor(count)
    taken = [index for number in takes for index in walk.take(number)]
    assert walk.position == sum(takes) == len(taken)
    assert walk.epoch == len(taken) // count
    assert taken == cursor(count).take(len(taken))
    for start in range(0, len(taken) - count + 1, count):
        assert sorted(taken[start : start + count]) == list(range(count))


@given(count=st.integers(1, 30), position=st.integers(0, 100), number=st.integers(0, 50))
def test_the_position_is_the_whole_state(count, position, number):
    walked = cursor(count)
    walked.take(position)
    assert cursor(count, position=position).take(number) == walked.take(number)


@given(count=st.integers(1, 30), at_most=st.integers(1, 40))
def test_batches_do_not_cross_epochs(count, at_most):
    walk, epoch = cursor(count), []
    while walk.epoch == 0:
        batch = walk.take_rest_of_epoch(at_most)
        assert 1 <= len(batch) <= at_most
        epoch += batch
    assert sorted(epoch) == list(range(count))
    assert walk.position == count


def test_epochs_seeds_and_streams_differ():
    first, second = (lambda walk: (walk.take(50), walk.take(50)))(cursor(50))
    orders = [first, second, cursor(50, seed=1).take(50), cursor(50, stream="other").take(50)]
    assert len({tuple(order) for order in orders}) == 4
    assert list(range(50)) not in orders


def test_an_empty_walk_is_refused():
    with pytest.raises(ValueError, match="'prompts' needs at least one"):
        ShuffledCursor(0, seed=0, stream="prompts")
