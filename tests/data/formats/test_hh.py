from pathlib import Path

import pytest

from instructgpt.data.formats.hh import FORMAT, fits, to_ranking
from instructgpt.data.formats.reasons import Reason
from instructgpt.data.records import Message, Ranking

from .reading import one, read_all, reason, rows_of_file, texts

ASKED = "\n\nHuman: Name a fruit.\n\nAssistant:"
ROW = {"chosen": f"{ASKED} A pear.", "rejected": f"{ASKED} No."}
LONGER = "\n\nHuman: Hi\n\nAssistant: Ho\n\nHuman: Name a fruit.\nA red one.\n\nAssistant:"


def test_a_pair_is_a_ranking_of_two_with_the_dialogue_before_them_as_messages():
    record = one(to_ranking, ROW)
    assert record.prompt == (Message(role="user", content="Name a fruit."),)
    assert (texts(record), record.ranks) == (["A pear.", "No."], (1, 2))


def test_a_turn_begins_at_a_blank_line_and_a_marker_alone():
    answer = " Say:\nHuman: hello\n\nHumans: all\n"
    record = one(to_ranking, {"chosen": LONGER + answer, "rejected": f"{LONGER} No."})
    assert [(turn.role, turn.content) for turn in record.prompt] == [
        ("user", "Hi"),
        ("assistant", "Ho"),
        ("user", "Name a fruit.\nA red one."),
    ]
    assert texts(record) == ["Say:\nHuman: hello\n\nHumans: all\n", "No."]


def test_a_rows_own_columns_are_kept():
    record = one(to_ranking, {**ROW, "source": "red team", "labeler_id": "w1"})
    assert record.model_extra == {"source": "red team"}
    assert record.labeler_id == "w1"


@pytest.mark.parametrize(
    ("chosen", "rejected", "expected"),
    [
        (f"{ASKED} A pear.", f"{ASKED} A pear.", Reason.EQUAL_ANSWERS),
        (f"{ASKED} A pear.", f"{ASKED} A pear. \n", Reason.EQUAL_ANSWERS),
        (f"{ASKED} A pear.", f"{LONGER} A pear.", Reason.DIFFERENT_BEGINNINGS),
        (f"{ASKED} A pear.\n\nAssistant: Two.", f"{ASKED} No.", Reason.DIFFERENT_BEGINNINGS),
        (f"{ASKED} \n", f"{ASKED} No.", Reason.EMPTY_ANSWER),
        (f"{ASKED} A pear.", ASKED, Reason.EMPTY_ANSWER),
        (f"{ASKED} A pear.", f"{ASKED} A pear.\n\nHuman: Thanks.", Reason.NOT_ASSISTANT),
        ("\n\nAssistant: A pear.", "\n\nAssistant: No.", Reason.EMPTY_PROMPT),
        ("A pear.", f"{ASKED} No.", Reason.WRONG_VALUE),
        ("Well." + ASKED, f"{ASKED} No.", Reason.WRONG_VALUE),
        (7, f"{ASKED} No.", Reason.WRONG_VALUE),
        (f"{ASKED} A pear.", None, Reason.WRONG_VALUE),
    ],
)
def test_rows_that_compare_nothing_are_skipped(chosen: object, rejected: object, expected: Reason):
    assert reason(to_ranking, {"chosen": chosen, "rejected": rejected}) is expected


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (ROW, True),
        ({**ROW, "rejected": "\n\nHuman: Hi"}, True),
        ({"chosen": " A pear.", "rejected": " No."}, False),
        ({**ROW, "prompt": "Name a fruit."}, False),
        ({"chosen": ROW["chosen"]}, False),
        ({**ROW, "rejected": ["\n\nHuman:"]}, False),
    ],
)
def test_fits_pairs_of_dialogues(row: dict[str, object], expected: bool):
    assert fits(row) is expected


@pytest.mark.real
def test_the_shared_file(public_data: Path):
    rows = rows_of_file(public_data / "comparisons" / "hh_rlhf_harmless_base_test.jsonl.gz")
    records, skipped, _ = read_all(FORMAT, Ranking, rows)
    assert (len(rows), len(records)) == (1842, 1836)
    assert skipped == {"empty answer": 3, "different beginnings": 3}
