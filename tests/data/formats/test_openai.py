from typing import Any

import pytest

from instructgpt.data.formats.openai import fits, to_demonstration, to_ranking
from instructgpt.data.formats.reasons import Reason
from instructgpt.data.records import Demonstration

from .reading import one, reason, texts

SYSTEM = {"role": "system", "content": "Be brief."}
ASKED = {"role": "user", "content": "Name a fruit."}
PEAR = {"role": "assistant", "content": "A pear."}
CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "pear"}
PAIR = {
    "input": {"messages": [SYSTEM, ASKED], "tools": [], "parallel_tool_calls": True},
    "preferred_output": [PEAR],
    "non_preferred_output": [{"role": "assistant", "content": "No."}],
}


def chat(*messages: dict[str, Any]) -> dict[str, Any]:
    return {"messages": list(messages)}


def test_the_last_assistant_turn_is_learned():
    record = one(to_demonstration, chat(SYSTEM, ASKED, PEAR, {**ASKED, "name": "ann"}, PEAR))
    roles = [turn.role for turn in record.prompt]
    assert (roles, record.response) == (["system", "user", "assistant", "user"], "A pear.")


def test_parts_of_text_are_joined_as_they_stand():
    parts = [{"type": "text", "text": "A "}, {"type": "text", "text": "pear."}]
    record = one(to_demonstration, chat({**ASKED, "content": parts}, {**PEAR, "content": parts}))
    assert (record.prompt[0].content, record.response) == ("A pear.", "A pear.")


def test_turns_of_weight_0_are_read_and_not_learned():
    unlearned = {**PEAR, "content": "Fruit.", "weight": 0}
    record = one(to_demonstration, chat(ASKED, unlearned, ASKED, {**PEAR, "weight": 1}))
    assert [turn.content for turn in record.prompt] == ["Name a fruit.", "Fruit.", "Name a fruit."]
    found = to_demonstration(chat(ASKED, PEAR, ASKED, unlearned))
    (record,) = found.records
    assert isinstance(record, Demonstration)
    assert record.response == "A pear."
    assert found.left_out == {Reason.AFTER_ANSWER: 1, Reason.WEIGHT_ZERO: 1}


def test_a_preference_is_a_ranking():
    record = one(to_ranking, {**PAIR, "source": "x"})
    assert [turn.role for turn in record.prompt] == ["system", "user"]
    assert (texts(record), record.ranks) == (["A pear.", "No."], (1, 2))
    assert record.model_extra == {"tools": [], "parallel_tool_calls": True, "source": "x"}


IMAGE = [{"type": "image_url", "image_url": {"url": "http://x"}}]


@pytest.mark.parametrize(
    ("convert", "row", "expected"),
    [
        (to_demonstration, chat(ASKED, {**PEAR, "weight": 0}), Reason.WEIGHT_ZERO),
        (to_demonstration, chat(ASKED, CALL, RESULT, PEAR), Reason.TOOL_TURN),
        (to_demonstration, chat(ASKED, {**PEAR, "function_call": {"name": "f"}}), Reason.TOOL_TURN),
        (to_demonstration, chat(ASKED), Reason.NO_ANSWER),
        (to_demonstration, chat(ASKED, {**PEAR, "content": None}), Reason.NO_ANSWER),
        (to_demonstration, chat({**ASKED, "content": IMAGE}, PEAR), Reason.NOT_TEXT),
        (to_demonstration, chat({**ASKED, "content": 7}, PEAR), Reason.WRONG_VALUE),
        (
            to_demonstration,
            chat({**ASKED, "content": [{"type": "text"}]}, PEAR),
            Reason.WRONG_VALUE,
        ),
        (to_demonstration, chat(ASKED, {**PEAR, "weight": 0.5}), Reason.WRONG_VALUE),
        (to_demonstration, chat(ASKED, {**PEAR, "weight": []}), Reason.WRONG_VALUE),
        (to_demonstration, chat({"role": "cat", "content": "m"}), Reason.WRONG_VALUE),
        (to_demonstration, {"messages": "Hi"}, Reason.WRONG_VALUE),
        (to_demonstration, {"messages": []}, Reason.WRONG_VALUE),
        (to_demonstration, PAIR, Reason.OTHER_KIND),
        (to_ranking, chat(ASKED, PEAR), Reason.OTHER_KIND),
        (to_ranking, {**PAIR, "input": "Hi"}, Reason.WRONG_VALUE),
        (to_ranking, {**PAIR, "preferred_output": []}, Reason.WRONG_VALUE),
        (to_ranking, {**PAIR, "preferred_output": [ASKED]}, Reason.NOT_ASSISTANT),
        (to_ranking, {**PAIR, "preferred_output": [PEAR, PEAR]}, Reason.NOT_ASSISTANT),
        (to_ranking, {**PAIR, "preferred_output": [CALL]}, Reason.TOOL_TURN),
        (to_ranking, {**PAIR, "non_preferred_output": [PEAR]}, Reason.EQUAL_ANSWERS),
    ],
)
def test_rows_that_are_nothing_are_skipped(convert: Any, row: dict[str, Any], expected: Reason):
    assert reason(convert, row) is expected


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (chat(ASKED, PEAR), True),
        (chat(ASKED, CALL, RESULT, PEAR), True),
        (PAIR, True),
        (chat({"role": "cat", "content": "m"}), False),
        ({"messages": ["Hi"]}, False),
        ({"messages": "Hi"}, False),
        ({"prompt": "Name a fruit.", **chat(ASKED, PEAR)}, True),  # UltraChat's
        ({"prompt": "Hi", "chosen": [PEAR], "rejected": [PEAR], **chat(ASKED, PEAR)}, False),
        ({**PAIR, "input": "Hi"}, False),
    ],
)
def test_fits_chats_and_preferences(row: dict[str, Any], expected: bool):
    assert fits(row) is expected
