"""Rankings as comparisons: every answer once, whoever ranked it, in whatever order it was shown."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from instructgpt.data.records import Message, Ranking
from instructgpt.errors import UserError
from instructgpt.models.text import TextCodec
from instructgpt.reward.data import Comparison, encode_rankings, ranked_scores
from tests.files import sentence
from tests.tiny import byte_tokenizer

CODEC = TextCodec(byte_tokenizer())


def tokens(*texts):
    return [CODEC.response(text) for text in texts]


def ranking(answers, ranks, labeler=None, *, prompt="p?", prompt_id="p"):
    return Ranking(
        prompt_id=prompt_id,
        prompt=prompt,
        responses=[{"text": answer} for answer in answers],
        ranks=ranks,
        labeler_id=labeler,
    )


def encoded(*rankings, max_length=100, on_long="stop"):
    return encode_rankings(rankings, CODEC, max_length=max_length, on_long=on_long)[0]


def test_a_ranking_in_tokens():
    (comparison,) = encoded(ranking(["good", "bad"], [1, 2], "ann"))
    assert comparison == Comparison(
        "p", CODEC.prompt("p?"), tokens("good", "bad"), [[1, 2]], ["ann"]
    )
    assert comparison.longest == len("p?good") + 1
    assert encoded(ranking(["a", "b"], [2, 2]))[0].labelers == ["unknown"]


def test_a_cut_answer_gets_no_end_token():
    """The same text cut and ended are two answers."""
    responses = [{"text": "so", "sampling": {"finished": False}}, {"text": "so"}]
    both = [
        Ranking(prompt="p?", responses=order, ranks=ranks)
        for order, ranks in ((responses, [2, 1]), (responses[::-1], [1, 2]))
    ]
    (comparison,) = encoded(*both)
    assert comparison.responses == [CODEC.response("so")[:-1], CODEC.response("so")]
    assert comparison.responses[1][-1] == CODEC.eos
    assert comparison.ranks == [[2, 1], [2, 1]]


def test_labelers_of_the_same_answers_share_a_comparison_in_its_order():
    (comparison,) = encoded(
        ranking(["x", "y", "z"], [1, 2, 3], "ann"),
        ranking(["z", "x", "y"], [1, 3, 2], "bob"),
        ranking(["y", "z", "x"], [1, 1, 2], "cem"),
    )
    assert comparison.responses == tokens("x", "y", "z")
    assert comparison.ranks == [[1, 2, 3], [3, 2, 1], [2, 1, 1]]
    assert comparison.labelers == ["ann", "bob", "cem"]


def test_the_same_text_twice_is_two_answers():
    one, other = encoded(
        ranking(["x", "x", "y"], [1, 2, 3], "ann"),
        ranking(["x", "y"], [2, 1], "ann"),
        ranking(["y", "x", "x"], [2, 1, 3], "bob"),
    )
    assert one.responses == tokens("x", "x", "y")
    assert one.ranks == [[1, 2, 3], [1, 3, 2]]
    assert other.responses == tokens("x", "y")
    assert other.ranks == [[2, 1]]


@given(data=st.data(), k=st.integers(2, 10))
def test_shuffling_what_a_labeler_saw_changes_nothing(data, k):
    answers = [f"answer {i}" for i in range(k)]
    ranks = data.draw(st.lists(st.integers(1, k), min_size=k, max_size=k))
    order = data.draw(st.permutations(range(k)))
    shuffled = ranking([answers[i] for i in order], [ranks[i] for i in order])
    (comparison,) = encoded(ranking(answers, ranks), shuffled)
    assert len(comparison.responses) == k
    assert comparison.ranks == [ranks, ranks]
    assert comparison.has_pair == (len(set(ranks)) > 1)


def test_other_answers_or_prompts_are_other_comparisons():
    talk = (Message(role="user", content="q?"),)
    comparisons = encoded(
        ranking(["x", "y"], [1, 2]),
        ranking(["x", "z"], [1, 2]),
        ranking(["x", "y"], [2, 1], prompt="q?"),  # two files that both number their prompts from 1
        ranking(["y", "x"], [1, 2], prompt=talk, prompt_id="talk"),
        ranking(["x", "y"], [2, 1], prompt=talk, prompt_id="talk"),
    )
    assert [len(comparison.ranks) for comparison in comparisons] == [1, 1, 1, 2]
    assert comparisons[2].prompt == CODEC.prompt("q?")
    assert comparisons[3].ranks == [[1, 2], [1, 2]]


def test_long_answers():
    rows = [ranking(["abcdef", "a"], [1, 2]), ranking(["b", "c"], [1, 2])]
    kept, skipped = encode_rankings(rows, CODEC, max_length=5, on_long="skip")
    assert [comparison.responses for comparison in kept] == [tokens("b", "c")]
    assert skipped == ["ranking 1 (prompt p) has a row of 9 tokens, more than the 5 that fit"]
    cut = encoded(*rows, max_length=5, on_long="truncate")[0]
    assert cut.responses == [CODEC.response("abc", finished=False), CODEC.response("a")]
    with pytest.raises(UserError, match=r"ranking 1 .* --on_long skip or truncate") as raised:
        encoded(*rows, max_length=5)
    sentence(raised)


@pytest.mark.parametrize("on_long", ["skip", "truncate"])
def test_nothing_left_is_refused(on_long):
    long = ranking(["a", "b"], [1, 2], prompt="a prompt without room for an answer")
    with pytest.raises(UserError, match="no ranking is left") as raised:
        encoded(long, max_length=5, on_long=on_long)
    sentence(raised)


def test_the_layout_of_a_batch_by_hand():
    three = Comparison("p", [1], [[2], [3], [4]], [[1, 2, 3], [2, 2, 1]], ["ann", "bob"])
    two = Comparison("q", [1], [[5], [6]], [[2, 1]], ["ann"])
    ranked = ranked_scores([three, two], torch.device("cpu"))
    assert ranked.index_LK.tolist() == [[0, 1, 2], [0, 1, 2], [3, 4, 0]]
    assert ranked.ranks_LK[:2].tolist() == [[1, 2, 3], [2, 2, 1]]
    assert ranked.ranks_LK[2, :2].tolist() == [2, 1]
    assert ranked.present_LK.tolist() == [[True] * 3, [True] * 3, [True, True, False]]
