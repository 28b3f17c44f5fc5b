"""A start for the scalar head: fitted to convergence on the states of a trunk that stands still.

A new head on a small model learns little in the few dozen steps that one pass over the rankings
has. The states are computed once; the head alone is then a convex problem of a second or two.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from instructgpt.distributed.sharding import assign
from instructgpt.models.parts import scalar_head
from instructgpt.reward.data import Comparison, ranked_scores
from instructgpt.reward.loss import ranking_loss
from instructgpt.reward.reading import ComparisonReader

ITERATIONS = 200


def fit_head(reader: ComparisonReader, comparisons: Sequence[Comparison]) -> float:
    """Set the head to the minimum of eq. 1 plus `head_l2` · ‖w‖², and return eq. 1 there.

    w are the weights on states scaled to variance 1, so that `head_l2` means the same for every
    model. The head's start plays no part.

    Args:
        reader: of the model, of which only the head is changed, with `head_l2` and `ties`.
        comparisons: the training rankings.
    """
    reward, config = reader.reward, reader.config
    states_ND = reader.read_all(comparisons, reader.states).to(reward.device)
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
        assign(head.weight, (weights_D / scale_D)[None])
        if head.bias is not None:
            assign(head.bias, torch.zeros(1))
        return loss().item()
