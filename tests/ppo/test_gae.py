"""Rewards, advantages and whitening against plain loops, identities and broken variants."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from instructgpt.ppo.gae import gae, token_rewards, whiten

IS_RESPONSE = torch.tensor(
    [
        [True, True, True, True, True],
        [True, True, False, False, False],
        [False, True, True, True, False],
        [False, False, False, False, True],
        [False, False, False, False, False],
    ]
)
JUNK = pytest.mark.parametrize("junk", [math.nan, math.inf, -math.inf])
HALF = pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
SEEDS = st.integers(0, 2**32 - 1)
COEFFICIENTS = st.floats(0, 1)


def example(seed=0, dtype=torch.float64):
    """Two random tensors over the responses, with noise outside them, and the responses."""
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.randn(2, *IS_RESPONSE.shape, dtype=dtype, generator=generator)
    return x, y, IS_RESPONSE


def responses(x_BR, is_response_BR):
    """Each row's response as a plain list."""
    return [x[m].tolist() for x, m in zip(x_BR, is_response_BR, strict=True)]


def advantages_by_definition(rewards, values, gamma, lam):
    """Schulman 2016, eq. 16, for one response: the sum over l of (γλ)^l δ_(t+l), term by term."""
    n = len(rewards)
    values = [*values, 0.0]
    deltas = [rewards[t] + gamma * values[t + 1] - values[t] for t in range(n)]
    return [sum((gamma * lam) ** (u - t) * deltas[u] for u in range(t, n)) for t in range(n)]


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 0.95), (0.9, 0.8), (1.0, 0.0), (0.5, 1.0)])
def test_gae_equals_its_definition(gamma, lam):
    rewards, values, is_response = example()
    advantages, returns = gae(rewards, values, is_response, gamma, lam)
    for b in range(len(rewards)):
        m = is_response[b]
        expected = advantages_by_definition(
            rewards[b, m].tolist(), values[b, m].tolist(), gamma, lam
        )
        assert advantages[b, m].tolist() == pytest.approx(expected, abs=1e-12)
        assert returns[b, m].tolist() == pytest.approx(
            [a + v for a, v in zip(expected, values[b, m].tolist(), strict=True)], abs=1e-12
        )
    assert not advantages[~is_response].any()
    assert not returns[~is_response].any()


def test_gae_by_hand():
    rewards = torch.tensor([[0.0, 0.0, 1.0]])
    values = torch.tensor([[0.5, 0.5, 0.5]])
    advantages, returns = gae(rewards, values, torch.ones(1, 3, dtype=torch.bool), 1.0, 0.5)
    assert advantages.tolist() == [[0.125, 0.25, 0.5]]  # δ = 0, 0, 0.5
    assert returns.tolist() == [[0.625, 0.75, 1.0]]


@settings(deadline=None, max_examples=30)
@given(seed=SEEDS)
def test_with_lambda_one_the_return_is_the_reward_to_go(seed):
    rewards, values, is_response = example(seed)
    advantages, returns = gae(rewards, values, is_response, gamma=1.0, lam=1.0)
    for reward, value, advantage, target in zip(
        *(responses(x, is_response) for x in (rewards, values, advantages, returns)), strict=True
    ):
        to_go = [sum(reward[t:]) for t in range(len(reward))]
        assert target == pytest.approx(to_go, abs=1e-9)
        assert advantage == pytest.approx(np.subtract(to_go, value), abs=1e-9)


@settings(deadline=None, max_examples=30)
@given(seed=SEEDS, gamma=COEFFICIENTS)
def test_with_lambda_zero_the_advantage_is_the_td_error(seed, gamma):
    rewards, values, is_response = example(seed)
    advantages, _ = gae(rewards, values, is_response, gamma, lam=0.0)
    for reward, value, advantage in zip(
        *(responses(x, is_response) for x in (rewards, values, advantages)), strict=True
    ):
        following = [*value[1:], 0.0][: len(value)]
        td_error = np.array(reward) + gamma * np.array(following) - np.array(value)
        assert advantage == pytest.approx(td_error, abs=1e-12)


@settings(deadline=None, max_examples=30)
@given(seed=SEEDS, gamma=COEFFICIENTS, lam=COEFFICIENTS)
def test_where_a_response_stands_in_its_row_is_irrelevant(seed, gamma, lam):
    rewards, values, is_response = example(seed)
    padded = [torch.nn.functional.pad(x, (4, 3)) for x in (rewards, values, is_response)]
    for narrow, wide in zip(
        gae(rewards, values, is_response, gamma, lam), gae(*padded, gamma, lam), strict=True
    ):
        assert torch.equal(narrow[is_response], wide[padded[2]])


def test_a_value_after_the_last_token_would_be_noticed():
    def broken_gae(rewards_BR, values_BR, gamma, lam):
        """Textbook code without the mask: it bootstraps from the values of the padding."""
        advantages_BR = np.zeros_like(rewards_BR)
        for b, rewards in enumerate(rewards_BR):
            advantage = following = 0.0
            for t in reversed(range(len(rewards))):
                delta = rewards[t] + gamma * following - values_BR[b, t]
                advantage = delta + gamma * lam * advantage
                following = values_BR[b, t]
                advantages_BR[b, t] = advantage
        return advantages_BR

    rewards, values, is_response = example()
    ours = gae(rewards, values, is_response, 1.0, 0.95)[0].numpy()
    broken = broken_gae(rewards.numpy(), values.numpy(), 1.0, 0.95)
    assert np.allclose(ours[0], broken[0])  # a full row has no padding to go wrong
    assert not np.isclose(ours[1, :2], broken[1, :2]).any()


@JUNK
def test_what_stands_outside_the_responses_has_no_influence_on_gae(junk):
    rewards, values, is_response = example()
    outcomes = []
    for x, y in (
        (rewards, values),
        tuple(torch.where(is_response, x, junk) for x in (rewards, values)),
    ):
        x.requires_grad_(), y.requires_grad_()
        advantages, returns = gae(x, y, is_response, 0.9, 0.8)
        gradients = torch.autograd.grad((advantages * returns).sum(), (x, y))
        outcomes.append((advantages, returns, *gradients))
    for clean, junked in zip(*outcomes, strict=True):
        assert torch.equal(clean, junked)


def test_gae_is_differentiable():
    rewards, values, is_response = (x[:3] for x in example())
    torch.autograd.gradcheck(
        lambda x, y: gae(x, y, is_response, 0.9, 0.8),
        (rewards.requires_grad_(), values.requires_grad_()),
    )


@HALF
def test_half_precision_is_upcast(half):
    rewards, values, is_response = example(dtype=half)
    scores = torch.randn(5, dtype=half)
    for function, tensors, constants in (
        (gae, (rewards, values, is_response), (1.0, 0.95)),
        (token_rewards, (scores, rewards, is_response), (0.02,)),
        (whiten, (rewards, is_response), ()),
    ):
        floats = [x.float() if x.is_floating_point() else x for x in tensors]
        result, expected = function(*tensors, *constants), function(*floats, *constants)
        torch.testing.assert_close(result, expected, rtol=0, atol=0)
        assert expected[0].dtype == torch.float32


def test_token_rewards_equal_plain_loops():
    kl, _, is_response = example()
    scores = torch.arange(1.0, 6.0, dtype=torch.float64)
    rewards = token_rewards(scores, kl, is_response, kl_coef=0.02)
    for score, kl_R, mask_R, rewards_R in zip(scores, kl, is_response, rewards, strict=True):
        indices = [t for t in range(5) if mask_R[t]]
        for t in range(5):
            expected = -0.02 * kl_R[t].item() if t in indices else 0.0
            if indices and t == indices[-1]:
                expected += score.item()
            assert rewards_R[t].item() == pytest.approx(expected, abs=1e-15)


@settings(deadline=None, max_examples=30)
@given(seed=SEEDS, kl_coef=COEFFICIENTS)
def test_token_rewards_sum_to_the_score_less_the_price_of_the_kl(seed, kl_coef):
    kl, scores_BR, is_response = example(seed)
    scores = scores_BR[:, 0]
    rewards = token_rewards(scores, kl, is_response, kl_coef)
    for score, kl_response, total in zip(
        scores.tolist(), responses(kl, is_response), rewards.sum(1).tolist(), strict=True
    ):
        expected = score - kl_coef * sum(kl_response) if kl_response else 0.0
        assert total == pytest.approx(expected, abs=1e-9)


def test_a_flipped_sign_of_the_kl_would_be_noticed():
    kl, is_response = torch.tensor([[1.0, 1.0]]), torch.tensor([[True, True]])
    scores = torch.tensor([3.0])
    assert token_rewards(scores, kl, is_response, 0.5).tolist() == [[-0.5, 2.5]]
    assert token_rewards(scores, -kl, is_response, 0.5).tolist() == [[0.5, 3.5]]


@JUNK
def test_what_stands_outside_the_responses_has_no_influence_on_rewards(junk):
    kl, _, is_response = example()
    scores = torch.tensor([1.0, 2.0, 3.0, 4.0, junk], dtype=torch.float64)  # the last row is empty
    rewards = token_rewards(scores, torch.where(is_response, kl, junk), is_response, 0.02)
    expected = token_rewards(scores.nan_to_num(), kl, is_response, 0.02)
    assert torch.equal(rewards, expected)
    assert not rewards[~is_response].any()


def whiten_by_loops(x_BR, is_response_BR, shift_mean):
    flat = [x for row in responses(x_BR, is_response_BR) for x in row]
    mean = sum(flat) / len(flat)
    variance = sum((x - mean) ** 2 for x in flat) / len(flat)
    whitened = [(x - mean) / math.sqrt(variance + 1e-8) for x in flat]
    return whitened if shift_mean else [x + mean for x in whitened]


@pytest.mark.parametrize("shift_mean", [True, False])
def test_whiten_equals_plain_loops(shift_mean):
    x, _, is_response = example()
    whitened = whiten(x, is_response, shift_mean)
    assert whitened[is_response].tolist() == pytest.approx(
        whiten_by_loops(x, is_response, shift_mean), rel=1e-12
    )
    assert not whitened[~is_response].any()


@settings(deadline=None, max_examples=30)
@given(seed=SEEDS, shift=st.floats(-10, 10), scale=st.floats(0.1, 10))
def test_whitened_has_mean_zero_and_variance_one_whatever_the_shift_and_scale(seed, shift, scale):
    x, _, is_response = example(seed)
    whitened = whiten(x, is_response)
    assert whitened[is_response].mean().item() == pytest.approx(0, abs=1e-9)
    assert whitened[is_response].var(correction=0).item() == pytest.approx(1, abs=1e-6)
    torch.testing.assert_close(
        whiten(scale * x + shift, is_response), whitened, rtol=1e-5, atol=1e-5
    )


@settings(deadline=None, max_examples=30)
@given(seed=SEEDS, shift=st.floats(-10, 10))
def test_without_the_shift_the_mean_is_kept(seed, shift):
    x, _, is_response = example(seed)
    tokens = (x + shift)[is_response]
    kept = whiten(x + shift, is_response, shift_mean=False)[is_response]
    torch.testing.assert_close(kept.mean(), tokens.mean())
    torch.testing.assert_close(kept - kept.mean(), whiten(x, is_response)[is_response])


@pytest.mark.parametrize("shift_mean", [True, False])
@JUNK
def test_what_stands_outside_the_responses_has_no_influence_on_whitening(junk, shift_mean):
    x, weights, is_response = example()
    outcomes = []
    for y in (x, torch.where(is_response, x, junk)):
        y.requires_grad_()
        whitened = whiten(y, is_response, shift_mean)
        outcomes.append((whitened, *torch.autograd.grad((weights * whitened).sum(), y)))
    for clean, junked in zip(*outcomes, strict=True):
        assert torch.equal(clean, junked)


def test_whitening_what_does_not_vary_is_zero_not_infinite():
    is_response = torch.tensor([[True, True, False]])
    assert whiten(torch.full((1, 3), 7.0), is_response).tolist() == [[0.0, 0.0, 0.0]]
    assert whiten(torch.ones(1, 3), torch.zeros_like(is_response)).tolist() == [[0.0, 0.0, 0.0]]
