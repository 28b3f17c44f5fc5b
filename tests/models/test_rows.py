"""Rows by hand; micro-batches as partitions within the budget, against all others."""

import math
from itertools import combinations, pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from instructgpt.models.rows import budget_groups, pad_rows, text_rows


def test_the_layout_by_hand():
    right = pad_rows([[5, 6], [7]], [[8], [9, 10, 11]])
    assert right.tokens_BT.tolist() == [[5, 6, 8, 0], [7, 9, 10, 11]]
    assert right.is_token_BT.tolist() == [[True, True, True, False], [True] * 4]
    assert right.positions_BT.tolist() == [[0, 1, 2, 0], [0, 1, 2, 3]]
    assert right.source_BR.tolist() == [[1, 0, 0], [0, 1, 2]]
    assert right.response_BR.tolist() == [[8, 0, 0], [9, 10, 11]]
    assert right.is_response_BR.tolist() == [[True, False, False], [True] * 3]

    left = pad_rows([[5, 6], [7]], [[8], [9, 10, 11]], side="left")
    assert left.tokens_BT.tolist() == [[0, 5, 6, 8], [7, 9, 10, 11]]
    assert left.is_token_BT.tolist() == [[False, True, True, True], [True] * 4]
    assert left.positions_BT.tolist() == [[0, 0, 1, 2], [0, 1, 2, 3]]
    assert left.source_BR.tolist() == [[2, 0, 0], [0, 1, 2]]
    assert left.response_BR.tolist() == right.response_BR.tolist()

    text = text_rows([[5, 6, 7], [8, 9]])  # all but the first are responses
    assert text.tokens_BT.tolist() == [[5, 6, 7], [8, 9, 0]]
    assert text.response_BR.tolist() == [[6, 7], [9, 0]]
    assert text.is_response_BR.tolist() == [[True, True], [True, False]]


@given(
    items=st.lists(st.tuples(st.integers(1, 50), st.integers(1, 9)), max_size=30),
    budget=st.integers(1, 200),
)
@example(items=[(4, 1), (4, 1)], budget=8)
def test_groups_are_a_partition_within_the_budget(items, budget):
    lengths, rows = [length for length, _ in items], [count for _, count in items]
    groups = budget_groups(lengths, budget, rows)
    assert sorted(index for group in groups for index in group) == list(range(len(items)))
    for group in groups:
        assert group
        padded = max(lengths[i] for i in group) * sum(rows[i] for i in group)
        assert padded <= budget or len(group) == 1
    in_order = [lengths[i] for group in groups for i in group]
    assert in_order == sorted(lengths, reverse=True)


def cost(groups, lengths, rows, budget):
    """Padded tokens, and a sixteenth of the budget for each pass; infinite if one is too large."""
    total = 0.0
    for group in groups:
        padded = max(lengths[i] for i in group) * sum(rows[i] for i in group)
        if padded > budget and len(group) > 1:
            return math.inf
        total += padded + max(1, budget // 16)
    return total


@given(
    items=st.lists(st.tuples(st.integers(1, 50), st.integers(1, 3)), min_size=1, max_size=8),
    budget=st.integers(1, 400),
)
def test_no_other_cut_of_the_same_order_costs_less(items, budget):
    """Against all cuts there are."""
    lengths, rows = [length for length, _ in items], [count for _, count in items]
    groups = budget_groups(lengths, budget, rows)
    order = [i for group in groups for i in group]
    places = range(1, len(order))
    cuts = [cut for size in range(len(order)) for cut in combinations(places, size)]
    others = [[order[a:b] for a, b in pairwise([0, *cut, len(order)])] for cut in cuts]
    least = min(cost(other, lengths, rows, budget) for other in others)
    assert cost(groups, lengths, rows, budget) == least


def test_equal_rows_fill_a_pass():
    assert [len(group) for group in budget_groups([100] * 25, 1024)] == [10, 10, 5]


@given(lengths=st.lists(st.integers(1, 50), max_size=30), budget=st.integers(1, 200))
def test_one_row_each_is_the_default(lengths, budget):
    assert budget_groups(lengths, budget) == budget_groups(lengths, budget, [1] * len(lengths))
