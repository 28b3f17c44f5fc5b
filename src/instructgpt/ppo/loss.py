"""The losses of proximal policy optimisation, each as (sum, count), and its statistics.

Axes: B batch, R response positions, N response tokens of the whole batch. Only response tokens are
looked at: what stands outside may hold anything.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from instructgpt.ppo.kl import k2


def policy_loss(
    logprobs_BR: Float[Tensor, "B R"],
    old_logprobs_BR: Float[Tensor, "B R"],
    advantages_BR: Float[Tensor, "B R"],
    is_response_BR: Bool[Tensor, "B R"],
    clip: float,
) -> tuple[Float[Tensor, ""], Int[Tensor, ""]]:
    """The clipped surrogate objective (Schulman 2017, eq. 7), negated, as (sum, count of tokens).

    Σ max(-A · ρ, -A · clip(ρ, 1 - ε, 1 + ε)), with ρ = π(token) / π_old(token).

    >>> logprobs, old_logprobs = torch.tensor([[0.2, 0.2]]).log(), torch.tensor([[0.1, 0.1]]).log()
    >>> advantages, is_response = torch.tensor([[1.0, -1.0]]), torch.tensor([[True, True]])
    >>> total, count = policy_loss(logprobs, old_logprobs, advantages, is_response, clip=0.2)
    >>> round(total.item(), 4), count.item()  # -1.2, clipped, and 2.0, not clipped
    (0.8, 2)
    """
    _, unclipped_N, clipped_N = _surrogates(
        logprobs_BR, old_logprobs_BR, advantages_BR, is_response_BR, clip
    )
    return torch.maximum(unclipped_N, clipped_N).sum(), is_response_BR.sum()


def value_loss(
    values_BR: Float[Tensor, "B R"],
    old_values_BR: Float[Tensor, "B R"],
    returns_BR: Float[Tensor, "B R"],
    is_response_BR: Bool[Tensor, "B R"],
    clip: float | None,
) -> tuple[Float[Tensor, ""], Int[Tensor, ""]]:
    """Half the squared error of the values, as (sum, count of tokens).

    Σ ½ max((V - G)², (clip(V, V_old - ε, V_old + ε) - G)²), with G the returns
    (lm-human-preferences, `train_policy.py`); `clip=None` leaves Σ ½ (V - G)².

    >>> values, old_values, returns = torch.tensor([[[1.0]], [[0.0]], [[2.0]]])
    >>> total, count = value_loss(values, old_values, returns, torch.tensor([[True]]), clip=0.2)
    >>> round(total.item(), 4), count.item()  # ½ (0.2 - 2)²: moving on beyond 0.2 earns nothing
    (1.62, 1)
    """
    values_N = _select(values_BR, is_response_BR)
    returns_N = _select(returns_BR, is_response_BR)
    errors_N = (values_N - returns_N).square()
    if clip is not None:
        old_values_N = _select(old_values_BR, is_response_BR)
        clipped_N = values_N.clamp(old_values_N - clip, old_values_N + clip)
        errors_N = torch.maximum(errors_N, (clipped_N - returns_N).square())
    return errors_N.sum() / 2, is_response_BR.sum()


class PolicyStatistics(NamedTuple):
    """Sums over response tokens, to be added up, then divided by `tokens`; and one maximum."""

    approxkl: Float[Tensor, ""]
    """½ (log π - log π_old)²: how far the policy has moved from the one that sampled."""
    clipfrac: Float[Tensor, ""]
    """1 where the clipped term is the larger one: the token has no gradient."""
    ratio: Float[Tensor, ""]
    """π / π_old, whose mean is near 1."""
    ratio_max: Float[Tensor, ""]
    """The largest π / π_old; 0 if there is no token."""
    tokens: Int[Tensor, ""]
    """How many response tokens these are."""


@torch.no_grad()
def policy_statistics(
    logprobs_BR: Float[Tensor, "B R"],
    old_logprobs_BR: Float[Tensor, "B R"],
    advantages_BR: Float[Tensor, "B R"],
    is_response_BR: Bool[Tensor, "B R"],
    clip: float,
) -> PolicyStatistics:
    """What `ppo/policy/*` reports of a `policy_loss` with the same arguments; carries no gradient.

    >>> logprobs, old_logprobs = torch.tensor([[0.2, 0.2]]).log(), torch.tensor([[0.1, 0.1]]).log()
    >>> advantages, is_response = torch.tensor([[1.0, -1.0]]), torch.tensor([[True, True]])
    >>> statistics = policy_statistics(logprobs, old_logprobs, advantages, is_response, clip=0.2)
    >>> [round(x.item(), 4) for x in statistics]  # twice ½ (log 2)²; the first token is clipped
    [0.4805, 1.0, 4.0, 2.0, 2]
    """
    ratio_N, unclipped_N, clipped_N = _surrogates(
        logprobs_BR, old_logprobs_BR, advantages_BR, is_response_BR, clip
    )
    return PolicyStatistics(
        approxkl=_select(k2(logprobs_BR, old_logprobs_BR), is_response_BR).sum(),
        clipfrac=(clipped_N > unclipped_N).to(ratio_N.dtype).sum(),
        ratio=ratio_N.sum(),
        ratio_max=torch.cat([ratio_N, ratio_N.new_zeros(1)]).max(),
        tokens=is_response_BR.sum(),
    )


@torch.no_grad()
def rollout_gap(
    logprobs_BR: Float[Tensor, "B R"],
    sampled_logprobs_BR: Float[Tensor, "B R"],
    is_response_BR: Bool[Tensor, "B R"],
) -> Float[Tensor, ""]:
    """The largest |log π - log π_sampler| of a response token (nats); 0 if there is no token.

    >>> logprobs, sampled = torch.tensor([[-1.0, -2.0, -9.0]]), torch.tensor([[-1.25, -2.0, 0.0]])
    >>> rollout_gap(logprobs, sampled, torch.tensor([[True, True, False]])).item()
    0.25
    """
    gap_N = _select(logprobs_BR - sampled_logprobs_BR, is_response_BR).abs()
    return torch.cat([gap_N, gap_N.new_zeros(1)]).max()


def _surrogates(
    logprobs_BR: Float[Tensor, "B R"],
    old_logprobs_BR: Float[Tensor, "B R"],
    advantages_BR: Float[Tensor, "B R"],
    is_response_BR: Bool[Tensor, "B R"],
    clip: float,
) -> tuple[Float[Tensor, " N"], Float[Tensor, " N"], Float[Tensor, " N"]]:
    """The ratio, and the two terms whose larger one is the loss: unclipped, clipped."""
    logprobs_N = _select(logprobs_BR, is_response_BR)
    old_logprobs_N = _select(old_logprobs_BR, is_response_BR)
    advantages_N = _select(advantages_BR, is_response_BR)
    ratio_N = (logprobs_N - old_logprobs_N).exp()
    return ratio_N, -advantages_N * ratio_N, -advantages_N * ratio_N.clamp(1 - clip, 1 + clip)


def _select(x_BR: Float[Tensor, "B R"], is_response_BR: Bool[Tensor, "B R"]) -> Float[Tensor, " N"]:
    """The response tokens, in float32 or better."""
    x_N = x_BR[is_response_BR]
    return x_N.to(torch.promote_types(x_N.dtype, torch.float32))
