"""`Scorer`: texts in, scores out, whatever the batching."""

import pytest
import torch

from instructgpt.data.records import Message
from instructgpt.models.load import scorer_from_policy
from instructgpt.models.scorer import Scorer
from tests.tiny import byte_tokenizer, tiny_model

PROMPTS = ["a long prompt for a short answer", "b", "a prompt"]
RESPONSES = ["no", "a long answer to a short prompt", "an answer"]


@pytest.fixture
def scorer():
    return Scorer(scorer_from_policy(tiny_model("llama"), seed=0), byte_tokenizer())


def raw_score(scorer, tokens):
    """From transformers' own classifier, which reads a single row's last token."""
    scorer.model.config.pad_token_id = None
    with torch.no_grad():
        return scorer.model(torch.tensor([tokens])).logits.item()


def letters(text):
    return byte_tokenizer()(text)["input_ids"]


@pytest.mark.parametrize("micro_batch_tokens", [1, 60, 4096])
def test_scores_come_in_order_and_do_not_depend_on_the_batch(scorer, micro_batch_tokens):
    scores = scorer.score(PROMPTS, RESPONSES, micro_batch_tokens=micro_batch_tokens)
    expected = [
        raw_score(scorer, [*letters(prompt), *letters(response), 256])
        for prompt, response in zip(PROMPTS, RESPONSES, strict=True)
    ]
    assert (scores.dtype, scores.shape) == (torch.float32, (3,))
    assert scores.tolist() == pytest.approx(expected, abs=1e-5)


def test_a_cut_answer_is_scored_as_it_stands(scorer):
    cut = scorer.score(["ab", "ab", "ab"], ["cd", "cd", ""], finished=[False, True, False])
    expected = [raw_score(scorer, [*letters("abcd")[:4], *end]) for end in ([], [256])]
    expected.append(raw_score(scorer, letters("ab")))
    assert cut.tolist() == pytest.approx(expected, abs=1e-5)
    assert scorer.score(["ab"], ["cd"], finished=False)[0] == pytest.approx(expected[0], abs=1e-5)


def test_the_shift_is_subtracted(scorer):
    raw = scorer.score(PROMPTS, RESPONSES)
    assert scorer.shift == 0
    scorer.shift = 2.5
    torch.testing.assert_close(scorer.score(PROMPTS, RESPONSES), raw - 2.5)


def test_a_conversation_is_read_through_the_template(scorer):
    conversation = (Message(role="user", content="hi"),)
    assert torch.equal(
        scorer.score([conversation], ["x"]), scorer.score(["User: hi\n\nAssistant:"], ["x"])
    )


def test_nothing_to_score(scorer):
    assert scorer.score([], []).tolist() == []


def test_a_loaded_model_needs_its_tokenizer(scorer):
    with pytest.raises(TypeError, match="tokenizer"):
        Scorer(scorer.model)
