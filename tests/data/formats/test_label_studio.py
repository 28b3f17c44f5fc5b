from typing import Any

import pytest

from instructgpt.data.formats.label_studio import (
    fits,
    to_demonstrations,
    to_rankings,
    to_ratings,
)
from instructgpt.data.formats.reasons import Reason

from .reading import one, reason, texts


def annotation(type: str, value: Any, by: Any = 3, **fields: Any) -> dict[str, Any]:
    to_name = fields.pop("to_name", "list")
    return {
        "id": 7,
        "completed_by": by,
        "was_cancelled": False,
        "ground_truth": False,
        "lead_time": 4.2,
        "created_at": "2024-07-26T12:00:00Z",
        "result": [{"from_name": "rank", "to_name": to_name, "type": type, "value": value}],
        **fields,
    }


def task(*annotations: dict[str, Any], **data: Any) -> dict[str, Any]:
    items = [
        {"id": "a", "title": "1", "body": "The Baltic."},
        {"id": "b", "title": "2", "body": "The Alps."},
        {"id": 3, "title": "3", "body": "The North Sea."},
    ]
    return {
        "id": 1,
        "project": 4,
        "data": {"prompt": "Name a sea.", **(data if data else {"answers": items})},
        "annotations": list(annotations),
        "predictions": [{"result": [{"type": "ranker", "value": {"ranker": {"_": ["b", "a"]}}}]}],
    }


def ranked(*ids: Any, by: Any = 3, bucket: str = "_", **fields: Any) -> dict[str, Any]:
    return annotation("ranker", {"ranker": {bucket: list(ids)}}, by, **fields)


def paired(selected: str, by: Any = 3, to_name: str = "one,two") -> dict[str, Any]:
    return annotation("pairwise", {"selected": selected}, by, to_name=to_name)


TWO = {"one": "The Baltic.", "two": "The Alps."}


def test_a_rankers_list_is_the_annotators_ranking():
    found = to_rankings(
        task(ranked("b", 3, "a"), ranked("a", "3", "b", by={"id": 5, "email": "x"}))
    )
    first, second = found.records
    assert first.prompt == "Name a sea."  # type: ignore[attr-defined]
    assert texts(first) == ["The Baltic.", "The Alps.", "The North Sea."]
    assert (first.ranks, first.labeler_id) == ((3, 1, 2), "3")  # type: ignore[attr-defined]
    assert (second.ranks, second.labeler_id) == ((1, 3, 2), "5")  # type: ignore[attr-defined]
    assert first.responses[0].model_extra == {"id": "a", "title": "1"}  # type: ignore[attr-defined]
    assert first.model_extra == {"id": 1, "project": 4, "lead_time": 4.2}


def test_ids_and_titles_that_are_an_items_place_are_not_kept():
    items = [{"id": n, "title": f"Answer {n}", "body": f"Sea {n}"} for n in (1, 2)]
    record = one(to_rankings, task(ranked("2", "1"), answers=items))
    assert [response.model_extra for response in record.responses] == [{}, {}]
    assert record.ranks == (2, 1)


def test_items_that_stay_in_the_pool_are_left_out_and_several_buckets_are_no_order():
    found = to_rankings(task(annotation("ranker", {"ranker": {"best": ["a", "b"], "_": [3]}})))
    assert [texts(record) for record in found.records] == [["The Baltic.", "The Alps."]]
    assert found.left_out == {Reason.UNRATED: 1}
    sorted_apart = annotation("ranker", {"ranker": {"good": ["a"], "bad": ["b", 3]}})
    assert reason(to_rankings, task(sorted_apart)) is Reason.NO_ORDER


@pytest.mark.parametrize("to_name", ["one,two", "one, two", "text-1,text-2"])
def test_a_pairwise_choice_is_a_ranking_of_two(to_name: str):
    record = one(to_rankings, task(paired("right", to_name=to_name), **TWO))
    assert (record.prompt, texts(record)) == ("Name a sea.", ["The Baltic.", "The Alps."])
    assert record.ranks == (2, 1)
    assert one(to_rankings, task(paired("left"), **TWO, topic="sea")).ranks == (1, 2)


def test_canceled_annotations_are_left_out_and_predictions_never_read():
    found = to_rankings(task(ranked("a", "b", 3), ranked("b", "a", 3, was_cancelled=True)))
    assert [record.ranks for record in found.records] == [(1, 2, 3)]  # type: ignore[attr-defined]
    assert found.left_out == {Reason.NOT_SUBMITTED: 1}
    assert reason(to_rankings, task()) is Reason.NO_JUDGMENT


def test_a_rating_of_the_response_and_a_written_text():
    record = one(to_ratings, task(annotation("rating", {"rating": 6}), response="The Baltic."))
    assert (record.prompt, record.response, record.likert) == ("Name a sea.", "The Baltic.", 6)
    written = annotation("textarea", {"text": ["The Baltic.", "It is cold."]}, by=None)
    record = one(to_demonstrations, task(written, topic="sea"))
    assert (record.prompt, record.response) == ("Name a sea.", "The Baltic.\nIt is cold.")
    assert (record.labeler_id, record.model_extra["topic"]) == (None, "sea")


@pytest.mark.parametrize(
    ("convert", "given", "expected"),
    [
        (to_rankings, task(ranked("a", "b", was_cancelled=True)), Reason.NOT_SUBMITTED),
        (to_rankings, task(ranked("a")), Reason.ONE_ANSWER),
        (to_rankings, task(ranked()), Reason.ONE_ANSWER),
        (to_rankings, task(ranked("a", "z")), Reason.WRONG_VALUE),
        (to_rankings, task(annotation("ranker", {"ranker": []})), Reason.WRONG_VALUE),
        (to_rankings, task(annotation("ranker", {"ranker": {"_": "a"}})), Reason.WRONG_VALUE),
        (to_rankings, task(ranked("a", "b"), **TWO), Reason.WRONG_VALUE),
        (to_rankings, task(paired("both"), **TWO), Reason.NO_JUDGMENT),
        (to_rankings, task(paired("left", to_name="x,y"), **TWO, more="z"), Reason.WRONG_VALUE),
        (to_rankings, task(annotation("choices", {"choices": ["a"]})), Reason.NO_JUDGMENT),
        (to_rankings, task(annotation("ranker", "none")), Reason.WRONG_VALUE),
        (to_rankings, {**task(), "data": "none"}, Reason.WRONG_VALUE),
        (to_rankings, {**task(), "annotations": {}}, Reason.WRONG_VALUE),
        (to_ratings, task(annotation("rating", {"rating": 9}), response="a"), Reason.WRONG_VALUE),
        (to_demonstrations, task(annotation("textarea", {"text": [7]})), Reason.WRONG_VALUE),
        (to_demonstrations, task(annotation("textarea", {"text": [""]})), Reason.EMPTY_ANSWER),
    ],
)
def test_rows_that_are_nothing_are_skipped(convert: Any, given: Any, expected: Reason):
    assert reason(convert, given) is expected


def test_fits_data_and_annotations():
    assert fits(task())
    assert not fits({"data": {}, "fields": {}})
    assert not fits({**task(), "data": []})
