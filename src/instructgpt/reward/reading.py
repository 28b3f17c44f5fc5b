"""How a prompt's answers are read: branches of one sequence where the model can, else a row each.

Axes: N answers of all comparisons, one after the other; D width.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from instructgpt.distributed.sharding import gathered
from instructgpt.distributed.world import world
from instructgpt.models.budget import pass_tokens
from instructgpt.models.forward import autocast, last_states, last_token_scores
from instructgpt.models.rows import Rows, budget_groups, pad_rows
from instructgpt.models.tree import reads_trees, tree_last_states, tree_scores, tree_tokens
from instructgpt.reward.config import RewardConfig
from instructgpt.reward.data import Comparison, answers
from instructgpt.reward.model import RewardModel


class ComparisonReader:
    """Forward passes over comparisons, with the prompt once where the architecture allows.

    Args:
        reward: the model, not sharded yet: whether it reads trees is tried on it here.
        config: `shared_prefix`, and the precision and size of passes.

    Attributes:
        in_trees: whether a prompt and its answers are one sequence.
    """

    def __init__(self, reward: RewardModel, config: RewardConfig) -> None:
        self.reward, self.config = reward, config
        self.in_trees = config.shared_prefix and reads_trees(reward.model)

    def size(self, comparisons: Sequence[Comparison]) -> tuple[list[int], list[int]]:
        """Of each comparison the tokens of its longest row, and how many rows there are."""
        if self.in_trees:
            trees = [tree_tokens(c.prompt, c.responses) for c in comparisons]
            return trees, [1] * len(comparisons)
        return [c.longest for c in comparisons], [len(c.responses) for c in comparisons]

    def scores(self, comparisons: Sequence[Comparison]) -> Tensor:
        """Raw scores at the answers' last tokens (no shift), float32 (N,), with gradient."""
        model = self.reward.model
        with autocast(self.config.dtype, self.reward.device):
            if self.in_trees:
                return tree_scores(model, *_trees(comparisons))
            return last_token_scores(model, self._rows(comparisons))

    def states(self, comparisons: Sequence[Comparison]) -> Tensor:
        """The states under the head at the answers' last tokens, (N, D), with gradient."""
        model = self.reward.model
        with autocast(self.config.dtype, self.reward.device):
            if self.in_trees:
                return tree_last_states(model, *_trees(comparisons))
            return last_states(model, self._rows(comparisons))

    def read_all(
        self, comparisons: Sequence[Comparison], read: Callable[[Sequence[Comparison]], Tensor]
    ) -> Tensor:
        """What `read`, a method of this reader, makes of many comparisons, shared out among the
        processes: float32 (N, …) on the CPU, without gradient.
        """

        def share(mine: Sequence[int]) -> list[Tensor]:
            own = [comparisons[i] for i in mine]
            lengths, rows = self.size(own)
            found: dict[int, Tensor] = {}
            budget = pass_tokens(self.config.micro_batch_tokens, self.reward.model)
            for group in budget_groups(lengths, budget, rows):
                batch = [own[i] for i in group]
                with torch.no_grad():
                    parts = read(batch).float().cpu().split([len(c.responses) for c in batch])
                # Cloned, because a view would be sent with all that it is a part of.
                found |= {i: part.clone() for i, part in zip(group, parts, strict=True)}
            return [found[i] for i in range(len(own))]

        reading = gathered([self.reward.model], self.config, world())
        return torch.cat(world().map_shares(range(len(comparisons)), share, reading))

    def _rows(self, comparisons: Sequence[Comparison]) -> Rows:
        return pad_rows(*answers(comparisons), device=self.reward.device)


def _trees(comparisons: Sequence[Comparison]) -> tuple[list[list[int]], list[list[list[int]]]]:
    return [c.prompt for c in comparisons], [c.responses for c in comparisons]
