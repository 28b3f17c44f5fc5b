"""What an iteration collects, held against one plain forward per row and loops over its tokens.

Axes: B episodes, R response.
"""

import numpy as np
import pytest
import torch

from instructgpt.ppo import iteration, step
from instructgpt.ppo.gae import gae
from instructgpt.ppo.loss import policy_loss
from instructgpt.ppo.trainer import PPOTrainer
from tests.ppo import plain
from tests.ppo.letters import END, PROMPTS, letter_ppo, make_config
from tests.tiny import ARCHITECTURES


def disturb(model, seed):
    """Move every weight a little, so that two networks that began as one differ."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))


def collected(arch="llama", *, seeds=range(8), pad_is_eos=True, **changes):
    """A trainer whose four networks differ, and an episode per prompt, some ended and some cut."""
    ppo = letter_ppo(arch, pad_is_eos=pad_is_eos)
    disturb(ppo.policy.model, seed=1)
    disturb(ppo.critic.model, seed=2)
    trainer = PPOTrainer(ppo, make_config(**changes))
    experience = trainer.make_experience(PROMPTS, list(seeds))
    assert 0 < experience.finished_B.sum() < len(experience)
    return trainer, experience


@pytest.mark.parametrize("arch", ARCHITECTURES)
@torch.no_grad()
def test_an_episode_equals_what_unpadded_rows_give(arch):
    trainer, experience = collected(arch, temperature=0.8)
    ppo, close = trainer.ppo, {"rtol": 1e-4, "atol": 1e-4}
    rows = zip(PROMPTS, experience.prompts, experience.responses, strict=True)
    for row, (text, prompt, response) in enumerate(rows):
        n = len(response)
        assert prompt == ["abcdefg".index(letter) + 1 for letter in text]
        logprobs = plain.logprobs(ppo.policy.model, prompt, response, temperature=0.8)
        torch.testing.assert_close(experience.logprobs_BR[row, :n], logprobs, **close)
        reference = plain.logprobs(ppo.reference.model, prompt, response, temperature=0.8)
        torch.testing.assert_close(experience.ref_logprobs_BR[row, :n], reference, **close)
        values = plain.scores(ppo.critic, [*prompt, *response])[len(prompt) - 1 : -1]
        torch.testing.assert_close(experience.values_BR[row, :n], values, **close)
        score = plain.scores(ppo.reward_model, [*prompt, *response])[-1]
        torch.testing.assert_close(experience.scores_B[row], score, **close)


def test_nothing_stands_after_the_last_response_token():
    _, experience = collected()
    for name in ("response", "logprobs", "ref_logprobs", "values", "kl", "advantages", "returns"):
        tensor_BR = getattr(experience, f"{name}_BR")
        assert tensor_BR[~experience.is_response_BR].count_nonzero() == 0
        assert tensor_BR[experience.is_response_BR].count_nonzero() > 0


def test_an_answer_ends_with_its_end_token_or_at_the_cut():
    _, experience = collected()
    for response, finished in zip(experience.responses, experience.finished_B, strict=True):
        assert END not in response[:-1]
        assert (response[-1] == END) == finished
        assert finished or len(response) == 6


def test_the_score_sits_on_the_last_response_token(monkeypatch):
    rewards = []
    monkeypatch.setattr(iteration, "gae", lambda *args: rewards.append(args[0]) or gae(*args))
    _, experience = collected(kl_coef=0.0)
    (rewards_BR,) = rewards
    for row, response in enumerate(experience.responses):
        expected = torch.zeros(6)
        expected[len(response) - 1] = experience.scores_B[row]
        torch.testing.assert_close(rewards_BR[row], expected, rtol=0, atol=0)


def advantages_by_loops(experience, kl_coef, gamma, lam, whiten_rewards=False):
    """Advantages, response after response; the value after the last token is 0."""
    rewards = []
    for row, response in enumerate(experience.responses):
        logprobs, reference = experience.logprobs_BR[row], experience.ref_logprobs_BR[row]
        kl = [logprobs[t].item() - reference[t].item() for t in range(len(response))]
        rewards.append([-kl_coef * nats for nats in kl])
        rewards[-1][-1] += experience.scores_B[row].item()
    if whiten_rewards:
        mean, spread = np.mean(np.concatenate(rewards)), np.std(np.concatenate(rewards))
        rewards = [[(reward - mean) / spread + mean for reward in row] for row in rewards]
    advantages = []
    for row, response in enumerate(experience.responses):
        values = [*experience.values_BR[row, : len(response)].tolist(), 0.0]
        deltas = [rewards[row][t] + gamma * values[t + 1] - values[t] for t in range(len(response))]
        advantages += [
            sum((gamma * lam) ** k * delta for k, delta in enumerate(deltas[t:]))
            for t in range(len(response))
        ]
    return np.array(advantages)


@pytest.mark.parametrize("whiten_rewards", [False, True])
@pytest.mark.parametrize("whiten_advantages", [False, True])
def test_advantages_and_returns_equal_loops(whiten_rewards, whiten_advantages):
    switches = {"whiten_rewards": whiten_rewards, "whiten_advantages": whiten_advantages}
    _, experience = collected(kl_coef=0.5, gamma=0.9, lam=0.8, **switches)
    expected = advantages_by_loops(experience, 0.5, 0.9, 0.8, whiten_rewards)
    is_response_BR = experience.is_response_BR
    returns = expected + experience.values_BR[is_response_BR].numpy()
    if whiten_advantages:
        expected = (expected - expected.mean()) / expected.std()
    np.testing.assert_allclose(experience.advantages_BR[is_response_BR], expected, atol=1e-4)
    np.testing.assert_allclose(experience.returns_BR[is_response_BR], returns, atol=1e-4)


def test_objectives_are_summed_over_a_response_and_averaged_over_responses():
    _, experience = collected()
    metrics = experience.metrics(kl_coef=0.5)
    kl = [row.sum().item() for row in experience.logprobs_BR - experience.ref_logprobs_BR]
    entropy = [-row.sum().item() for row in experience.logprobs_BR]
    scores = experience.scores_B.tolist()
    assert metrics["objective/kl"] == pytest.approx(np.mean(kl), abs=1e-5)
    assert metrics["objective/entropy"] == pytest.approx(np.mean(entropy))
    assert metrics["objective/rlhf_reward"] == pytest.approx(
        np.mean([score - 0.5 * nats for score, nats in zip(scores, kl, strict=True)]), abs=1e-5
    )
    assert metrics["objective/length"] == np.mean([len(x) for x in experience.responses])
    assert metrics["objective/eos_rate"] == np.mean([x[-1] == END for x in experience.responses])


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_the_first_minibatch_has_ratio_one(arch, monkeypatch):
    log_ratios = []

    def recorded(logprobs_BR, old_logprobs_BR, advantages_BR, is_response_BR, clip):
        log_ratios.append((logprobs_BR - old_logprobs_BR)[is_response_BR].detach())
        return policy_loss(logprobs_BR, old_logprobs_BR, advantages_BR, is_response_BR, clip)

    trainer = PPOTrainer(letter_ppo(arch), make_config(learning_rate=1e-2))
    trainer.collect(PROMPTS)
    monkeypatch.setattr(step, "policy_loss", recorded)
    metrics = trainer.update()
    first = torch.cat(log_ratios)
    assert len(log_ratios) > 1, "the minibatch is meant to fall into several micro-batches"
    assert first.abs().max() <= 1e-4
    assert metrics["ppo/policy/ratio"] == pytest.approx(1, abs=1e-4)
    log_ratios.clear()
    trainer.update()
    assert torch.cat(log_ratios).abs().max() > 1e-2, "after a step the ratio is no longer 1"


def test_padding_that_is_the_end_token_changes_nothing():
    _, shared = collected(pad_is_eos=True)
    _, distinct = collected(pad_is_eos=False)
    for name, tensor in shared.to_tensors().items():
        assert torch.equal(tensor, distinct.to_tensors()[name]), name


class Brevity:
    """A reward model that likes answers which end, the sooner the better."""

    def score_tokens(self, prompts, responses, **settings):
        return torch.tensor([(answer[-1] == END) - 0.1 * len(answer) for answer in responses])


def test_a_policy_whose_padding_is_the_end_token_learns_to_stop():
    ppo = letter_ppo(pad_is_eos=True)
    ppo.begin()
    ppo.reward_model = Brevity()  # type: ignore[assignment]
    rates = {"learning_rate": 3e-3, "critic_learning_rate": 3e-3, "micro_batch_tokens": 4096}
    trainer = PPOTrainer(ppo, make_config(batch_size=64, rollout_slots=64, **rates))
    rates = [trainer.train_step(PROMPTS * 8)["objective/eos_rate"] for _ in range(20)]
    assert rates[0] < 0.5
    assert rates[-1] > 0.95


def test_the_penalty_is_subtracted_from_cut_answers_only():
    _, without = collected()
    _, penalised = collected(missing_eos_penalty=3.0)
    loss_B = without.scores_B - penalised.scores_B
    torch.testing.assert_close(loss_B, 3.0 * ~without.finished_B)
