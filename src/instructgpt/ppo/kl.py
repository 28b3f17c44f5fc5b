"""Estimators of KL(π ‖ π_ref) under samples of π, and a controller of the coefficient it gets.

k1, k2 and k3 are Schulman's (2020, "Approximating KL divergence", joschu.net/blog/kl-approx.html),
elementwise on log-probabilities of any shape. Nothing is masked here: mask at the reduction.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def k1(
    logprobs: Float[Tensor, "*shape"], ref_logprobs: Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    """log π - log π_ref: unbiased, of either sign; the KL term of InstructGPT eq. 2.

    >>> k1(torch.tensor([-1.0]), torch.tensor([-1.5])).tolist()
    [0.5]
    """
    return logprobs.to(torch.promote_types(logprobs.dtype, torch.float32)) - ref_logprobs


def k2(
    logprobs: Float[Tensor, "*shape"], ref_logprobs: Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    """(log π - log π_ref)² / 2: biased, never negative, of low variance.

    >>> k2(torch.tensor([-1.0]), torch.tensor([-1.5])).tolist()
    [0.125]
    """
    return k1(logprobs, ref_logprobs).square() / 2


def k3(
    logprobs: Float[Tensor, "*shape"], ref_logprobs: Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    """π_ref / π - 1 + log π - log π_ref: unbiased, never negative.

    >>> round(k3(torch.tensor([-1.0]), torch.tensor([-1.5])).item(), 4)  # exp(-0.5) - 1 + 0.5
    0.1065
    """
    log_ratio = k1(logprobs, ref_logprobs)
    # expm1: for the small ratios of early training, exp(x) - 1 would cancel to rounding noise.
    return torch.expm1(-log_ratio) + log_ratio


def adaptive_kl_coef(
    kl_coef: float, kl: float, target: float, episodes: int, horizon: int
) -> float:
    """The next β, from the KL per response over the last `episodes` (Ziegler 2019, section 2.2).

    β ← β · (1 + e · episodes / horizon), with e = KL / target - 1 clipped to ±0.2. InstructGPT has
    no such controller: its β is fixed.

    >>> adaptive_kl_coef(0.1, kl=12.0, target=6.0, episodes=500, horizon=10_000)  # 0.1 · 1.01
    0.101
    """
    error = min(max(kl / target - 1, -0.2), 0.2)
    return kl_coef * (1 + error * episodes / horizon)
