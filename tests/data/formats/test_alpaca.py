from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from instructgpt.data.formats.alpaca import (
    FORMAT,
    fits,
    kind_of,
    to_demonstration,
    to_ranking,
)
from instructgpt.data.formats.reasons import Reason
from instructgpt.data.records import Demonstration, Ranking

from .reading import one, read_all, reason, rows_of_file, texts

ROW = {"instruction": "Add the numbers.", "input": "2, 3", "output": "5"}
RANKED = {"instruction": "Name a sea.", "input": "", "output": ["The Baltic.", "A lake.", "Alps."]}


@pytest.mark.parametrize(
    ("given", "prompt"),
    [("2, 3", "Add the numbers.\n\n2, 3"), ("", "Add the numbers."), (None, "Add the numbers.")],
)
def test_the_input_follows_the_instruction_after_a_blank_line(given: object, prompt: str):
    record = one(to_demonstration, {**ROW, "input": given})
    assert (record.prompt, record.response) == (prompt, "5")


def test_history_comes_before_the_instruction_and_a_system_prompt_before_all():
    row = {**ROW, "history": [["Hi", "Ho"], ["Hum", "Ha"]], "system": "Be brief.", "topic": "sums"}
    record = one(to_demonstration, row)
    assert [(turn.role, turn.content) for turn in record.prompt] == [
        ("system", "Be brief."),
        ("user", "Hi"),
        ("assistant", "Ho"),
        ("user", "Hum"),
        ("assistant", "Ha"),
        ("user", "Add the numbers.\n\n2, 3"),
    ]
    assert record.model_extra == {"topic": "sums"}


def test_a_list_of_outputs_is_a_ranking_with_the_best_first():
    record = one(to_ranking, RANKED)
    assert (record.prompt, texts(record)) == ("Name a sea.", RANKED["output"])
    assert record.ranks == (1, 2, 3)


def test_chosen_and_rejected_texts_are_a_ranking():
    row = {"instruction": "Name a sea.", "input": "", "chosen": "The Baltic.", "rejected": "Alps."}
    record = one(to_ranking, row)
    assert (texts(record), record.ranks) == (["The Baltic.", "Alps."], (1, 2))


@pytest.mark.parametrize(
    ("convert", "change", "expected"),
    [
        (to_demonstration, {"output": ["5", "6"]}, Reason.OTHER_KIND),
        (to_ranking, {}, Reason.OTHER_KIND),
        (to_ranking, {"output": ["5"]}, Reason.ONE_ANSWER),
        (to_ranking, {"output": []}, Reason.ONE_ANSWER),
        (to_ranking, {"output": ["5", "5 "]}, Reason.EQUAL_ANSWERS),
        (to_ranking, {"output": [f"{n}" for n in range(11)]}, Reason.MANY_ANSWERS),
        (to_ranking, {"output": ["5", 6]}, Reason.WRONG_VALUE),
        (to_ranking, {"output": {"a": 1}}, Reason.WRONG_VALUE),
        (to_demonstration, {"output": " "}, Reason.EMPTY_ANSWER),
        (to_demonstration, {"instruction": "", "input": ""}, Reason.EMPTY_PROMPT),
        (to_demonstration, {"instruction": 5}, Reason.WRONG_VALUE),
        (to_demonstration, {"input": 5}, Reason.WRONG_VALUE),
        (to_demonstration, {"history": "Hi"}, Reason.WRONG_VALUE),
        (to_demonstration, {"history": [["Hi"]]}, Reason.WRONG_VALUE),
        (to_demonstration, {"history": [["Hi", None]]}, Reason.WRONG_VALUE),
        (to_demonstration, {"system": 5}, Reason.WRONG_VALUE),
    ],
)
def test_rows_that_are_nothing_are_skipped(convert: Any, change: dict[str, Any], expected: Reason):
    assert reason(convert, {**ROW, **change}) is expected


def test_a_column_that_calls_the_answer_bad_is_heard():
    with pytest.raises(ValueError, match="label: false calls the line bad"):
        to_demonstration({**ROW, "label": False})
    with pytest.raises(ValueError, match="score: 2 judges the answer"):
        to_demonstration({**ROW, "score": 2})


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        (ROW, Demonstration),
        (RANKED, Ranking),
        ({"instruction": "Hi", "chosen": "a", "rejected": "b"}, Ranking),
        ({**RANKED, "output": [1]}, None),
        ({"instruction": "Hi", "instances": []}, None),
    ],
)
def test_rows_with_an_output_fit(row: dict[str, Any], kind: Any):
    assert (kind_of(row), fits(row)) == (kind, kind is not None)


@pytest.mark.real
@pytest.mark.parametrize(
    ("file", "rows"),
    [
        ("demonstrations/lima.jsonl.gz", 870),
        ("demonstrations/machine_alpaca_en_demo.jsonl.gz", 999),
        ("demonstrations/oasst1_zh_sft.jsonl.gz", 456),
    ],
)
def test_the_shared_demonstrations_are_kept(public_data: Path, file: str, rows: int):
    found = rows_of_file(public_data / file)
    records, skipped, left_out = read_all(FORMAT, Demonstration, found)
    assert (len(found), len(records), skipped, left_out) == (rows, rows, {}, {})
    with_history = sum(bool(row.get("history")) for row in found)
    assert sum(not isinstance(r.prompt, str) for r in records) == with_history  # type: ignore[attr-defined]


@pytest.mark.real
def test_the_shared_rankings(public_data: Path):
    rows = rows_of_file(public_data / "comparisons" / "oasst1_zh_ranked.jsonl.gz")
    records, skipped, _ = read_all(FORMAT, Ranking, rows)
    assert Counter(len(row["output"]) for row in rows) == {2: 238, 3: 159, 4: 43, 5: 9, 6: 1, 10: 1}
    counts = Counter(len(texts(record)) for record in records)
    assert counts == {2: 235, 3: 159, 4: 43, 5: 9, 6: 1, 10: 1}
    assert skipped == {"equal answers": 3}
