"""The reward model's loss over rankings, and its accuracy on them.

Axes: B prompts, K ranked responses of a prompt; a BKK tensor holds pairs, "response i against j".
A prompt of fewer than K responses is padded with entries that are not `present`; their scores and
ranks may hold anything.
"""

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import logsigmoid

Ties = Literal["drop", "half"]
"""What a tie counts for: nothing (the paper, appendix C.2), or half a win each way."""


def ranking_loss(
    scores_BK: Float[Tensor, "B K"],
    ranks_BK: Int[Tensor, "B K"],
    present_BK: Bool[Tensor, "B K"],
    ties: Ties = "drop",
) -> tuple[Float[Tensor, ""], Int[Tensor, ""]]:
    """InstructGPT eq. 1, as (sum over prompts, number of prompts with a pair that counts).

    Per prompt, the mean over its pairs of -log σ(r_w - r_l), where w is ranked above l (1 is best).
    Equal ranks are a tie. With ties="drop" tied pairs are left out; with ties="half" a tied pair
    contributes -(log σ(d) + log σ(-d)) / 2, d its score difference. Every prompt weighs the same,
    whatever its K: its pairs are one batch element (section 3.5).

    >>> scores = torch.tensor([[2.0, 0.0, 0.0]])
    >>> ranks, present = torch.tensor([[1, 2, 2]]), torch.tensor([[True, True, True]])
    >>> total, prompts = ranking_loss(scores, ranks, present)
    >>> round(total.item(), 4), prompts.item()  # the mean of twice -log σ(2); the tie is dropped
    (0.1269, 1)
    >>> total, prompts = ranking_loss(scores, ranks, present, ties="half")
    >>> round(total.item(), 4), prompts.item()  # (2 · 0.1269 + log 2) / 3
    (0.3157, 1)
    """
    margins_BKK = _margins(scores_BK, present_BK)
    wins_BKK = _wins(ranks_BK, present_BK, ties)
    pairs_B = wins_BKK.sum((1, 2))
    sums_B = -(wins_BKK * logsigmoid(margins_BKK)).sum((1, 2))
    return (sums_B / pairs_B.clamp(min=1)).sum(), pairs_B.count_nonzero()


def prompts_with_pairs(
    ranks_BK: Int[Tensor, "B K"], present_BK: Bool[Tensor, "B K"], ties: Ties = "drop"
) -> Int[Tensor, ""]:
    """The count that `ranking_loss` returns, which needs no scores.

    A prompt counts if it has a pair of different ranks or, with ties="half", any pair at all. A
    trainer divides by the count of its whole batch, and knows it before the first forward.

    >>> ranks = torch.tensor([[1, 2], [1, 1]])
    >>> present = torch.ones(2, 2, dtype=torch.bool)
    >>> prompts_with_pairs(ranks, present).item(), prompts_with_pairs(ranks, present, "half").item()
    (1, 2)
    """
    return _wins(ranks_BK, present_BK, ties).sum((1, 2)).count_nonzero()


def pair_accuracy(
    scores_BK: Float[Tensor, "B K"],
    ranks_BK: Int[Tensor, "B K"],
    present_BK: Bool[Tensor, "B K"],
) -> tuple[Float[Tensor, " B"], Int[Tensor, " B"]]:
    """How many of each prompt's untied pairs the scores order as the ranks do: (right, pairs).

    Equal scores are half right, so that a constant reward model has an accuracy of 1/2.

    >>> scores = torch.tensor([[3.0, 1.0, 1.0]])
    >>> ranks, present = torch.tensor([[1, 2, 3]]), torch.tensor([[True, True, True]])
    >>> right, pairs = pair_accuracy(scores, ranks, present)
    >>> right.tolist(), pairs.tolist()
    ([2.5], [3])
    """
    wins_BKK = _wins(ranks_BK, present_BK, "drop")
    right_BKK = (1 + _margins(scores_BK, present_BK).sign()) / 2
    return (wins_BKK * right_BKK).sum((1, 2)), wins_BKK.count_nonzero((1, 2))


def _margins(
    scores_BK: Float[Tensor, "B K"], present_BK: Bool[Tensor, "B K"]
) -> Float[Tensor, "B K K"]:
    """The score of i less that of j, in float32 or better; an absent response scores 0."""
    scores_BK = torch.where(present_BK, scores_BK, 0)
    scores_BK = scores_BK.to(torch.promote_types(scores_BK.dtype, torch.float32))
    return scores_BK[:, :, None] - scores_BK[:, None, :]


def _wins(
    ranks_BK: Int[Tensor, "B K"], present_BK: Bool[Tensor, "B K"], ties: Ties
) -> Float[Tensor, "B K K"]:
    """How much of a win i has over j: 1 if ranked above it, 0 if below, a tie as `ties` says."""
    tie = {"drop": 0.0, "half": 0.5}[ties]
    better_BKK = ranks_BK[:, :, None] < ranks_BK[:, None, :]
    equal_BKK = ranks_BK[:, :, None] == ranks_BK[:, None, :]
    both_present_BKK = present_BK[:, :, None] & present_BK[:, None, :]
    one_KK = torch.eye(ranks_BK.shape[1], dtype=torch.bool, device=ranks_BK.device)
    return (better_BKK + tie * equal_BKK) * (both_present_BKK & ~one_KK)
