"""Drawing tokens from logits: pure functions, vectorised over rows.

Axes: B rows, V vocabulary.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from instructgpt.errors import UserError


@dataclass(frozen=True)
class Sampling:
    """How answers are drawn and where they end."""

    max_new_tokens: int
    temperature: float = 1.0
    """0 means greedy: always the most probable token."""
    top_p: float = 1.0
    top_k: int = 0
    """0 means off."""
    stop_tokens: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name, kind in {
            "max_new_tokens": int,
            "top_k": int,
            "temperature": float,
            "top_p": float,
        }.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, kind)):
                raise UserError(f"{name} must be a number, found {value!r}")
        if self.max_new_tokens < 1:
            raise UserError(f"max_new_tokens is {self.max_new_tokens}: give at least 1")
        if not 0 <= self.temperature < math.inf:
            raise UserError(f"temperature is {self.temperature}: give 0 (greedy) or more, finite")
        if not 0 < self.top_p <= 1:
            raise UserError(f"top_p is {self.top_p}: give more than 0 and at most 1 (off)")
        if self.top_k < 0:
            raise UserError(f"top_k is {self.top_k}: give 0 (off) or more")


def uniforms(seed: int, count: int) -> list[float]:
    """The first `count` uniform numbers in [0, 1) of the seed's own stream."""
    return np.random.Generator(np.random.Philox(key=seed)).random(count).tolist()


def filter_probs(probs_BV: Tensor, sampling: Sampling) -> Tensor:
    """Set to zero what top-k and then top-p exclude; the rest stays as it is (no renormalising).

    Top-p keeps the fewest tokens that hold at least `top_p` of the mass top-k left, and at least
    one. Between equal probabilities the lower token id goes first.

    >>> filter_probs(torch.tensor([[0.1, 0.5, 0.3, 0.1]]), Sampling(1, top_p=0.7))
    tensor([[0.0000, 0.5000, 0.3000, 0.0000]])
    """
    if not sampling.top_k and sampling.top_p == 1:
        return probs_BV
    sorted_BV, order_BV = probs_BV.sort(dim=-1, descending=True, stable=True)
    if sampling.top_k:
        sorted_BV[:, sampling.top_k :] = 0
    if sampling.top_p < 1:
        sums_BV = sorted_BV.cumsum(-1, dtype=torch.float64)
        mass_before_BV = sums_BV - sorted_BV
        sorted_BV[mass_before_BV >= sampling.top_p * sums_BV[:, -1:]] = 0
    return torch.zeros_like(probs_BV).scatter(-1, order_BV, sorted_BV)


def draw(logits_BV: Tensor, uniforms_B: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor]:
    """One token per row by inverse CDF, and its log-probability: (tokens_B, logprobs_B).

    The token is the first whose cumulative probability exceeds u times the total. Its
    log-probability is that of softmax(logits / temperature) before top-k and top-p; at temperature
    0, of softmax(logits). A row with NaN or +inf among its logits gets NaN.
    """
    greedy = sampling.temperature == 0
    scaled_BV = logits_BV.float() if greedy else logits_BV.float() / sampling.temperature
    logprobs_BV = scaled_BV.log_softmax(-1)
    if greedy:
        tokens_B1 = logprobs_BV.argmax(-1, keepdim=True)
    else:
        # The sum is in float64: at the far end of a float32 one, rare tokens would be rounded away.
        cdf_BV = filter_probs(logprobs_BV.exp(), sampling).cumsum(-1, dtype=torch.float64)
        total_B1 = cdf_BV[:, -1:].contiguous()
        tokens_B1 = torch.searchsorted(cdf_BV, uniforms_B[:, None] * total_B1, right=True)
        # u * total may round up to the total: then the last token of any probability, the first to
        # reach the total. The clamp is for rows of NaN, where no search finds anything.
        last_B1 = torch.searchsorted(cdf_BV, total_B1).clamp(max=logits_BV.shape[-1] - 1)
        tokens_B1 = torch.minimum(tokens_B1, last_B1)
    return tokens_B1[:, 0], logprobs_BV.gather(-1, tokens_B1)[:, 0]
