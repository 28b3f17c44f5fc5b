import pytest

from instructgpt.data.formats.fields import number, others, ranking, ranks_of
from instructgpt.data.records import Demonstration, Ranking


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, 3.0),
        ("4.5", 4.5),
        (" 2 ", 2.0),
        ("-1", -1.0),
        ("N/A", None),
        ("", None),
        (None, None),
        (True, None),
        (float("inf"), None),
        ("nan", None),
        (10**400, None),
        ("9" * 1_000_000, None),
        ([3], None),
    ],
)
def test_number_takes_finite_numbers_also_as_texts(value: object, expected: float | None):
    assert number(value) == expected


def test_ranks_are_those_of_the_order_without_gaps():
    assert ranks_of([]) == []
    assert ranks_of([-0.0, 0, 3, 0.1]) == [3, 3, 1, 2]


def test_a_rows_own_columns_are_kept_under_names_that_mean_nothing_else():
    row = {"a": 1, "prompt": "x", "ranks": "y", "team": "z", "prompt_id": "p1", "labeler_id": 7}
    assert others(row, ["a"], Ranking) == {
        "original_prompt": "x",
        "original_ranks": "y",
        "team": "z",
        "prompt_id": "p1",
        "original_labeler_id": 7,
    }


def test_columns_that_call_the_row_bad_are_heard():
    with pytest.raises(ValueError, match="deleted: true calls the line bad"):
        others({"deleted": True}, (), Ranking)
    with pytest.raises(ValueError, match="rating: 3 judges the answer"):
        others({"rating": 3}, (), Demonstration)
    assert others({"response": "x"}, (), Ranking) == {"original_response": "x"}


def test_a_ranking_has_two_to_ten_answers():
    responses = [{"text": f"{n}"} for n in range(10)]
    assert len(ranking("Hi", responses, range(1, 11), {}).responses) == 10
    with pytest.raises(ValueError, match="10 answers at most, found 11"):
        ranking("Hi", [*responses, {"text": "x"}], range(1, 12), {})
    with pytest.raises(ValueError, match="one answer"):
        ranking("Hi", responses[:1], [1], {})
