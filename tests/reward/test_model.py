"""`RewardModel`: from a policy, from a directory, from a loaded model."""

import pytest
import torch

from instructgpt.errors import UserError
from instructgpt.models.load import scorer_from_policy
from instructgpt.models.parts import trunk
from instructgpt.reward import RewardModel
from instructgpt.sft import SFTModel
from tests.tiny import byte_tokenizer, tiny_model


@pytest.fixture
def policy():
    return SFTModel(tiny_model("llama"), byte_tokenizer(), template="Q: {prompt}")


def test_a_policy_hands_on_its_trunk_tokenizer_and_template(policy):
    reward = RewardModel(policy)
    assert reward.text.template == "Q: {prompt}"
    assert reward.tokenizer is policy.tokenizer
    theirs = trunk(policy.model).state_dict()
    assert all(torch.equal(w, theirs[name]) for name, w in trunk(reward.model).state_dict().items())
    before = policy.model(torch.tensor([[1, 2]])).logits
    for weight in reward.model.parameters():
        weight.data.zero_()
    assert torch.equal(policy.model(torch.tensor([[1, 2]])).logits, before)


def test_the_seed_decides_the_head(policy):
    scores = [RewardModel(policy, seed=seed).score(["a"], ["b"]) for seed in (0, 0, 1)]
    assert torch.equal(scores[0], scores[1])
    assert not torch.equal(scores[0], scores[2])


def test_a_directory_and_a_loaded_model_are_taken_as_they_are(policy, tmp_path):
    reward = RewardModel(policy)
    reward.shift = 0.5
    opened = RewardModel(reward.save(tmp_path / "reward"), template="Q: {prompt}")
    loaded = RewardModel(reward.model, reward.tokenizer, template="Q: {prompt}")
    for other in (opened, loaded):
        assert torch.equal(other.score(["a"], ["b"]), reward.score(["a"], ["b"]))
    with pytest.raises(UserError, match="tokenizer"):
        RewardModel(scorer_from_policy(policy.model, seed=0))
