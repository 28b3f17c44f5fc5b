"""Lines that have the keys of one record and say in another column that they are none."""

import re

import pytest

from instructgpt.data.formats import read_records
from instructgpt.data.records import Candidates, Demonstration, Prompt, Ranking, Rating
from instructgpt.errors import UserError
from tests.files import sentence, write_rows

ANSWER = {"prompt": "2 + 2", "response": "5"}
TRL = {"prompt": "2 + 2", "completion": " 5"}
CHAT = {"messages": [{"role": "user", "content": "2 + 2"}, {"role": "assistant", "content": "5"}]}
PAIR = {"prompt": "2 + 2", "chosen": " 4", "rejected": " 5"}
CHOICE = {"prompt": "2 + 2", "responses": [{"text": "4"}, {"text": "5"}]}
RANKED = CHOICE | {"ranks": [1, 2]}

CONTRADICTIONS = [
    (Demonstration, TRL, "label", False),  # TRL's unpaired preference (KTO)
    (Demonstration, ANSWER, "label", 0),
    (Demonstration, ANSWER, "label", "False"),
    (Demonstration, CHAT, "label", "rejected"),
    (Demonstration, ANSWER, "likert", 1),
    (Demonstration, ANSWER, "likert", 7),  # a good one: still a rating
    (Demonstration, ANSWER, "rejected", "4"),
    (Demonstration, TRL, "rejected", True),
    (Demonstration, TRL, "chosen", False),
    (Demonstration, ANSWER, "responses", [{"text": "4"}]),
    (Demonstration, ANSWER, "ranks", [1, 2]),
    (Demonstration, TRL, "completions", ["4"]),
    (Demonstration, ANSWER, "score", -0.5),
    (Demonstration, ANSWER, "rating", "2.5"),  # UltraFeedback's are texts
    (Demonstration, ANSWER, "helpfulness", 0),  # HelpSteer
    (Demonstration, ANSWER, "rank", 3),  # OASST
    (Demonstration, ANSWER, "deleted", True),
    (Demonstration, ANSWER, "review_result", False),
    (Demonstration, ANSWER, "fails_instruction", True),
    (Rating, ANSWER | {"likert": 3}, "rejected", "4"),
    (Rating, ANSWER | {"likert": 3}, "ranks", [1, 2]),
    (Candidates, CHOICE, "ranks", [1, 2]),
    (Candidates, CHOICE, "response", "4"),
    (Ranking, RANKED, "response", "4"),
    (Ranking, PAIR, "completion", "4"),
    (Ranking, PAIR, "label", False),
    (Ranking, RANKED, "likert", 2),
    (Ranking, RANKED, "was_cancelled", True),
]


@pytest.mark.parametrize(("kind", "row", "column", "value"), CONTRADICTIONS)
def test_a_column_that_contradicts_the_kind_is_refused_or_the_line_skipped(
    tmp_path, kind, row, column, value
):
    path = write_rows(tmp_path / "rows.jsonl", [row, {**row, column: value}])
    with pytest.raises(UserError) as raised:
        read_records(tmp_path / "rows.jsonl", kind)
    assert sentence(raised).startswith(f"{path} line 2: {column}: ")
    assert "mend or remove the line, or pass --on_error skip" in sentence(raised)
    result = read_records(tmp_path / "rows.jsonl", kind, on_error="skip")
    assert len(result.records) == 1
    assert re.match(rf".* line 2: {column}: ", result.skipped[0])


@pytest.mark.parametrize(
    ("kind", "row"),
    [
        (Demonstration, TRL | {"label": True, "chosen": True, "rejected": False, "score": None}),
        (Demonstration, TRL | {"label": "bread", "rating": "N/A", "likert": None, "topic": 3}),
        (Ranking, PAIR | {"score_chosen": 3.0, "score_rejected": 3.0, "label": 1, "score": 2}),
        (Rating, ANSWER | {"likert": 1, "hallucination": True, "score": 0}),
    ],
)
def test_columns_that_agree_or_say_nothing_are_kept(tmp_path, kind, row):
    write_rows(tmp_path / "rows.jsonl", [row])
    (record,) = read_records(tmp_path / "rows.jsonl", kind).records
    told = row.keys() - {"prompt", "completion", "response", "chosen", "rejected"}
    assert told <= record.model_dump().keys()


@pytest.mark.parametrize(("high", "low"), [(1.5, 2), ("1.5", "2.0")])
def test_a_pair_whose_chosen_answer_has_the_lower_score_is_refused(tmp_path, high, low):
    write_rows(tmp_path / "rows.jsonl", [PAIR | {"score_chosen": high, "score_rejected": low}])
    with pytest.raises(UserError, match=r"line 1: score_chosen: 1.5 is less than score_rejected"):
        read_records(tmp_path / "rows.jsonl", Ranking)


@pytest.mark.parametrize("row", [ANSWER | {"likert": 1}, TRL | {"label": False}, RANKED])
def test_prompts_are_taken_from_any_record(tmp_path, row):
    write_rows(tmp_path / "rows.jsonl", [row])
    (record,) = read_records(tmp_path / "rows.jsonl", Prompt).records
    assert record.prompt == "2 + 2"
