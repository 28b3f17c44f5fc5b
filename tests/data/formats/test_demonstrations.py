"""Dolly, Self-Instruct and LIMA: formats that hold demonstrations alone."""

from pathlib import Path
from typing import Any

import pytest

from instructgpt.data.formats import dolly, lima, self_instruct
from instructgpt.data.formats.reasons import Reason
from instructgpt.data.records import Demonstration

from .reading import one, read_all, reason, rows_of_file

DOLLY = {
    "instruction": "Name the longest river here.",
    "context": "The Ems is 371 km long, the Oste 153 km.[1]",
    "response": "The Ems.",
    "category": "closed_qa",
}
SEED = {
    "id": "seed_task_900",
    "name": "greet",
    "instruction": "Write a greeting.",
    "instances": [{"input": "", "output": "Good day."}],
    "is_classification": False,
}
LIMA = {"conversations": ["Why is ice slippery?", "A thin wet layer."], "source": "stackexchange"}


def test_dolly():
    record = one(dolly.to_demonstration, DOLLY)
    assert record.prompt == f"{DOLLY['instruction']}\n\n{DOLLY['context']}"
    assert (record.response, record.model_extra) == ("The Ems.", {"category": "closed_qa"})
    assert one(dolly.to_demonstration, {**DOLLY, "context": ""}).prompt == DOLLY["instruction"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"response": "\n"}, Reason.EMPTY_ANSWER),
        ({"context": ["a"]}, Reason.WRONG_VALUE),
        ({"response": None}, Reason.WRONG_VALUE),
        ({"instruction": " ", "context": ""}, Reason.EMPTY_PROMPT),
    ],
)
def test_dolly_rows_without_prompt_or_answer(change: dict[str, Any], expected: Reason):
    assert reason(dolly.to_demonstration, {**DOLLY, **change}) is expected


def test_self_instruct_each_instance_is_a_demonstration():
    instances = [
        {"input": "For Ann.", "output": "Good day, Ann."},
        {"input": "", "output": ""},
        {"input": "", "output": "Hello.", "by": "w1"},
    ]
    found = self_instruct.to_demonstrations({**SEED, "instances": instances})
    assert found.left_out == {Reason.EMPTY_ANSWER: 1}
    first, second = found.records
    assert isinstance(first, Demonstration)
    assert isinstance(second, Demonstration)
    assert (first.prompt, first.response) == ("Write a greeting.\n\nFor Ann.", "Good day, Ann.")
    assert (second.prompt, second.response) == ("Write a greeting.", "Hello.")
    own = {"id": "seed_task_900", "name": "greet", "is_classification": False}
    assert (first.model_extra, second.model_extra) == (own, {**own, "by": "w1"})


@pytest.mark.parametrize(
    ("instances", "expected"),
    [
        ([], Reason.WRONG_VALUE),
        ("Hi", Reason.WRONG_VALUE),
        (["Hi"], Reason.WRONG_VALUE),
        ([{"input": ""}], Reason.WRONG_VALUE),
        ([{"input": 1, "output": "Hi"}], Reason.WRONG_VALUE),
        ([{"input": "", "output": " "}], Reason.EMPTY_ANSWER),
    ],
)
def test_self_instruct_rows_without_an_output(instances: Any, expected: Reason):
    assert reason(self_instruct.to_demonstrations, {**SEED, "instances": instances}) is expected


def test_lima_turns_alternate_and_the_last_of_the_assistants_is_learned():
    record = one(lima.to_demonstration, LIMA)
    assert ([turn.content for turn in record.prompt], record.response) == (
        ["Why is ice slippery?"],
        "A thin wet layer.",
    )
    assert record.model_extra == {"source": "stackexchange"}
    longer = lima.to_demonstration({"conversations": ["Hi", "Ho", "Hum", "Ha", "Why?"]})
    (record,) = longer.records
    assert isinstance(record, Demonstration)
    assert [(turn.role, turn.content) for turn in record.prompt] == [  # type: ignore[union-attr]
        ("user", "Hi"),
        ("assistant", "Ho"),
        ("user", "Hum"),
    ]
    assert (record.response, longer.left_out) == ("Ha", {Reason.AFTER_ANSWER: 1})


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (["Why?"], Reason.NO_ANSWER),
        (["Why?", ""], Reason.NO_ANSWER),
        ([], Reason.NO_ANSWER),
        (["Why?", 7], Reason.WRONG_VALUE),
        ("Why?", Reason.WRONG_VALUE),
        (["", "So."], Reason.EMPTY_PROMPT),
    ],
)
def test_lima_rows_without_an_answer(said: Any, expected: Reason):
    assert reason(lima.to_demonstration, {"conversations": said}) is expected


def test_each_fits_its_own_rows_alone():
    formats = (dolly.FORMAT, self_instruct.FORMAT, lima.FORMAT)
    for place, row in enumerate((DOLLY, SEED, LIMA)):
        assert [known.fits(row) for known in formats] == [place == n for n in range(3)]


@pytest.mark.real
@pytest.mark.parametrize(("file", "rows"), [("seed_tasks", 151), ("user_oriented", 200)])
def test_the_shared_tasks_are_kept(public_data: Path, file: str, rows: int):
    found = rows_of_file(public_data / "demonstrations" / f"self_instruct_{file}.jsonl")
    records, skipped, left_out = read_all(self_instruct.FORMAT, Demonstration, found)
    assert (len(found), len(records), skipped, left_out) == (rows, rows, {}, {})
