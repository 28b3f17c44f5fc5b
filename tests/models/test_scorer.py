"""`Scorer`: texts in, scores out, whatever the batching."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from instructgpt.data.records import Message
from instructgpt.errors import UserError
from instructgpt.models.load import scorer_from_policy
from instructgpt.models.scorer import Scorer
from instructgpt.ppo.model import PPOModel
from instructgpt.reward.model import RewardModel
from instructgpt.rollout.policy import SFTModel
from tests.files import sentence
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


def test_a_bias_of_the_head_is_part_of_the_score_wherever_it_goes(scorer, tmp_path):
    """Other tools train one; transformers' own class has no place for it."""
    scorer.shift = 0.5
    scorer.save(tmp_path / "other")
    weights = load_file(tmp_path / "other/model.safetensors")
    save_file(
        weights | {"score.bias": torch.tensor([3.25])},
        tmp_path / "other/model.safetensors",
        {"format": "pt"},
    )
    row = [*letters("ab"), *letters("cd"), 256]
    with torch.no_grad():
        state_D = scorer.model.model(torch.tensor([row])).last_hidden_state[0, -1]
    expected = float(state_D @ weights["score.weight"][0]) + 3.25 - 0.5

    read = RewardModel(tmp_path / "other")
    assert read.score(["ab"], ["cd"]).item() == pytest.approx(expected, abs=1e-5)
    policy = SFTModel(tiny_model("llama"), byte_tokenizer())
    ppo = PPOModel(policy, read)
    assert ppo.critic.score(["ab"], ["cd"]).item() == pytest.approx(expected, abs=1e-5)
    for name, model in (("saved", read), ("critic", ppo.critic)):
        again = RewardModel(model.save(tmp_path / name))
        assert again.score(["ab"], ["cd"]).item() == pytest.approx(expected, abs=1e-5)


def test_a_bias_that_is_not_finite_is_refused(scorer, tmp_path):
    scorer.save(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    weights["score.bias"] = torch.tensor([float("nan")])
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=r"the weight 'score\.bias' is not finite; ") as raised:
        Scorer(tmp_path)
    sentence(raised)


def test_a_conversation_is_read_through_the_template(scorer):
    conversation = (Message(role="user", content="hi"),)
    assert torch.equal(
        scorer.score([conversation], ["x"]), scorer.score(["User: hi\n\nAssistant:"], ["x"])
    )


def test_nothing_to_score(scorer):
    assert scorer.score([], []).tolist() == []


def test_a_loaded_model_needs_its_tokenizer(scorer):
    with pytest.raises(UserError, match="tokenizer"):
        Scorer(scorer.model)
