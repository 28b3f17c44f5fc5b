"""A start for the scalar head: fitted to convergence on the states of a trunk that stands still.

A new head on a small model learns little in the few dozen steps that one pass over the rankings
has. The states are computed once; the head alone is then a convex problem of a second or two.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from instructgpt.models.forward import in_groups, last_states
from instructgpt.models.load import scalar_head
from instructgpt.reward.config import RewardConfig
from instructgpt.reward.data import Comparison, ranked_scores
from instructgpt.reward.loss import ranking_loss
from instructgpt.reward.model import RewardModel

ITERATIONS = 200


def fit_head(reward: RewardModel, comparisons: Sequence[Comparison], config: RewardConfig) -> float:
    """Set the head to the minimum of eq. 1 plus `head_l2` · ‖w‖², and return eq. 1 there.

    w are the weights on states scaled to variance 1, so that `head_l2` means the same for every
    model. The head's start plays no part.

    Args:
        reward: the model; only its head is changed.
        comparisons: the training rankings.
        config: `head_l2`, `ties`, precision and micro-batch size.
    """
    states_ND = _states(reward, comparisons, config)
    scale_D = states_ND.std(0).clamp(min=1e-6)
    scaled_ND = (states_ND - states_ND.mean(0)) / scale_D  # a shift of all scores changes no pair
    ranked = ranked_scores(comparisons, reward.device)
    weights_D = torch.zeros_like(scale_D, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weights_D], max_iter=ITERATIONS, history_size=20, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        scores_LK = (scaled_ND @ weights_D)[ranked.index_LK]
        total, count = ranking_loss(scores_LK, ranked.ranks_LK, ranked.present_LK, config.ties)
        return total / count.clamp(min=1)

    def closure() -> float:
        optimizer.zero_grad()
        objective = loss() + config.head_l2 * weights_D.square().sum()
        objective.backward()
        return objective.item()

    optimizer.step(closure)
    with torch.no_grad():
        head = scalar_head(reward.model)
        head.weight.copy_((weights_D / scale_D)[None])
        if head.bias is not None:
            head.bias.zero_()
        return loss().item()


@torch.no_grad()
def _states(reward: RewardModel, comparisons: Sequence[Comparison], config: RewardConfig) -> Tensor:
    """The state under the head for every answer, one after the other, float32 (N, D)."""
    prompts = [c.prompt for c in comparisons for _ in c.responses]
    responses = [response for c in comparisons for response in c.responses]
    states_ND = in_groups(
        lambda rows: last_states(reward.model, rows),
        prompts,
        responses,
        device=reward.device,
        dtype=config.dtype,
        micro_batch_tokens=config.micro_batch_tokens,
    )
    return states_ND.to(reward.device)
