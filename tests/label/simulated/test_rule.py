"""The written rule, question by question and by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instructgpt.data.records import Candidates, Message, Response
from instructgpt.label.simulated.rule import Rule, rank, rule_score

SEA = "Why do people like the sea?"  # its content words: people, like, sea
BEST = "People like the sea because it is wide and calm."


@pytest.mark.parametrize(
    ("prompt", "response", "finished", "score"),
    [
        (SEA, BEST, True, 2 + 1 + 2 + 2 + 1 + 1),
        (SEA, BEST, False, 1 + 2 + 2 + 1 + 1),
        (SEA, BEST[:-1], True, 2 + 2 + 2 + 1 + 1),  # ends like no sentence
        (SEA, "Because it is wide and calm.", True, 2 + 1 + 2 + 0 + 1 + 1),  # of nothing asked
        (
            SEA,
            "The sea is wide and calm.",
            True,
            2 + 1 + 2 + 2 / 3 + 1 + 1,
        ),  # one word of three: 7.75
        (SEA, "The sea.", True, 2 + 1 + 2 + 2 / 3 + 1 + 0),  # too short: 6.75
        (SEA, "The sea qq zz.", True, 2 + 1 + 1 + 2 / 3 + 1 + 1),  # two of four are no words: 6.75
        (SEA, "Sea sea sea sea.", True, 2 + 1 + 2 + 2 / 3 + 1 / 3 + 1),  # one pair of three: 7
        (
            SEA,
            "The sea is wide. " * 8,
            True,
            2 + 1 + 2 + 2 / 3 + 4 / 31,
        ),  # too long, repeated: 5.75
        (SEA, "", True, 2),
        (SEA, "", False, 0),
        (SEA, "?!", True, 2),  # no words at all
        ("Do it.", "The sea is wide.", True, 2 + 1 + 2 + 2 + 1 + 1),  # nothing to speak of
    ],
)
def test_scores_by_hand(prompt, response, finished, score):
    assert rule_score(prompt, response, finished) == pytest.approx(round(score * 4) / 4)


@given(st.text(max_size=60), st.text(max_size=60), st.booleans())
def test_a_score_is_a_quarter_from_0_to_9(prompt, response, finished):
    score = rule_score(prompt, response, finished)
    assert 0 <= score <= 9
    assert score * 4 == int(score * 4)


def make(prompt, *answers):
    responses = tuple(Response(text=text, sampling={"finished": end}) for text, end in answers)
    return Candidates(prompt=prompt, responses=responses)


def test_ranks_begin_at_one_and_ties_share():
    ranking = rank(
        make(SEA, ("", True), (BEST, True), (BEST[:-1], True), (BEST, False), (BEST, True))
    )
    assert ranking.ranks == (5, 1, 3, 4, 1)
    assert ranking.labeler_id == "written rule"
    assert [response.text for response in ranking.responses] == ["", BEST, BEST[:-1], BEST, BEST]


def test_a_ranking_keeps_what_the_candidates_said():
    candidates = Candidates.model_validate(
        make(SEA, (BEST, True), ("", True)).model_dump()
        | {"checks": {"keywords": ["sea"]}, "topic": "sea"}
    )
    ranking = rank(candidates, labeler="ann")
    assert (ranking.prompt_id, ranking.prompt, ranking.labeler_id) == (
        candidates.prompt_id,
        SEA,
        "ann",
    )
    assert ranking.model_extra == {"checks": {"keywords": ["sea"]}, "topic": "sea"}


def test_without_a_word_on_its_end_an_answer_counts_as_finished():
    bare = Candidates(prompt=SEA, responses=(Response(text=BEST), Response(text=BEST[:-1])))
    assert rank(bare).ranks == (1, 2)


def test_as_a_judge_it_reads_conversations():
    turns = (Message(role="user", content=SEA),)
    scores = Rule().score([SEA, turns], [BEST, BEST], finished=[True, False])
    assert scores == [9.0, 7.0]
