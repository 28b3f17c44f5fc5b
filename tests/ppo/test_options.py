"""The options of the PPO stage that leave the straight path."""

from dataclasses import replace
from itertools import chain

import pytest
import torch

from instructgpt.errors import UserError
from instructgpt.ppo import iteration
from instructgpt.ppo.config import PPOConfig
from instructgpt.ppo.gae import token_rewards
from instructgpt.ppo.step import MinibatchStep
from instructgpt.ppo.trainer import PPOTrainer
from tests.ppo import plain
from tests.ppo.letters import PROMPTS, letter_ppo, make_config


def test_kl_target_moves_beta_as_worked_out_by_hand(monkeypatch):
    used = []
    monkeypatch.setattr(
        iteration, "token_rewards", lambda *args: used.append(args[-1]) or token_rewards(*args)
    )

    def iterations(count, **options):
        trainer = PPOTrainer(letter_ppo(), make_config(kl_coef=0.5, learning_rate=1e-2, **options))
        return [trainer.train_step(PROMPTS) for _ in range(count)]

    start, moved = (row["objective/kl"] for row in iterations(2))
    assert abs(start) < 1e-4 < 1e-2 < moved
    used.clear()
    metrics = iterations(3, kl_target=moved / 1.1, kl_horizon=100)
    # Errors of -0.2 (clipped) and 0.1: β · (1 - 0.2 · 8 / 100), then · (1 + 0.1 · 8 / 100).
    expected = [0.5, 0.492, 0.495936]
    assert [row["objective/kl_coef"] for row in metrics] == pytest.approx(expected)
    assert used == pytest.approx(expected)


def test_beta_is_fixed_without_a_target():
    trainer = PPOTrainer(letter_ppo(), make_config(kl_coef=0.5, learning_rate=3e-2))
    assert {trainer.train_step(PROMPTS)["objective/kl_coef"] for _ in range(3)} == {0.5}


@pytest.mark.parametrize("clip", [None, 0.2, 0.01])
def test_the_values_clip_holds_back_the_critic_or_does_not(clip):
    options = {"num_mini_batches": 1, "num_ppo_epochs": 2, "critic_learning_rate": 1e-2}
    config = make_config(cliprange_value=clip, max_grad_norm=1e9, **options)
    trainer = PPOTrainer(letter_ppo(), config)
    trainer.collect(PROMPTS)
    batch, critic = trainer.experience, trainer.ppo.critic.model
    seen = plain.note_gradients(trainer)
    trainer.update()  # moves the values by more than 0.2
    expected = plain.gradient(plain.value_loss(trainer, batch, clip), critic)
    free = plain.gradient(plain.value_loss(trainer, batch), critic)
    trainer.update()
    assert (seen["critic"][1] - expected).norm() < 1e-4 * free.norm()
    if clip is not None:
        assert (expected - free).norm() > 1e-2 * free.norm()


def test_two_epochs_pass_twice_over_all_episodes_and_once_over_the_pretraining_text(monkeypatch):
    options = {"num_ppo_epochs": 2, "num_mini_batches": 4, "ptx_coef": 1.0, "pretrain_data": "text"}
    trainer = PPOTrainer(letter_ppo(), make_config(**options))
    picked, read = [], []
    minibatch, pretraining = trainer._minibatch, MinibatchStep.pretraining_backward
    monkeypatch.setattr(trainer, "_minibatch", lambda n: picked.append(minibatch(n)) or picked[-1])
    monkeypatch.setattr(
        MinibatchStep,
        "pretraining_backward",
        lambda step, text: read.extend(text) or pretraining(step, text),
    )
    windows = [[1 + i % 7, 1 + i // 7, 3] for i in range(16)]
    trainer.train_step(PROMPTS, windows)
    assert (trainer.step, trainer.iteration) == (8, 1)
    assert sorted(read) == sorted(windows)
    trainer.train_step(PROMPTS, windows)
    passes = [tuple(chain(*picked[start : start + 4])) for start in range(0, 16, 4)]
    assert all(sorted(order) == list(range(8)) for order in passes)
    assert len(set(passes)) == 4, "each pass has its own order"


@pytest.mark.parametrize("key", ["top_p", "top_k"])
def test_filters_that_would_make_the_ratio_false_are_refused(key):
    with pytest.raises(UserError, match=f"unknown key '{key}'"):
        make_config(**{key: 1})
    needed = {"model": "m", "reward_model": "r", "data": "d", "out": "o", "ptx_coef": 0}
    with pytest.raises(UserError, match=f"unknown key '{key}'"):
        PPOConfig.load(**needed, **{key: 1})


@pytest.mark.parametrize(
    ("dtype", "old_logprobs", "from_sampler"),
    [
        ("float32", "auto", True),
        ("float32", "trainer", False),
        ("bfloat16", "auto", False),
        ("bfloat16", "rollout", True),
    ],
)
def test_where_the_old_log_probs_come_from(dtype, old_logprobs, from_sampler, monkeypatch):
    trainer = PPOTrainer(letter_ppo(), make_config(dtype=dtype, old_logprobs=old_logprobs))
    sample = trainer.ppo.policy.sample

    def marked(*args, **settings):
        return [replace(x, logprobs=[-7.0] * len(x.tokens)) for x in sample(*args, **settings)]

    monkeypatch.setattr(trainer.ppo.policy, "sample", marked)
    experience = trainer.make_experience(PROMPTS, list(range(8)))
    is_marked = experience.logprobs_BR[experience.is_response_BR] == -7.0
    assert is_marked.all() if from_sampler else not is_marked.any()


def test_the_trainers_own_log_probs_are_of_the_same_temperature():
    own, sampled = (
        PPOTrainer(letter_ppo(), make_config(old_logprobs=source, temperature=0.7))
        for source in ("trainer", "rollout")
    )
    own, sampled = (trainer.make_experience(PROMPTS, list(range(8))) for trainer in (own, sampled))
    torch.testing.assert_close(own.logprobs_BR, sampled.logprobs_BR, rtol=1e-4, atol=1e-4)
