from typing import Any

import pytest

from instructgpt.data.formats.reasons import Reason
from instructgpt.data.formats.webgpt import fits, to_ranking

from .reading import one, reason, texts

ROW = {
    "question": {"dataset": "eli5", "id": "q1", "full_text": "Why is the sky blue?"},
    "quotes_0": {"title": ["T"], "extract": ["E"]},
    "answer_0": "Scattering [1].",
    "tokens_0": {"prefix": [1], "completion": [2]},
    "score_0": 0.5,
    "quotes_1": {"title": [], "extract": []},
    "answer_1": "Paint.",
    "tokens_1": {"prefix": [1], "completion": [3]},
    "score_1": -0.5,
}


def test_the_higher_score_is_better_and_quotes_stay_with_their_answer():
    record = one(to_ranking, {**ROW, "labeler_id": "w3"})
    assert (record.prompt, record.ranks) == ("Why is the sky blue?", (1, 2))
    assert texts(record) == ["Scattering [1].", "Paint."]
    assert record.responses[0].model_extra == {"score": 0.5, "quotes": ROW["quotes_0"]}
    assert record.model_extra == {"question_dataset": "eli5", "question_id": "q1"}
    assert record.labeler_id == "w3"


@pytest.mark.parametrize(
    ("scores", "ranks"), [((0, 0), (1, 1)), ((-1.0, 1.0), (2, 1)), ((0.0, -0.0), (1, 1))]
)
def test_a_score_of_0_is_a_tie(scores: tuple[float, float], ranks: tuple[int, int]):
    assert one(to_ranking, {**ROW, "score_0": scores[0], "score_1": scores[1]}).ranks == ranks


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"score_0": None}, Reason.WRONG_VALUE),
        ({"score_1": True}, Reason.WRONG_VALUE),
        ({"answer_1": None}, Reason.WRONG_VALUE),
        ({"answer_1": "Scattering [1]."}, Reason.EQUAL_ANSWERS),
        ({"question": "Why?"}, Reason.WRONG_VALUE),
        ({"question": {"id": "q1"}}, Reason.WRONG_VALUE),
        ({"question": {"full_text": ""}}, Reason.EMPTY_PROMPT),
    ],
)
def test_rows_that_are_nothing_are_skipped(change: dict[str, Any], expected: Reason):
    assert reason(to_ranking, {**ROW, **change}) is expected


def test_fits_questions_with_two_scored_answers():
    assert fits(ROW)
    assert not fits({**ROW, "question": "Why?"})
    assert not fits({key: value for key, value in ROW.items() if key != "score_1"})
