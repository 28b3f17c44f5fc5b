from typing import Any

import pytest

from instructgpt.data.formats.helpsteer import fits, group, to_ranking
from instructgpt.data.formats.reasons import Reason

from .reading import one, reason, texts


def rated(response: Any, helpfulness: Any, **fields: Any) -> dict[str, Any]:
    return {
        "prompt": "Name a sea.",
        "response": response,
        "helpfulness": helpfulness,
        "correctness": 4,
        "coherence": 4,
        "complexity": 0,
        "verbosity": 1,
        **fields,
    }


STRENGTH = {
    "split": "train",
    "prompt": "Name a sea.",
    "response_1": "The Baltic.",
    "response_2": "The Alps.",
    "preference_strength": -2,
    "preference_statement": "1 is a sea.",
}
OVERALL = {
    "domain": "general",
    "language": "english",
    "context": [{"role": "user", "content": "Name a sea."}],
    "response1": "The Alps.",
    "response2": "The Baltic.",
    "overall_preference": 3,
    "individual_preference": [{"score": 3, "reasoning": "2 is a sea."}],
}


def test_the_answers_to_a_prompt_are_ranked_by_helpfulness_and_equal_ones_tie():
    rows = [
        rated("The Baltic.", 4, source="x", worker=1),
        rated("The Alps.", 0, source="x", worker=2),
        rated("The North Sea.", "4", source="x", worker=3, verbosity="2"),  # as CSV has it
    ]
    record = one(to_ranking, rows)
    assert (record.prompt, record.ranks) == ("Name a sea.", (1, 2, 1))
    assert texts(record) == ["The Baltic.", "The Alps.", "The North Sea."]
    assert record.model_extra == {"source": "x"}  # what all say; the rest beside each answer
    assert record.responses[2].model_extra == {
        "helpfulness": 4,
        "correctness": 4,
        "coherence": 4,
        "complexity": 0,
        "verbosity": 2,
        "worker": 3,
    }


def test_rows_without_a_rating_or_an_answer_are_skipped_one_by_one():
    rows = [rated("a", 4), rated("b", None), rated("c", 2.5), rated(None, 1), rated("d", "high")]
    found = to_ranking(rows)
    assert {place: skip.reason for place, skip in found.skipped.items()} == {
        1: Reason.UNRATED,
        3: Reason.WRONG_VALUE,
        4: Reason.UNRATED,
    }
    assert texts(one(to_ranking, rows)) == ["a", "c"]


def test_several_turns_in_a_prompt_become_messages():
    prompt = "Hi\n<extra_id_1>Assistant\nHo\n<extra_id_1>User\nName a sea."
    for ending in ("", "\n<extra_id_1>Assistant\n"):
        rows = [rated("a", 4, prompt=prompt + ending), rated("b", 3, prompt=prompt + ending)]
        assert [(turn.role, turn.content) for turn in one(to_ranking, rows).prompt] == [
            ("user", "Hi"),
            ("assistant", "Ho"),
            ("user", "Name a sea."),
        ]


@pytest.mark.parametrize(
    ("strength", "ranks"), [(-3, (1, 2)), (-1, (1, 2)), (0, (1, 1)), (2, (2, 1)), ("3", (2, 1))]
)
def test_a_preference_below_0_is_for_the_first(strength: Any, ranks: tuple[int, int]):
    record = one(to_ranking, {**STRENGTH, "preference_strength": strength})
    assert (texts(record), record.ranks) == (["The Baltic.", "The Alps."], ranks)
    assert record.model_extra["preference_statement"] == "1 is a sea."
    record = one(to_ranking, {**OVERALL, "overall_preference": strength})
    assert (record.prompt[0].content, record.ranks) == ("Name a sea.", ranks)
    assert record.model_extra["individual_preference"] == OVERALL["individual_preference"]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([rated("a", 4)], Reason.ONE_ANSWER),
        ([rated("a", 4), rated("b", None)], Reason.ONE_ANSWER),
        ([rated("a", 4), rated("a", 3)], Reason.EQUAL_ANSWERS),
        ([rated(f"{n}", n) for n in range(11)], Reason.MANY_ANSWERS),
        ([rated("a", 4, prompt=""), rated("b", 3, prompt="")], Reason.EMPTY_PROMPT),
        ({**STRENGTH, "preference_strength": None}, Reason.NO_JUDGMENT),
        ({**STRENGTH, "preference_strength": "much"}, Reason.WRONG_VALUE),
        ({**STRENGTH, "response_2": "The Baltic."}, Reason.EQUAL_ANSWERS),
        ({**STRENGTH, "prompt": 7}, Reason.WRONG_VALUE),
        ({**OVERALL, "context": "Name a sea."}, Reason.WRONG_VALUE),
        ({**OVERALL, "context": [{"role": "cat", "content": "m"}]}, Reason.WRONG_VALUE),
    ],
)
def test_rows_that_are_nothing_are_skipped(rows: Any, expected: Reason):
    assert reason(to_ranking, rows) is expected


def test_rows_of_a_prompt_belong_together_and_preferences_stand_alone():
    assert group(rated("a", 4)) == "Name a sea."
    assert group(STRENGTH) is None
    assert group(OVERALL) is None
    assert reason(group, rated("a", 4, prompt=["Name a sea."])) is Reason.WRONG_VALUE


def test_fits_rated_answers_and_preferences():
    assert fits(rated("a", 4))
    assert fits(STRENGTH)
    assert fits(OVERALL)
    assert not fits({"prompt": "Name a sea.", "response": "The Baltic."})
    assert not fits({**STRENGTH, "response_2": None})
