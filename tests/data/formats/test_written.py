from typing import Any

import pytest

from instructgpt.data.formats.reasons import Reason
from instructgpt.data.formats.written import check_demonstrations, from_written
from instructgpt.data.records import Message
from instructgpt.errors import UserError

from .reading import one, reason

ROW = {"q": "Name a sea.", "more": "", "says": "The Baltic.", "by": "ann", "topic": "seas"}
MAP = {"prompt": ["q", "more"], "response": ["says"], "labeler": ["by"]}


def test_columns_become_a_demonstration_and_others_are_kept():
    record = one(from_written, ROW, map=MAP)
    assert record.model_dump(exclude={"prompt_id"}) == {
        "prompt": "Name a sea.",
        "response": "The Baltic.",
        "labeler_id": "ann",
        "topic": "seas",
    }


def test_a_list_of_answers_is_a_demonstration_each():
    found = from_written({**ROW, "says": ["The Baltic.", 7, " "]}, map=MAP)
    assert [r.response for r in found.records] == ["The Baltic.", "7"]  # type: ignore[attr-defined]
    assert found.left_out == {Reason.EMPTY_ANSWER: 1}


def test_a_prompt_may_be_messages():
    turns = [{"role": "user", "content": "Name a sea."}]
    record = one(from_written, {**ROW, "q": turns}, map={**MAP, "prompt": ["q"]})
    assert record.prompt == (Message(role="user", content="Name a sea."),)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"says": " "}, Reason.EMPTY_ANSWER),
        ({"says": []}, Reason.EMPTY_ANSWER),
        ({"says": ["", " "]}, Reason.EMPTY_ANSWER),
        ({"says": {}}, Reason.WRONG_VALUE),
        ({"q": ""}, Reason.EMPTY_PROMPT),
    ],
)
def test_rows_that_are_nothing_are_skipped(change: dict[str, Any], expected: Reason):
    assert reason(from_written, {**ROW, **change}, map=MAP) is expected
    with pytest.raises(ValueError, match="role"):
        from_written({**ROW, "q": [{"content": 7}]}, map={**MAP, "prompt": ["q"]})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "needs to know which column is what: --map prompt=COLUMN"),
        ({"prompt": ["q"]}, "--map response=COLUMN"),
        ({**MAP, "answer": ["a"]}, "--map answer: the format demonstrations knows prompt"),
        ({**MAP, "response": ["a", "b"]}, "--map response: name one column, not 2"),
    ],
)
def test_maps_that_say_too_little_are_refused(given: Any, message: str):
    with pytest.raises(UserError, match=message):
        check_demonstrations(map=given)
