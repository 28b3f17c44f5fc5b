"""Passes over many answers without gradient, shared out among the processes."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from instructgpt.distributed.sharding import whole
from instructgpt.distributed.world import world
from instructgpt.models.forward import Rows, Tokens, in_groups, last_token_scores
from instructgpt.reward.config import RewardConfig
from instructgpt.reward.model import RewardModel


def read_rows(
    reward: RewardModel,
    prompts: Sequence[Tokens],
    responses: Sequence[Tokens],
    config: RewardConfig,
    read: Callable[[PreTrainedModel, Rows], Tensor] = last_token_scores,
) -> Tensor:
    """What `read` makes of each row, in the order given: float32 (N, …) on the CPU.

    Raw scores by default, no shift; N ≥ 1. All processes call this together.
    """

    def share(mine: Sequence[int]) -> Sequence[Tensor]:
        with torch.no_grad():
            rows_NX = in_groups(
                lambda rows: read(reward.model, rows),
                [prompts[i] for i in mine],
                [responses[i] for i in mine],
                device=reward.device,
                dtype=config.dtype,
                micro_batch_tokens=config.micro_batch_tokens,
            )
            return [row.clone() for row in rows_NX]  # a view would be sent with all it is a part of

    reading = whole([reward.model], config, world())
    return torch.stack(world().spread(range(len(prompts)), share, reading))
