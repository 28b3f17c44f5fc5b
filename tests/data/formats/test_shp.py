from typing import Any

import pytest

from instructgpt.data.formats.reasons import Reason
from instructgpt.data.formats.shp import check_shp, fits, to_ranking
from instructgpt.errors import UserError

from .reading import one, reason, texts

ROW = {
    "post_id": "p1",
    "domain": "askbaking_train",
    "upvote_ratio": 0.98,
    "history": "Why does bread rise?",
    "c_root_id_A": "a",
    "c_root_id_B": "b",
    "created_at_utc_A": 1,
    "created_at_utc_B": 2,
    "score_A": 3,
    "score_B": 9,
    "human_ref_A": "Heat.",
    "human_ref_B": "Yeast makes gas.",
    "labels": 0,
    "seconds_difference": 1.0,
    "score_ratio": 3.0,
}


def test_label_0_prefers_b_and_the_columns_are_kept():
    record = one(to_ranking, ROW)
    assert (record.prompt, texts(record)) == ("Why does bread rise?", ["Heat.", "Yeast makes gas."])
    assert record.ranks == (2, 1)
    assert record.responses[1].model_extra == {
        "score": 9,
        "comment_id": "b",
        "created_at_utc": 2,
    }
    assert record.model_extra == {
        "post_id": "p1",
        "domain": "askbaking_train",
        "upvote_ratio": 0.98,
        "seconds_difference": 1.0,
        "score_ratio": 3.0,
    }


@pytest.mark.parametrize(
    ("change", "ranks"),
    [
        ({"labels": 1, "score_A": 9, "score_B": 3}, (1, 2)),
        ({"labels": 1, "score_A": 9, "score_B": 9}, (1, 1)),
        ({"labels": 0, "score_A": 9, "score_B": 9}, (1, 1)),
        ({"labels": "0", "score_A": "3", "score_B": "9"}, (2, 1)),  # as CSV has them
        ({"labels": 1, "score_A": None}, (1, 2)),
    ],
)
def test_the_label_decides_and_equal_scores_tie(change: dict[str, Any], ranks: tuple[int, ...]):
    assert one(to_ranking, {**ROW, **change}).ranks == ranks


@pytest.mark.parametrize("ratio", [0.5, -2.0, float("inf"), float("nan")])
def test_what_is_no_ratio_is_refused(ratio: float):
    with pytest.raises(UserError, match="give 1 or more"):
        check_shp(min_ratio=ratio)


def test_the_ratio_can_be_asked_for():
    assert one(to_ranking, ROW, min_ratio=3).ranks == (2, 1)
    assert reason(to_ranking, ROW, min_ratio=3.5) is Reason.BELOW_RATIO
    without = {key: value for key, value in ROW.items() if key != "score_ratio"}
    assert one(to_ranking, without, min_ratio=3).ranks == (2, 1)
    assert reason(to_ranking, without, min_ratio=3.1) is Reason.BELOW_RATIO
    assert reason(to_ranking, {**without, "score_A": 0}, min_ratio=2) is Reason.WRONG_VALUE
    tie = {**ROW, "score_A": 9, "score_ratio": 1.0}
    assert reason(to_ranking, tie, min_ratio=2) is Reason.BELOW_RATIO


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"labels": 1}, Reason.SCORES_DISAGREE),
        ({"labels": 2}, Reason.WRONG_VALUE),
        ({"labels": True}, Reason.WRONG_VALUE),
        ({"labels": None}, Reason.WRONG_VALUE),
        ({"labels": "nan"}, Reason.WRONG_VALUE),
        ({"human_ref_B": "Heat."}, Reason.EQUAL_ANSWERS),
        ({"human_ref_B": 7}, Reason.WRONG_VALUE),
        ({"history": " "}, Reason.EMPTY_PROMPT),
    ],
)
def test_rows_that_are_nothing_are_skipped(change: dict[str, Any], expected: Reason):
    assert reason(to_ranking, {**ROW, **change}) is expected


def test_fits_posts_with_two_comments():
    assert fits(ROW)
    assert not fits({**ROW, "history": None})
    assert not fits({key: value for key, value in ROW.items() if key != "labels"})
