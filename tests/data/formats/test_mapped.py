"""Tables whose columns the user names: pairs, ranked answers, and answers to be ranked."""

from typing import Any

import pytest

from instructgpt.data.formats.format import Skip
from instructgpt.data.formats.pairs import check_pairs, from_pairs
from instructgpt.data.formats.ranked import check_ranked, from_ranked
from instructgpt.data.formats.reasons import Reason
from instructgpt.data.formats.waiting import check_candidates, to_candidates
from instructgpt.errors import UserError

from .reading import one, reason, texts

PANDALM = {
    "idx": 7,
    "motivation_app": "Maps",
    "instruction": "Name a sea.",
    "input": "",
    "response1": "The Baltic.",
    "response2": "The Alps.",
    "annotator1": 1,
    "annotator2": 0,
    "annotator3": "",
}
PAIR = {
    "prompt": ["instruction", "input"],
    "a": ["response1"],
    "b": ["response2"],
    "preference": ["annotator1", "annotator2", "annotator3"],
}
VALUES = {"1": "a", "2": "b", "0": "tie"}
STEPS = {"a-is-better": "a", "a-is-slightly-better": "a", "tie": "tie", "b-is-better": "b"}


def test_each_preference_is_a_labelers_ranking():
    found = from_pairs(PANDALM, map=PAIR, values=VALUES)
    assert [(r.labeler_id, r.ranks) for r in found.records] == [  # type: ignore[attr-defined]
        ("annotator1", (1, 2)),
        ("annotator2", (1, 1)),
    ]
    assert found.left_out == {Reason.NO_JUDGMENT: 1}
    for record in found.records:
        assert record.prompt == "Name a sea."  # type: ignore[attr-defined]
        assert texts(record) == ["The Baltic.", "The Alps."]
        assert record.model_extra == {"idx": 7, "motivation_app": "Maps"}


def test_a_finer_preference_is_kept_beside_what_it_means():
    columns = {"prompt": ["q"], "a": ["x"], "b": ["y"], "preference": ["says"]}
    row = {"q": "Name a sea.", "x": "The Alps.", "y": "The Baltic.", "says": "b-is-better"}
    for said, ranks in (("b-is-better", (2, 1)), ("a-is-slightly-better", (1, 2))):
        record = one(from_pairs, {**row, "says": said}, map=columns, values=STEPS)
        assert (record.ranks, record.model_extra) == (ranks, {"says": said})


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"annotator1": 9}, Reason.WRONG_VALUE),
        ({"annotator1": None, "annotator2": ""}, Reason.NO_JUDGMENT),
        ({"instruction": " "}, Reason.EMPTY_PROMPT),
        ({"response1": ["a"]}, Reason.WRONG_VALUE),
    ],
)
def test_pairs_that_are_nothing_are_skipped(change: dict[str, Any], expected: Reason):
    assert reason(from_pairs, {**PANDALM, **change}, map=PAIR, values=VALUES) is expected


NECTAR = {
    "prompt": "Name a sea.",
    "answers": [
        {"answer": "The Alps.", "model": "m2", "rank": 3.0},
        {"answer": "The Baltic.", "model": "m1", "rank": 1.0},
        {"answer": "Seas.", "model": "m3", "rank": 3.0},
    ],
    "num_responses": 3,
}
BY_RANK = {"prompt": ["prompt"], "answers": ["answers"], "text": ["answer"], "rank": ["rank"]}


@pytest.mark.parametrize("more", [{}, {"model": ["model"]}])
def test_objects_with_ranks_keep_their_models(more: dict[str, list[str]]):
    record = one(from_ranked, NECTAR, map={**BY_RANK, **more})
    assert texts(record) == ["The Alps.", "The Baltic.", "Seas."]
    assert record.ranks == (3, 1, 3)
    assert [response.model for response in record.responses] == ["m2", "m1", "m3"]
    assert record.model_extra == {"num_responses": 3}


def test_scores_stay_beside_their_answers_wherever_they_stood():
    by_score = {"prompt": ["q"], "answers": ["all"], "score": ["stars"]}
    objects = [{"text": "5", "stars": 1, "source": "x"}, {"text": "4", "stars": 9.5}]
    record = one(from_ranked, {"q": "2 + 2", "all": objects}, map=by_score)
    assert record.ranks == (2, 1)
    assert [r.model_extra for r in record.responses] == [
        {"stars": 1, "source": "x"},
        {"stars": 9.5},
    ]
    lists = {"q": "2 + 2", "all": ["5", "4"], "stars": [1, "9.5"]}
    record = one(from_ranked, lists, map=by_score)
    assert [r.model_extra for r in record.responses] == [{"score": 1.0}, {"score": 9.5}]
    columns = {"prompt": ["q"], "answers": ["one", "two"], "score": ["s1", "s2"]}
    sheet = {"q": "2 + 2", "one": "5", "two": "4", "s1": "0", "s2": "1"}
    record = one(from_ranked, sheet, map=columns)
    assert (record.ranks, texts(record)) == ((2, 1), ["5", "4"])


def test_an_object_has_the_answers_by_model():
    row = {"q": "2 + 2", "said": {"m1": "5", "m2": "4"}, "stars": {"m2": 9, "m1": 1}}
    columns = {"prompt": ["q"], "answers": ["said"], "score": ["stars"]}
    record = one(from_ranked, row, map=columns)
    assert record.ranks == (2, 1)
    assert [(r.model, r.text) for r in record.responses] == [("m1", "5"), ("m2", "4")]


EIGHT = {
    "id": "user_oriented_task_9",
    "prompt": "Name a sea.",
    "instruction": "Name a sea.",
    "target": "The Baltic.",
    "responses": {"gpt3": "Seas.", "tuned": "The Baltic.", "davinci": ""},
}
WAITING = {"prompt": ["prompt"], "answers": ["responses"]}


def test_answers_that_nobody_ranked_wait_for_it():
    record = one(to_candidates, EIGHT, map={**WAITING, "id": ["id"]})
    assert (record.prompt_id, record.prompt) == ("user_oriented_task_9", "Name a sea.")
    assert [(r.model, r.text) for r in record.responses] == [
        ("gpt3", "Seas."),
        ("tuned", "The Baltic."),
        ("davinci", ""),
    ]
    assert record.model_extra == {"instruction": "Name a sea.", "target": "The Baltic."}
    assert texts(one(to_candidates, {**EIGHT, "responses": ["x", "y"]}, map=WAITING)) == ["x", "y"]


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({}, Reason.EMPTY_ANSWER),
        ([], Reason.EMPTY_ANSWER),
        (["a"] * 11, Reason.MANY_ANSWERS),
        ("a", Reason.WRONG_VALUE),
        ([["a"]], Reason.WRONG_VALUE),
        ([{"says": "a"}], Reason.OTHER_KEYS),
    ],
)
def test_candidates_that_are_nothing_are_skipped(answers: Any, expected: Reason):
    assert reason(to_candidates, {**EIGHT, "responses": answers}, map=WAITING) is expected


def test_a_score_for_each_answer_is_needed():
    columns = {"prompt": ["q"], "answers": ["all"], "score": ["stars"]}
    with pytest.raises(Skip, match="stars: expected a list of 2"):
        from_ranked({"q": "2 + 2", "all": ["5", "4"], "stars": [1]}, map=columns)


@pytest.mark.parametrize(
    ("check", "given", "message"),
    [
        (check_pairs, {"map": {**PAIR, "c": ["x"]}}, "--map c: the format pairs knows prompt, a"),
        (check_pairs, {"map": PAIR, "values": {"1": "first"}}, "a value means a, b or tie"),
        (check_pairs, {"map": {**PAIR, "labeler": ["x"]}}, "names 1 columns for 3 of preference"),
        (check_ranked, {"map": WAITING}, "needs --map score="),
        (check_candidates, {"map": {"prompt": ["q"]}}, "--map answers=COLUMN"),
        (check_candidates, {"map": {**WAITING, "score": ["s"]}}, "--map score: the format"),
    ],
)
def test_maps_with_which_no_row_can_be_read_are_refused(check: Any, given: Any, message: str):
    with pytest.raises(UserError, match=message):
        check(**given)
