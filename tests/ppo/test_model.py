"""The four networks of the RL stage: which are copies, which are trained, what they read."""

import pytest
import torch

from instructgpt.errors import UserError
from instructgpt.models.scorer import Scorer
from instructgpt.ppo.model import PPOModel
from instructgpt.ppo.trainer import PPOTrainer
from instructgpt.reward.model import RewardModel
from instructgpt.rollout.policy import SFTModel
from tests.ppo import plain
from tests.ppo.letters import END, PROMPTS, letter_policy, letter_ppo, make_config
from tests.tiny import byte_tokenizer, tiny_model


def weights(network) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in network.model.named_parameters()}


def equal(one, other) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def networks(ppo) -> dict[str, SFTModel | Scorer]:
    names = ("policy", "reference", "reward_model", "critic")
    return {name: getattr(ppo, name) for name in names}


def test_policy_and_critic_learn_while_reference_and_reward_model_stay_to_the_bit():
    ppo = letter_ppo()
    before = {name: weights(network) for name, network in networks(ppo).items()}
    trainer = PPOTrainer(ppo, make_config(num_ppo_epochs=2, ptx_coef=1.0, pretrain_data="text"))
    for _ in range(2):
        trainer.train_step(PROMPTS, [[1, 2, 3]] * 8)
    stayed = {name for name, x in networks(ppo).items() if equal(weights(x), before[name])}
    assert stayed == {"reference", "reward_model"}


def test_the_reference_starts_as_the_policy_and_the_critic_as_the_reward_model():
    ppo = letter_ppo()
    assert equal(weights(ppo.reference), weights(ppo.policy))
    assert equal(weights(ppo.critic), weights(ppo.reward_model))
    assert ppo.critic.shift == ppo.reward_model.shift == 0.25
    assert not equal(weights(ppo.critic), weights(letter_ppo(seed=1).critic))


def test_only_policy_and_critic_take_gradients():
    for name, network in networks(letter_ppo()).items():
        takes_gradients = name in {"policy", "critic"}
        assert {p.requires_grad for p in network.model.parameters()} == {takes_gradients}, name


def test_no_two_networks_share_memory():
    places = [p.data_ptr() for x in networks(letter_ppo()).values() for p in x.model.parameters()]
    assert len(set(places)) == len(places)


def test_all_networks_stand_on_the_policys_device():
    """`meta` is a device that every machine has."""
    policy = SFTModel(tiny_model(), byte_tokenizer(), device="meta")
    ppo = PPOModel(policy, RewardModel(policy))
    assert {name: x.device.type for name, x in networks(ppo).items()} == dict.fromkeys(
        networks(ppo), "meta"
    )


def test_a_critic_of_ones_own_is_trained_and_keeps_its_shift():
    policy, reward = letter_policy(), RewardModel(letter_policy(seed=1))
    critic = RewardModel(letter_policy(seed=2))
    critic.shift = -1.0
    ppo = PPOModel(policy, reward, critic=critic)
    before = weights(critic)
    PPOTrainer(ppo, make_config()).train_step(PROMPTS)
    assert ppo.critic is critic
    assert critic.shift == -1.0
    assert not equal(weights(critic), before)


def test_a_critic_that_reads_another_vocabulary_is_refused():
    critic = RewardModel(SFTModel(tiny_model(), byte_tokenizer()))
    with pytest.raises(UserError, match="the critic reads another vocabulary"):
        PPOModel(letter_policy(), RewardModel(letter_policy()), critic=critic)


@pytest.fixture
def foreign() -> PPOModel:
    """The policy writes letters, the reward model reads bytes."""
    reward = RewardModel(SFTModel(tiny_model("gpt2", seed=5), byte_tokenizer()))
    reward.shift = 0.25
    return PPOModel(letter_policy(), reward)


def assert_scores(ppo, read):
    """An episode's score is that of the tokens that `read(prompt, text, finished)` gives."""
    experience = PPOTrainer(ppo, make_config()).make_experience(PROMPTS, list(range(8)))
    assert 0 < experience.finished_B.sum() < 8
    rows = zip(PROMPTS, experience.responses, experience.finished_B, strict=True)
    for row, (prompt, response, finished) in enumerate(rows):
        text = "".join("abcdefg"[token - 1] for token in response if 1 <= token <= 7)
        with torch.no_grad():
            score = plain.scores(ppo.reward_model, read(prompt, text, finished))[-1]
        torch.testing.assert_close(experience.scores_B[row], score, rtol=1e-4, atol=1e-5)


def test_a_reward_model_with_another_vocabulary_reads_text_and_the_end_flag(foreign):
    tokenizer = byte_tokenizer()

    def read(prompt, text, finished):
        return [*tokenizer(prompt + text)["input_ids"], *([256] if finished else [])]

    assert_scores(foreign, read)


def test_a_reward_model_with_another_template_reads_the_prompt_its_own_way():
    source = letter_policy(seed=1)
    reward = RewardModel(SFTModel(source.model, source.tokenizer, template="g{prompt}"))
    reward.shift = 0.25

    def read(prompt, text, finished):
        letters = [1 + "abcdefg".index(letter) for letter in "g" + prompt + text]
        return [*letters, *([END] if finished else [])]

    assert_scores(PPOModel(letter_policy(), reward), read)


def test_the_critic_then_starts_from_the_policys_trunk(foreign):
    assert equal(
        dict(foreign.critic.model.base_model.named_parameters()),
        dict(foreign.policy.model.base_model.named_parameters()),
    )
    assert foreign.critic.shift == 0
    before = weights(foreign.critic)
    metrics = PPOTrainer(foreign, make_config()).train_step(PROMPTS)
    assert metrics["ppo/policy/ratio"] == pytest.approx(1, abs=0.1)
    assert not equal(weights(foreign.critic), before)
