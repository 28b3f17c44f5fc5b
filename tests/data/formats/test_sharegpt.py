from pathlib import Path
from typing import Any

import pytest

from instructgpt.data.formats.reasons import Reason
from instructgpt.data.formats.sharegpt import FORMAT, fits, to_demonstration, to_ranking
from instructgpt.data.records import Demonstration, Ranking

from .reading import one, read_all, reason, rows_of_file, texts


def turns(*said: str, roles: str = "hg") -> list[dict[str, str]]:
    names = {"h": "human", "g": "gpt", "s": "system", "f": "function_call", "o": "observation"}
    return [
        {"from": names[roles[place % len(roles)]], "value": text} for place, text in enumerate(said)
    ]


ROW = {"id": "x1", "conversations": turns("Name a fruit.", "A pear.")}
PAIR = {
    "conversations": turns("Hi", "Ho", "Name a fruit."),
    "chosen": {"from": "gpt", "value": "A pear."},
    "rejected": {"from": "gpt", "value": "No."},
}


def test_the_last_answer_of_a_conversation_is_learned():
    record = one(to_demonstration, {**ROW, "system": "Be brief."})
    assert [(turn.role, turn.content) for turn in record.prompt] == [
        ("system", "Be brief."),
        ("user", "Name a fruit."),
    ]
    assert (record.response, record.model_extra) == ("A pear.", {"id": "x1"})


def test_turns_after_the_last_answer_are_left_out_and_counted():
    found = to_demonstration({"conversations": turns("Hi", "Ho", "Thanks.")})
    assert found.left_out == {Reason.AFTER_ANSWER: 1}
    (record,) = found.records
    assert isinstance(record, Demonstration)
    assert record.response == "Ho"


def test_chosen_and_rejected_are_a_ranking():
    record = one(to_ranking, PAIR)
    assert [turn.content for turn in record.prompt] == ["Hi", "Ho", "Name a fruit."]
    assert (texts(record), record.ranks) == (["A pear.", "No."], (1, 2))


@pytest.mark.parametrize(
    ("convert", "row", "expected"),
    [
        (to_demonstration, PAIR, Reason.OTHER_KIND),
        (to_ranking, ROW, Reason.OTHER_KIND),
        (to_demonstration, {"conversations": turns("Hi")}, Reason.NO_ANSWER),
        (to_demonstration, {"conversations": turns("Hi", " ")}, Reason.NO_ANSWER),
        (
            to_demonstration,
            {"conversations": turns("Hi", "f()", "1", roles="hfog")},
            Reason.TOOL_TURN,
        ),
        (to_demonstration, {"conversations": turns("Ho", roles="g")}, Reason.EMPTY_PROMPT),
        (to_demonstration, {"conversations": []}, Reason.WRONG_VALUE),
        (to_demonstration, {"conversations": ["Hi"]}, Reason.WRONG_VALUE),
        (to_demonstration, {"conversations": [{"from": "cat", "value": "m"}]}, Reason.WRONG_VALUE),
        (to_demonstration, {"conversations": [{"from": "gpt", "value": 1}]}, Reason.WRONG_VALUE),
        (to_demonstration, {"conversations": [{"from": [], "value": "m"}]}, Reason.WRONG_VALUE),
        (to_ranking, {**PAIR, "rejected": PAIR["chosen"]}, Reason.EQUAL_ANSWERS),
        (to_ranking, {**PAIR, "chosen": {"from": "human", "value": "a"}}, Reason.NOT_ASSISTANT),
        (to_ranking, {**PAIR, "chosen": {}}, Reason.WRONG_VALUE),
        (to_ranking, {**PAIR, "conversations": turns("f()", roles="f")}, Reason.TOOL_TURN),
    ],
)
def test_rows_that_are_nothing_are_skipped(convert: Any, row: dict[str, Any], expected: Reason):
    assert reason(convert, row) is expected


def test_fits_conversations_of_objects():
    assert fits(ROW)
    assert fits(PAIR)
    assert not fits({"conversations": ["Hi", "Ho"]})
    assert not fits({"conversations": [{"role": "user"}]})


def test_turns_may_have_role_and_content():
    said = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]
    assert fits({"conversations": said})
    assert one(to_demonstration, {"conversations": said}).response == "Ho"


@pytest.mark.real
def test_the_shared_pairs(public_data: Path):
    rows = rows_of_file(public_data / "comparisons" / "machine_dpo_en_demo.jsonl.gz")
    records, skipped, left_out = read_all(FORMAT, Ranking, rows)
    assert (len(rows), len(records), skipped, left_out) == (300, 300, {}, {})
