from typing import Any

import pytest

from instructgpt.data.formats.reasons import Reason
from instructgpt.data.formats.ultrafeedback import fits, to_ranking

from .reading import one, reason, texts


def answer(response: str, *ratings: str, **fields: Any) -> dict[str, Any]:
    names = ("instruction_following", "honesty", "truthfulness", "helpfulness")
    annotations = {
        name: {"Rating": rating, "Rationale": "so"}
        for name, rating in zip(names, ratings, strict=False)
    }
    return {"model": f"m-{response}", "response": response, "annotations": annotations, **fields}


def row(*answers: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "source": "invented",
        "instruction": "A synonym of big?",
        "models": [one.get("model") for one in answers],
        "correct_answers": ["None"],
        "incorrect_answers": ["None"],
        "completions": list(answers),
        **fields,
    }


def test_the_overall_score_ranks_and_equal_scores_tie():
    answers = [
        answer("large", "5", overall_score=9.0, principle="honesty"),
        answer("small", "N/A", overall_score=1.0),
        answer("great", "1", overall_score=9),
        answer("vast", "5", overall_score="7.5"),
    ]
    record = one(to_ranking, row(*answers))
    assert (record.prompt, record.ranks) == ("A synonym of big?", (1, 3, 1, 2))
    assert texts(record) == ["large", "small", "great", "vast"]
    assert record.responses[0].model == "m-large"
    kept = record.responses[0].model_extra
    assert (kept["principle"], kept["overall_score"]) == ("honesty", 9.0)
    assert kept["annotations"]["instruction_following"]["Rating"] == "5"
    assert record.model_extra["source"] == "invented"


def test_without_overall_scores_the_mean_of_the_numeric_ratings_ranks():
    answers = [
        answer("large", "5", "4", "N/A"),  # 4.5
        answer("small", "4", "5", "4", "5"),  # 4.5
        answer("great", "5", "N/A"),  # 5
        answer("vast", "N/A", ""),
        answer("tall"),
    ]
    found = to_ranking(row(*answers))
    assert found.left_out == {Reason.UNRATED: 2}
    record = one(to_ranking, row(*answers))
    assert (texts(record), record.ranks) == (["large", "small", "great"], (2, 2, 1))


def test_an_answer_without_overall_score_is_left_out_unless_ratings_judge_it():
    scored = [answer("large", overall_score=9.0), answer("vast", overall_score=8.0)]
    found = to_ranking(row(*scored, answer("small", "N/A")))
    assert found.left_out == {Reason.UNRATED: 1}
    rated = [answer("large", "3", overall_score=9.0), answer("vast", "4", overall_score=8.0)]
    record = one(to_ranking, row(*rated, answer("small", "5")))
    assert record.ranks == (3, 2, 1)  # by the ratings, which all have


PAIR = {
    "prompt": "A synonym of big?",
    "prompt_id": "p7",
    "chosen": [
        {"role": "user", "content": "A synonym of big?"},
        {"role": "assistant", "content": "large"},
    ],
    "rejected": [
        {"role": "user", "content": "A synonym of big?"},
        {"role": "assistant", "content": "small"},
    ],
    "score_chosen": 9.0,
    "score_rejected": 1.0,
}


def test_binarized_pairs():
    record = one(to_ranking, {**PAIR, "messages": PAIR["chosen"]})
    assert [turn.content for turn in record.prompt] == ["A synonym of big?"]
    assert (texts(record), record.ranks, record.prompt_id) == (["large", "small"], (1, 2), "p7")
    assert one(to_ranking, {**PAIR, "score_rejected": 9.0}).ranks == (1, 1)
    assert one(to_ranking, {**PAIR, "score_rejected": None}).ranks == (1, 2)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (row(answer("large"), answer("small")), Reason.NO_JUDGMENT),
        (row(answer("large", "5"), answer("small", "N/A")), Reason.ONE_ANSWER),
        (row(), Reason.WRONG_VALUE),
        (row(answer("large", "5"), answer("large", "3")), Reason.EQUAL_ANSWERS),
        (row(answer("large", "5"), answer("small", "3"), instruction=""), Reason.EMPTY_PROMPT),
        (row(answer("large", "5"), answer("small", "3"), instruction=None), Reason.WRONG_VALUE),
        (row(answer("large", "5"), {**answer("", "3"), "response": 3}), Reason.WRONG_VALUE),
        (row(completions="none"), Reason.WRONG_VALUE),
        ({**PAIR, "score_rejected": 9.5}, Reason.SCORES_DISAGREE),
        ({**PAIR, "chosen": PAIR["chosen"][::-1]}, Reason.DIFFERENT_BEGINNINGS),
        ({**PAIR, "chosen": [PAIR["chosen"][0]] * 2}, Reason.NOT_ASSISTANT),
        ({**PAIR, "chosen": [{"role": "user"}] * 2}, Reason.WRONG_VALUE),
    ],
)
def test_rows_that_are_nothing_are_skipped(given: dict[str, Any], expected: Reason):
    assert reason(to_ranking, given) is expected


def test_fits_completions_with_responses_and_binarized_pairs():
    assert fits(row(answer("large")))
    assert fits(PAIR)
    assert not fits(row(completions=["large"]))
    assert not fits({**PAIR, "chosen": PAIR["chosen"][1:]})  # TRL's
    assert not fits({"instruction": "Add.", "output": "5"})
