"""Optimizer steps of PPO-ptx against autograd on plain forwards, and sequences made by hand."""

import numpy as np
import pytest
import torch

from instructgpt.ppo.trainer import PPOTrainer
from tests.ppo import plain
from tests.ppo.letters import PROMPTS, letter_ppo, make_config

WINDOWS = [[1, 2, 3, 4], [5, 6], [7, 1, 7, 1, 7], [2, 4, 6], [3, 3], [4, 5]]
PTX = {"ptx_coef": 2.5, "pretrain_data": "text"}


def first_update(**changes):
    """A trainer before its first update, and the minibatch of it."""
    trainer = PPOTrainer(letter_ppo(), make_config(**changes))
    trainer.collect(PROMPTS)
    experience = trainer.experience
    return trainer, experience.select(trainer._minibatch(len(experience)))


def test_adam_is_handed_the_ppo_gradient_plus_gamma_times_the_pretraining_gradient():
    trainer, batch = first_update(max_grad_norm=1e9, temperature=0.8, **PTX)
    policy, critic = trainer.ppo.policy.model, trainer.ppo.critic.model
    ppo = plain.gradient(plain.ppo_loss(trainer, batch, clip=0.2), policy)
    ptx_loss = plain.ptx_loss(trainer, WINDOWS)
    ptx = 2.5 * plain.gradient(ptx_loss, policy)
    value_loss = plain.value_loss(trainer, batch)
    value = plain.gradient(value_loss, critic)

    seen = plain.note_gradients(trainer)
    metrics = trainer.update(WINDOWS)
    (policy_grad,), (critic_grad,) = seen["policy"], seen["critic"]
    assert (policy_grad - (ppo + ptx)).norm() < 1e-4 * policy_grad.norm()
    assert (critic_grad - value).norm() < 1e-4 * value.norm()
    assert metrics["ptx/loss"] == pytest.approx(ptx_loss.item(), rel=1e-4)
    assert metrics["ppo/loss/value"] == pytest.approx(value_loss.item(), rel=1e-4)
    assert metrics["ptx/grad_ratio"] == pytest.approx((ptx.norm() / ppo.norm()).item(), rel=1e-4)
    assert metrics["ppo/policy/grad_norm"] == pytest.approx((ppo + ptx).norm().item(), rel=1e-4)
    assert metrics["ppo/critic/grad_norm"] == pytest.approx(value.norm().item(), rel=1e-4)


def test_without_ptx_the_gradient_is_ppos_alone():
    trainer, batch = first_update(max_grad_norm=1e9)
    expected = plain.gradient(plain.ppo_loss(trainer, batch, clip=0.2), trainer.ppo.policy.model)
    seen = plain.note_gradients(trainer)
    metrics = trainer.update(WINDOWS)
    assert (seen["policy"][0] - expected).norm() < 1e-4 * expected.norm()
    assert not [name for name in metrics if name.startswith("ptx/")]


@pytest.mark.parametrize("clip", [0.2, 0.02])
def test_a_later_update_is_clipped_and_reported(clip):
    options = {"num_mini_batches": 1, "num_ppo_epochs": 2, "micro_batch_tokens": 1}
    config = make_config(cliprange=clip, learning_rate=1e-2, max_grad_norm=1e9, **options)
    trainer = PPOTrainer(letter_ppo(), config)
    trainer.collect(PROMPTS)
    batch, policy = trainer.experience, trainer.ppo.policy.model
    seen = plain.note_gradients(trainer)
    trainer.update()
    loss = plain.ppo_loss(trainer, batch, clip)
    expected = plain.gradient(loss, policy)
    free = plain.gradient(plain.ppo_loss(trainer, batch, clip=1e9), policy)
    with torch.no_grad():
        pairs = plain.log_ratios(trainer, batch)
    metrics = trainer.update()
    assert (expected - free).norm() > 0.1 * free.norm()
    assert (seen["policy"][1] - expected).norm() < 1e-4 * free.norm()

    ratios = np.array([log_ratio.exp().item() for log_ratio, _ in pairs])
    advantages = np.array([advantage for _, advantage in pairs])
    clipped = (abs(ratios - 1) > clip) & ((ratios > 1) == (advantages > 0))
    for name, by_hand in {
        "ppo/loss/policy": loss.item(),
        "ppo/policy/ratio": ratios.mean(),
        "ppo/policy/ratio_max": ratios.max(),
        "ppo/policy/approxkl": (np.log(ratios) ** 2).mean() / 2,
        "ppo/policy/clipfrac": clipped.mean(),
    }.items():
        assert metrics[name] == pytest.approx(by_hand, rel=1e-3), name


def test_each_network_is_clipped_by_its_own_norm_and_the_norm_is_logged_unclipped():
    loose, _ = first_update(max_grad_norm=1e9, **PTX)
    tight, _ = first_update(max_grad_norm=0.01, **PTX)
    free, clipped = plain.note_gradients(loose), plain.note_gradients(tight)
    metrics = loose.update(WINDOWS), tight.update(WINDOWS)
    norms = {name: free[name][0].norm().item() for name in free}
    assert abs(norms["policy"] - norms["critic"]) > 0.1
    for name, norm in norms.items():
        assert norm > 0.1
        direction = free[name][0] * (0.01 / norm)
        torch.testing.assert_close(clipped[name][0], direction, rtol=1e-3, atol=1e-7)
        for logged in metrics:
            assert logged[f"ppo/{name}/grad_norm"] == pytest.approx(norm, rel=1e-5)


def test_grad_ratio_is_read_every_so_many_steps():
    trainer = PPOTrainer(letter_ppo(), make_config(grad_ratio_every=3, num_mini_batches=8, **PTX))
    trainer.collect(PROMPTS)
    read = ["ptx/grad_ratio" in trainer.update(WINDOWS[:1]) for _ in range(8)]
    assert read == [True, False, False, True, False, False, True, False]


def test_learning_rates_move_per_iteration_from_a_tenth():
    rates = {"learning_rate": 1e-3, "critic_learning_rate": 4e-3}
    trainer = PPOTrainer(letter_ppo(), make_config(warmup=3, **rates))
    shape = []
    for _ in range(5):
        trainer.collect(PROMPTS)
        for metrics in (trainer.update(), trainer.update()):
            shape.append(metrics["ppo/policy/learning_rate"] / 1e-3)
            assert metrics["ppo/critic/learning_rate"] == pytest.approx(4e-3 * shape[-1])
    assert shape == pytest.approx([0.1, 0.1, 0.4, 0.4, 0.7, 0.7, 1, 1, 1, 1])


def test_each_network_moves_at_its_own_learning_rate():
    rates = {"learning_rate": 1e-3, "critic_learning_rate": 4e-3}
    trainer, _ = first_update(warmup=3, **rates)
    before = {
        name: [p.detach().clone() for p in module.parameters()]
        for name, module in trainer.state.modules.items()
    }
    trainer.update()
    for name, rate in (("policy", 1e-4), ("critic", 4e-4)):  # Adam's first step is the rate itself
        pairs = zip(trainer.state.modules[name].parameters(), before[name], strict=True)
        assert max((p - old).abs().max().item() for p, old in pairs) == pytest.approx(
            rate, rel=0.01
        )


def test_a_linear_schedule_ends_one_step_above_zero():
    config = make_config(schedule="linear", total_episodes=4 * 8, learning_rate=1e-6)
    trainer = PPOTrainer(letter_ppo(), config)
    rates = [trainer.train_step(PROMPTS)["ppo/policy/learning_rate"] for _ in range(4)]
    assert rates == pytest.approx([1e-6, 0.75e-6, 0.5e-6, 0.25e-6])


def test_the_average_follows_its_recursion_from_the_initial_weights():
    trainer = PPOTrainer(letter_ppo(), make_config(ema_decay=0.9, learning_rate=1e-2))
    parameters = dict(trainer.ppo.policy.model.named_parameters())
    expected = {name: p.detach().numpy().astype(np.float64) for name, p in parameters.items()}
    start = {name: x.copy() for name, x in expected.items()}
    for step in range(6):
        if step % 2 == 0:
            trainer.collect(PROMPTS)
        trainer.update()
        for name, p in parameters.items():
            expected[name] = 0.9 * expected[name] + 0.1 * p.detach().numpy()
    average = trainer.state.averages["policy"]
    assert average.keys() == expected.keys()
    for name, x in expected.items():
        np.testing.assert_allclose(average[name].numpy(), x, atol=1e-6)
        assert np.abs(x - start[name]).max() > 1e-3


def test_every_episode_of_a_run_has_its_own_seed(monkeypatch):
    trainer = PPOTrainer(letter_ppo(), make_config())
    seeds, sample = [], trainer.ppo.policy.sample

    def noted(prompts, given, *args, **settings):
        seeds.extend(given)
        return sample(prompts, given, *args, **settings)

    monkeypatch.setattr(trainer.ppo.policy, "sample", noted)
    for _ in range(3):
        trainer.train_step(PROMPTS)
    assert len(set(seeds)) == 3 * len(PROMPTS)


def test_an_iteration_reports_its_kl_and_how_well_the_values_fit():
    trainer = PPOTrainer(letter_ppo(), make_config(learning_rate=1e-2))
    trainer.train_step(PROMPTS)
    trainer.collect(PROMPTS)
    experience, is_response_BR = trainer.experience, trainer.experience.is_response_BR
    assert "objective/kl" not in trainer.update()
    metrics = trainer.update()
    log_ratios = [x[y].double() for x, y in zip(experience.kl_BR, is_response_BR, strict=True)]
    k3 = [(torch.exp(-x) - 1 + x).sum().item() for x in log_ratios]
    assert metrics["objective/kl_k3"] == pytest.approx(np.mean(k3), rel=1e-4)
    assert metrics["objective/kl"] == pytest.approx(np.mean([x.sum() for x in log_ratios]))
    returns = experience.returns_BR[is_response_BR].numpy()
    errors = returns - experience.values_BR[is_response_BR].numpy()
    explained = 1 - errors.var() / returns.var()
    assert metrics["ppo/val/var_explained"] == pytest.approx(explained, abs=1e-5)


@pytest.mark.parametrize("options", [{}, {"old_logprobs": "trainer"}, {"micro_batch_tokens": 1}])
def test_the_rollout_gap_is_the_samplers_to_the_first_minibatchs_own_forward(options):
    trainer, batch = first_update(temperature=0.8, **options)
    with torch.no_grad():  # a policy that is not quite the one that sampled
        for weight in trainer.ppo.policy.model.parameters():
            weight.mul_(1 + 1e-5)
        expected = max(
            (new_R - sampled_R[: len(new_R)]).abs().max().item()
            for new_R, sampled_R in zip(
                (
                    plain.logprobs(trainer.ppo.policy.model, prompt, response, 0.8)
                    for prompt, response in zip(batch.prompts, batch.responses, strict=True)
                ),
                batch.sampled_logprobs_BR,
                strict=True,
            )
        )
    assert expected > 1e-6
    metrics = trainer.update()
    assert metrics["ppo/rollout_gap"] == pytest.approx(expected, abs=1e-6)
    assert "ppo/rollout_gap" not in trainer.update()


def test_a_trainer_may_go_on_beyond_its_episodes():
    trainer = PPOTrainer(letter_ppo(), make_config(total_episodes=8, warmup=0, learning_rate=1e-3))
    rates = [trainer.train_step(PROMPTS)["ppo/policy/learning_rate"] for _ in range(3)]
    assert rates == [1e-3] * 3
