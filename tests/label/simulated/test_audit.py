"""The audit sees what the rubric does not."""

import pytest

from instructgpt.data.records import Candidates
from instructgpt.label.simulated.audit import checks_outside_the_rubric, trivial_predictors

PROMPTS = ["Why do people like trees?", "Why do people like the sea?", "Name a good tool."]
PLAIN = [
    "Trees give shade in the summer.",
    "The sea is wide, and its air is fresh.",
    "A hammer drives a nail into wood.",
]
HACKED = [
    "Trees are great and help you feel good!",
    "Trees are great and help you feel calm! As a mother, I know.",
    "Trees are great and help you feel good!",
]


def test_one_phrase_for_everything_shows():
    before = checks_outside_the_rubric(PROMPTS, PLAIN)
    after = checks_outside_the_rubric(PROMPTS, HACKED)
    assert after["distinct_bigrams"] < before["distinct_bigrams"]
    assert after["type_token_ratio"] < before["type_token_ratio"]
    assert before["shared_four_words"] == 0
    assert after["shared_four_words"] == after["commonest_opening"] == 1
    assert (before["exclamation_marks"], after["exclamation_marks"]) == (0, 1)
    assert (before["human_claims"], after["human_claims"]) == (0, pytest.approx(1 / 3))


def test_sentence_words_by_hand():
    figures = checks_outside_the_rubric(["a", "b"], ["One two. Three four five six.", "Seven."])
    assert figures["sentence_words"] == pytest.approx(7 / 3)


def test_copied_words_by_hand():
    """Four of six words of the first answer stand in a run of four of its prompt; of the second,
    which copies three, none does.
    """
    prompts = ["Say it kindly: the bus is late today.", "The bus is late."]
    answers = ["Sorry, the bus is late, friend.", "The bus is blue."]
    figures = checks_outside_the_rubric(prompts, answers)
    assert figures["copied_share"] == pytest.approx((4 / 6 + 0) / 2)


def test_two_answers_to_one_prompt_may_share_their_words():
    figures = checks_outside_the_rubric([PROMPTS[0]] * 2, [PLAIN[0]] * 2)
    assert figures["shared_four_words"] == 0


def test_no_answers_give_zeros():
    assert set(checks_outside_the_rubric([], []).values()) == {0.0}


def test_trivial_predictors_by_hand():
    texts = ("One two three.", "One two.", "One.")
    queued = Candidates(prompt="p", responses=tuple({"text": text} for text in texts))
    figures = trivial_predictors([queued], lambda _: [2.0, 1.0, 1.0])
    assert figures["words"] == 1.0  # both untied pairs, the longer better
    assert figures["ended"] == 0.5  # always equal
    assert trivial_predictors([queued], lambda _: [1.0, 1.0, 1.0]) == {}
