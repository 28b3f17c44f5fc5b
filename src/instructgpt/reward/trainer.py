"""Reward-model training: a prompt's pairs are one batch element (section 3.5, footnote 5).

Axes: L labelers' rankings, K ranked responses, N answers of a batch.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from instructgpt.data.brought import as_records
from instructgpt.data.records import Ranking
from instructgpt.distributed.sharding import shard
from instructgpt.distributed.world import world
from instructgpt.errors import UserError, require_a
from instructgpt.models.budget import pass_tokens
from instructgpt.models.load import use_attention
from instructgpt.reward.config import RewardConfig
from instructgpt.reward.data import Comparison, encode_rankings, ranked_scores
from instructgpt.reward.loss import pair_accuracy, prompts_with_pairs, ranking_loss
from instructgpt.reward.model import RewardModel
from instructgpt.reward.reading import ComparisonReader
from instructgpt.run.config import made
from instructgpt.run.progress import say_skipped
from instructgpt.run.schedule import scheduled
from instructgpt.training.optimizer import Losses, make_adam, take_step, unfreeze
from instructgpt.training.state import TrainState

Batch = Sequence[Any] | Mapping[str, Any]
"""A list of comparisons, rankings or dictionaries, or a dictionary of columns."""


class RewardModelTrainer:
    """Trains a reward model on rankings.

    Args:
        reward: the model; it is trained in place.
        config: the stage's settings, or a dictionary of them.
        total_steps: the length of the learning-rate schedule, which one that decays needs.
    """

    def __init__(
        self, reward: RewardModel, config: RewardConfig | Mapping[str, Any], total_steps: int = 0
    ) -> None:
        self.reward = reward = require_a(RewardModel, reward, "RewardModelTrainer's model")
        self.config = config = made(RewardConfig, config, "RewardModelTrainer's config")
        self.total_steps = total_steps
        self.world = world()
        use_attention(reward.model, config.attention)
        self.reader = ComparisonReader(reward, config)  # looks at full weights
        shard(reward.model, config, self.world)
        unfreeze(reward.model)
        self.state = TrainState(
            modules={"reward": reward.model},
            optimizers={"reward": make_adam(reward.model, config)},
            counters={"step": 0},
        )

    @property
    def step(self) -> int:
        """Optimizer steps taken."""
        return self.state.counters["step"]

    @property
    def learning_rate(self) -> float:
        """Of the next step: cosine to 10 % over the whole run (C.2)."""
        config = self.config
        shape = scheduled(
            config.schedule,
            self.step,
            self.total_steps,
            config.warmup,
            config.min_lr_ratio,
            length="total_steps",
        )
        return config.learning_rate * shape

    def train_step(self, batch: Batch) -> dict[str, float]:
        """One optimizer step on eq. 1, averaged over every labeler's ranking in the batch (the same
        batch in every process).

        Args:
            batch: comparisons, or rankings as records or dictionaries (also with the keys prompt,
                chosen and rejected), which are tokenized here; or a dictionary of columns.

        Returns:
            The step's metrics; nothing if it was left out (`on_nonfinite`).

        Raises:
            UserError: the batch cannot be used, the model has been frozen since, or the schedule
                decays and `total_steps` is not known.
        """
        batch = self._comparisons(batch)
        if not any(parameter.requires_grad for parameter in self.reward.model.parameters()):
            raise UserError(
                "the reward model is frozen, because a PPOTrainer was made with it; make a new "
                "RewardModelTrainer to train it further"
            )
        config, device, rate = self.config, self.reward.device, self.learning_rate
        everything = ranked_scores(batch, device)
        count = prompts_with_pairs(everything.ranks_LK, everything.present_LK, config.ties)
        totals = torch.zeros(3, device=device)  # loss, pairs ordered right, pairs
        lengths, rows = self.reader.size(batch)
        losses = Losses(self.world, lambda i: f"prompt {batch[i].prompt_id}")
        budget = pass_tokens(config.micro_batch_tokens, self.reward.model)
        for _, group, weight in self.world.micro_batches(lengths, budget, rows):
            loss, right, pairs = self.compute_comparison_loss([batch[i] for i in group])
            (weight * loss / count.clamp(min=1)).backward()
            losses.add(group, loss)
            totals += weight * torch.stack([loss.detach(), right, pairs])
        loss, right, pairs = self.world.sum(totals).tolist()
        metrics = {"reward/loss": loss / max(count.item(), 1), "reward/learning_rate": rate}
        if pairs:
            metrics["reward/accuracy"] = right / pairs
        norms = take_step(self.state, {"reward": rate}, config, losses)
        if not norms:
            return {}
        self.state.counters["step"] += 1
        return metrics | {"reward/grad_norm": norms["reward"]}

    def compute_comparison_loss(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Eq. 1 over some prompts, each answer forwarded once; a batch is what `train_step` takes.

        Returns:
            The sum of the per-ranking losses (with gradient), and of all untied pairs how many are
            ordered right and how many there are.
        """
        batch = self._comparisons(batch)
        scores_N = self.reader.scores(batch)
        ranked = ranked_scores(batch, self.reward.device)
        scores_LK = scores_N[ranked.index_LK]
        loss, _ = ranking_loss(scores_LK, ranked.ranks_LK, ranked.present_LK, self.config.ties)
        right_L, pairs_L = pair_accuracy(scores_LK.detach(), ranked.ranks_LK, ranked.present_LK)
        return loss, right_L.sum(), pairs_L.sum().float()

    def _comparisons(self, batch: Batch) -> list[Comparison]:
        """Comparisons as they are; rankings tokenized."""
        if (
            isinstance(batch, list | tuple)
            and batch
            and all(isinstance(item, Comparison) for item in batch)
        ):
            return list(batch)
        config = self.config
        comparisons, skipped = encode_rankings(
            as_records(batch, Ranking),
            self.reward.text,
            max_length=config.max_length,
            on_long=config.on_long,
        )
        say_skipped(skipped)
        return comparisons
