from collections import Counter
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from instructgpt.data.formats.qa_feedback import FORMAT, fits, order_of, to_rankings
from instructgpt.data.formats.reasons import Reason
from instructgpt.data.records import Ranking

from .reading import one, read_all, reason, rows_of_file, texts

ROW = {
    "question": "How long is the Ems?",
    "passages": [["Ems", "Ems\n\nThe Ems is a river.", "It is long."], ["Oste", "A river."]],
    "gold": "It is 371 km long.",
    "prediction 1": "371 km.",
    "prediction 2": "About 371 km.",
    "prediction 3": "Long.",
    "prediction 4": "No.",
    "feedback": {"errors": [], "missing-info": []},
    "preference": [0, 1, 1, 1, 1, 1],
}


def all_orders() -> dict[tuple[int, ...], tuple[int, ...]]:
    """The six judgments that each order of four things gives, with ties, and its ranks."""
    found = {}
    for places in product((1, 2, 3, 4), repeat=4):
        if set(places) == set(range(1, 1 + len(set(places)))):
            pairs = [(places[a], places[b]) for a in range(4) for b in range(a + 1, 4)]
            found[tuple(0 if a == b else 1 if a < b else 2 for a, b in pairs)] = places
    return found


def test_six_judgments_that_form_an_order_are_one_ranking():
    record = one(to_rankings, ROW)
    assert record.prompt == (
        "Ems\n\nThe Ems is a river. It is long.\n\nA river.\n\nHow long is the Ems?"
    )
    assert texts(record) == ["371 km.", "About 371 km.", "Long.", "No."]
    assert record.ranks == (1, 1, 2, 3)
    assert record.model_extra == {"gold": ROW["gold"], "feedback": ROW["feedback"]}


def test_judgments_that_form_none_are_a_ranking_for_each_pair():
    row = {**ROW, "preference": [1, 2, 1, 1, 0, 1]}  # 1 over 2 over 3 over 1
    found = [(texts(r), r.ranks) for r in to_rankings(row).records]  # type: ignore[attr-defined]
    assert found == [
        (["371 km.", "About 371 km."], (1, 2)),
        (["371 km.", "Long."], (2, 1)),
        (["371 km.", "No."], (1, 2)),
        (["About 371 km.", "Long."], (1, 2)),
        (["About 371 km.", "No."], (1, 1)),
        (["Long.", "No."], (1, 2)),
    ]


def test_a_pair_of_equal_answers_costs_itself():
    row = {**ROW, "prediction 4": "Long.", "preference": [1, 2, 1, 1, 0, 1]}
    found = to_rankings(row)
    assert len(found.records) == 5
    assert found.left_out == {Reason.EQUAL_ANSWERS: 1}


def test_of_all_729_judgments_those_of_an_order_are_found_with_its_ranks():
    orders = all_orders()
    assert len(orders) == 75  # the weak orders of four things
    for judgments in product((0, 1, 2), repeat=6):
        ranks = order_of(list(judgments))
        assert (tuple(ranks) if ranks else None) == orders.get(judgments)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"preference": [0, 1, 1, 1, 1]}, Reason.WRONG_VALUE),
        ({"preference": [0, 1, 1, 1, 1, 3]}, Reason.WRONG_VALUE),
        ({"preference": [0, 1, 1, 1, 1, True]}, Reason.WRONG_VALUE),
        ({"preference": [0, 1, 1, 1, 1, []]}, Reason.WRONG_VALUE),
        ({"preference": None}, Reason.WRONG_VALUE),
        ({"prediction 3": None}, Reason.WRONG_VALUE),
        ({"passages": ["Ems"]}, Reason.WRONG_VALUE),
        ({"passages": [], "question": " "}, Reason.EMPTY_PROMPT),
    ],
)
def test_rows_that_are_nothing_are_skipped(change: dict[str, Any], expected: Reason):
    assert reason(to_rankings, {**ROW, **change}) is expected


def test_fits_questions_with_four_answers_and_judgments():
    assert fits(ROW)
    assert not fits({key: value for key, value in ROW.items() if key != "prediction 4"})


@pytest.mark.real
def test_of_389_shared_rows_374_form_an_order(public_data: Path):
    rows = rows_of_file(public_data / "comparisons" / "qa_feedback_k4.jsonl.gz")
    records, skipped, _ = read_all(FORMAT, Ranking, rows)
    assert Counter(len(texts(record)) for record in records) == {4: 374, 2: 6 * 15}
    assert (len(rows), skipped) == (389, {})
