from typing import Any

import pytest

from instructgpt.data.formats.argilla import (
    fits,
    to_demonstrations,
    to_rankings,
    to_ratings,
)
from instructgpt.data.formats.reasons import Reason

from .reading import one, reason, texts


def ranked(*ranks: Any, user: Any = "u1", status: str = "submitted") -> dict[str, Any]:
    """A labeler's ranks of response_1, response_2, …"""
    options = [{"rank": r, "value": f"response_{n}"} for n, r in enumerate(ranks, 1)]
    return {"value": options[::-1], "user_id": user, "status": status}


def row(*given: dict[str, Any], question: str = "ranking", **fields: Any) -> dict[str, Any]:
    return {
        "id": "r1",
        "external_id": None,
        "status": "completed",
        "fields": {
            "prompt": "Name a sea.",
            "response_1": "The Baltic.",
            "response_2": "The Alps.",
            "response_3": "The North Sea.",
        },
        "metadata": {"batch": 3},
        "suggestions": {"ranking": {"value": [], "score": None, "agent": "m1"}},
        "responses": {question: list(given)},
        **fields,
    }


def test_each_labelers_submitted_ranking_is_one_of_ours():
    found = to_rankings(row(ranked(2, 3, 1), ranked(1, 2, 1, user="u2")))
    first, second = found.records
    assert (first.prompt, texts(first)) == (  # type: ignore[attr-defined]
        "Name a sea.",
        ["The Baltic.", "The Alps.", "The North Sea."],
    )
    assert (first.ranks, first.labeler_id) == ((2, 3, 1), "u1")  # type: ignore[attr-defined]
    assert (second.ranks, second.labeler_id) == ((1, 2, 1), "u2")  # type: ignore[attr-defined]
    assert first.model_extra == {
        "batch": 3,
        "id": "r1",
        "external_id": None,
    }
    assert found.left_out == {}


def test_names_of_questions_and_fields_are_kept_where_they_say_something():
    fields = {"prompt": "Name a sea.", "gpt": "The Baltic.", "human": "The Alps."}
    value = [{"rank": 1, "value": "gpt"}, {"rank": 2, "value": "human"}]
    record = one(to_rankings, row({"value": value}, question="truthful", fields=fields))
    assert record.model_extra["question"] == "truthful"
    assert [response.model_extra for response in record.responses] == [
        {"field": "gpt"},
        {"field": "human"},
    ]


def test_drafts_and_discarded_ones_are_left_out_and_counted():
    found = to_rankings(
        row(ranked(1, 2, 3), ranked(3, 2, 1, status="draft"), ranked(1, 1, 1, status="discarded"))
    )
    assert [record.ranks for record in found.records] == [(1, 2, 3)]  # type: ignore[attr-defined]
    assert found.left_out == {Reason.NOT_SUBMITTED: 2}


def test_an_answer_without_a_rank_is_left_out_of_that_ranking():
    found = to_rankings(row(ranked(2, None, 1), ranked(1, 2, 3, user="u2")))
    assert [texts(record) for record in found.records] == [
        ["The Baltic.", "The North Sea."],
        ["The Baltic.", "The Alps.", "The North Sea."],
    ]
    assert found.left_out == {Reason.UNRATED: 1}


def test_the_prompt_is_the_field_so_called_or_the_only_other_one():
    fields = {"response_1": "The Baltic.", "response_2": "The Alps.", "ask": "Name a sea."}
    assert one(to_rankings, row(ranked(1, 2), fields=fields)).prompt == "Name a sea."
    fields |= {"instruction": "Name one.", "note": "easy"}
    record = one(to_rankings, row(ranked(1, 2), fields=fields))
    assert (record.prompt, record.model_extra["note"]) == ("Name one.", "easy")
    chat = [{"role": "user", "content": "Name a sea."}]
    fields = {"response_1": "The Baltic.", "response_2": "The Alps.", "chat": chat}
    assert one(to_rankings, row(ranked(1, 2), fields=fields)).prompt[0].content == "Name a sea."


def test_the_first_versions_list_responses_by_labeler():
    given = ranked(1, 2, 3)
    old = {"user_id": "u1", "status": "submitted", "values": {"ranking": {"value": given["value"]}}}
    record = one(to_rankings, row(responses=[old]))
    assert (record.ranks, record.labeler_id) == ((1, 2, 3), "u1")


RATED = {"prompt": "Name a sea.", "response": "The Baltic."}


def test_likert_is_a_rating_and_a_written_response_a_demonstration():
    seven = {"value": 7, "user_id": "u1", "status": "submitted"}
    record = one(to_ratings, row(seven, question="likert", fields=RATED))
    assert (record.prompt, record.response) == ("Name a sea.", "The Baltic.")
    assert (record.likert, record.labeler_id) == (7, "u1")
    written = {"value": "The Baltic.", "user_id": "u1", "status": "submitted"}
    asked = {"prompt": "Name a sea."}
    record = one(to_demonstrations, row(written, question="response", fields=asked))
    assert (record.prompt, record.response, record.labeler_id) == (
        "Name a sea.",
        "The Baltic.",
        "u1",
    )


def test_a_field_beside_the_prompt_is_kept_whatever_it_is_called():
    fields = {"prompt": "Add.", "input": "2, 3", "response_1": "5", "response_2": "6"}
    record = one(to_rankings, row(ranked(1, 2), fields=fields))
    assert (record.prompt, record.model_extra["input"]) == ("Add.", "2, 3")


def test_a_bad_answer_of_one_labeler_is_malformed_and_not_left_out():
    fields = {"prompt": "Add.", "response_1": "5", "response_2": "6", "response_3": 7}
    given = row(ranked(1, 2), ranked(1, 2, 3, user="u2"), fields=fields)
    assert reason(to_rankings, given) is Reason.WRONG_VALUE


@pytest.mark.parametrize(
    ("convert", "given", "expected"),
    [
        (to_rankings, row(), Reason.NO_JUDGMENT),
        (to_rankings, row(responses={}), Reason.NO_JUDGMENT),
        (to_rankings, row(ranked(1, 2, status="draft")), Reason.NOT_SUBMITTED),
        (to_rankings, row(ranked(1)), Reason.ONE_ANSWER),
        (to_rankings, row(ranked(1, None)), Reason.ONE_ANSWER),
        (to_rankings, row(ranked("first", 2)), Reason.WRONG_VALUE),
        (to_rankings, row(ranked(1, 2, 3, 4)), Reason.WRONG_VALUE),
        (to_rankings, row({"value": 3, "status": "submitted"}), Reason.NO_JUDGMENT),
        (to_rankings, row(responses={"ranking": "none"}), Reason.WRONG_VALUE),
        (to_rankings, row(ranked(1, 2), fields="none"), Reason.WRONG_VALUE),
        (to_rankings, row(ranked(1, 2), fields={"response_1": "a", "response_2": "b"}), None),
        (to_ratings, row(ranked(1, 2)), Reason.NO_JUDGMENT),
        (to_demonstrations, row(ranked(1, 2)), Reason.NO_JUDGMENT),
        (
            to_demonstrations,
            row({"value": " "}, question="response", fields={"prompt": "Hi"}),
            Reason.EMPTY_ANSWER,
        ),
        (to_ratings, row({"value": 8}, question="likert", fields=RATED), Reason.WRONG_VALUE),
    ],
)
def test_rows_that_are_nothing_are_skipped(convert: Any, given: Any, expected: Reason | None):
    assert reason(convert, given) is (expected or Reason.WRONG_VALUE)


def test_fits_fields_and_responses():
    assert fits(row())
    assert not fits({"fields": {}, "data": {}})
    assert not fits(row(fields=["prompt"]))
