"""From scores to advantages: the reward per token, generalised advantage estimation, whitening.

Axes: B batch, R response positions, N response tokens of the whole batch. A row's response is one
contiguous block; what stands outside it may hold anything and comes out as zero.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def token_rewards(
    scores_B: Float[Tensor, " B"],
    kl_BR: Float[Tensor, "B R"],
    is_response_BR: Bool[Tensor, "B R"],
    kl_coef: float,
) -> Float[Tensor, "B R"]:
    """The reward of each response token: -β · KL, and the score on top at the last one.

    Summed over a response this is r(x, y) - β log(π(y|x) / π_ref(y|x)): Ziegler 2019 eq. 2, and
    InstructGPT eq. 2 without its pretraining term. `kl_BR` is `kl.k1` of the sampling policy.

    >>> kl, is_response = torch.tensor([[0.5, 1.0, 9.0]]), torch.tensor([[True, True, False]])
    >>> token_rewards(torch.tensor([2.0]), kl, is_response, kl_coef=0.5).tolist()
    [[-0.25, 1.5, 0.0]]
    """
    tokens_left_BR = is_response_BR.flip(1).cumsum(1).flip(1)  # counting this one
    is_last_BR = is_response_BR & (tokens_left_BR == 1)
    return torch.where(is_last_BR, scores_B[:, None], 0) - kl_coef * _zeroed(kl_BR, is_response_BR)


def gae(
    rewards_BR: Float[Tensor, "B R"],
    values_BR: Float[Tensor, "B R"],
    is_response_BR: Bool[Tensor, "B R"],
    gamma: float,
    lam: float,
) -> tuple[Float[Tensor, "B R"], Float[Tensor, "B R"]]:
    """Generalised advantage estimation, as (advantages, returns).

    A_t = Σ_l (γλ)^l δ_(t+l), with δ_t = r_t + γ V_(t+1) - V_t, where V is 0 after the last token of
    the response (Schulman 2016, eq. 16; Schulman 2017, eqs. 11 and 12). The return, the target of
    the value function, is A_t + V_t. V_t is the value read where token t is predicted.

    >>> rewards, values = torch.tensor([[0.0, 1.0, 9.0]]), torch.tensor([[0.5, 0.25, 9.0]])
    >>> is_response = torch.tensor([[True, True, False]])
    >>> advantages, returns = gae(rewards, values, is_response, gamma=1.0, lam=0.5)
    >>> advantages.tolist()  # δ = -0.25, 0.75
    [[0.125, 0.75, 0.0]]
    >>> returns.tolist()
    [[0.625, 1.0, 0.0]]
    """
    rewards_BR = _zeroed(rewards_BR, is_response_BR)
    values_BR = _zeroed(values_BR, is_response_BR)
    advantages_BR = torch.zeros_like(rewards_BR)
    next_value_B = advantage_B = rewards_BR.new_zeros(len(rewards_BR))
    for t in reversed(range(rewards_BR.shape[1])):
        delta_B = rewards_BR[:, t] + gamma * next_value_B - values_BR[:, t]
        advantage_B = torch.where(is_response_BR[:, t], delta_B + gamma * lam * advantage_B, 0)
        advantages_BR[:, t] = advantage_B
        next_value_B = values_BR[:, t]
    return advantages_BR, advantages_BR + values_BR


def whiten(
    x_BR: Float[Tensor, "B R"], is_response_BR: Bool[Tensor, "B R"], shift_mean: bool = True
) -> Float[Tensor, "B R"]:
    """Scale the response tokens of the whole batch to variance 1 and, if `shift_mean`, to mean 0.

    (x - mean) / sqrt(var + 1e-8), with the biased variance, and the mean added back if not
    `shift_mean` (lm-human-preferences, `utils/core.py`). The parts of a batch cannot be whitened
    apart: gather it from all processes first.

    >>> x, is_response = torch.tensor([[1.0, 3.0, 9.0]]), torch.tensor([[True, True, False]])
    >>> whiten(x, is_response).tolist()
    [[-1.0, 1.0, 0.0]]
    >>> whiten(x, is_response, shift_mean=False).tolist()
    [[1.0, 3.0, 0.0]]
    """
    x_BR = _zeroed(x_BR, is_response_BR)
    x_N = x_BR[is_response_BR]
    mean = x_N.mean()
    centred_N = x_N - mean
    whitened_N = centred_N * torch.rsqrt(centred_N.square().mean() + 1e-8)
    if not shift_mean:
        whitened_N = whitened_N + mean
    return torch.zeros_like(x_BR).masked_scatter(is_response_BR, whitened_N)


def _zeroed(
    x_BR: Float[Tensor, "B R"], is_response_BR: Bool[Tensor, "B R"]
) -> Float[Tensor, "B R"]:
    """Zero outside the response, in float32 or better."""
    x_BR = torch.where(is_response_BR, x_BR, 0)
    return x_BR.to(torch.promote_types(x_BR.dtype, torch.float32))
