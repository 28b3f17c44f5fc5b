"""Supervised fine-tuning: minimize −log p(response | prompt) (section 3.5).

Axes: B rows, R response.
"""

from collections.abc import Iterable, Mapping, Sequence, Sized
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import torch

from instructgpt.distributed.sharding import shard
from instructgpt.distributed.world import world
from instructgpt.errors import UserError, require_a
from instructgpt.models.budget import pass_tokens
from instructgpt.models.dropout import own_rate, residual_dropout
from instructgpt.models.forward import autocast, response_logprobs
from instructgpt.models.load import use_attention
from instructgpt.models.rows import pad_rows
from instructgpt.rollout.policy import SFTModel
from instructgpt.run.config import made
from instructgpt.run.schedule import scheduled
from instructgpt.run.seeds import seed_torch
from instructgpt.sft.batches import as_examples
from instructgpt.sft.config import SFTConfig
from instructgpt.sft.data import Example
from instructgpt.training.optimizer import Losses, make_adam, take_step, unfreeze
from instructgpt.training.state import TrainState

Batch = Sequence[Any] | Mapping[str, Any]
"""A list of examples, demonstrations or dictionaries, or a dictionary of columns."""


class FirstLoss(NamedTuple):
    """The token mean of −log p (nats) before training, with dropout and without."""

    dropout: float
    loss: float
    loss_without: float

    @property
    def is_far_above(self) -> bool:
        """Whether dropout takes away much of what the model knows: more than a nat per token."""
        return self.loss - self.loss_without > 1


class SFTTrainer:
    """Trains a policy on demonstrations.

    Args:
        policy: the model; it is trained in place.
        config: the stage's settings, or a dictionary of them.
        total_steps: the length of the learning-rate schedule, which one that decays needs;
            `train_epoch` finds it from its loader.
    """

    def __init__(
        self, policy: SFTModel, config: SFTConfig | Mapping[str, Any], total_steps: int = 0
    ) -> None:
        self.policy = policy = require_a(SFTModel, policy, "SFTTrainer's model")
        self.config = config = made(SFTConfig, config, "SFTTrainer's config")
        self.total_steps = total_steps
        self.world = world()
        self.dropout = own_rate(policy.model) if config.dropout is None else config.dropout
        use_attention(policy.model, config.attention)
        shard(policy.model, config, self.world)
        unfreeze(policy.model)
        self.state = TrainState(
            modules={"policy": policy.model},
            optimizers={"policy": make_adam(policy.model, config)},
            counters={"step": 0},
        )

    @property
    def step(self) -> int:
        """Optimizer steps taken."""
        return self.state.counters["step"]

    @property
    def learning_rate(self) -> float:
        """Of the next step: cosine to 10 % over the whole run, no warm-up (C.1)."""
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

    def train_epoch(self, loader: Iterable[Batch]) -> float:
        """One pass over the batches of `loader`; returns the mean loss per batch, of those that
        were not left out.

        Args:
            loader: a list of batches, or torch's DataLoader; each batch is what `train_step` takes.

        Raises:
            UserError: it has no batch, or no length where `total_steps` is not known.
        """
        if not self.total_steps:
            if not isinstance(loader, Sized):
                raise UserError(
                    "train_epoch needs a loader with a length for the learning-rate schedule; give "
                    "SFTTrainer total_steps"
                )
            self.total_steps = self.config.epochs * len(loader)
        steps = [self.train_step(batch) for batch in loader]
        if not steps:
            raise UserError("train_epoch: the loader has no batch; give at least one")
        losses = [metrics["sft/loss"] for metrics in steps if metrics]
        return sum(losses) / len(losses) if losses else float("nan")

    def train_step(self, batch: Batch) -> dict[str, float]:
        """One optimizer step on the token mean of the batch, however it is cut up.

        All processes are given the same batch.

        Args:
            batch: examples, or demonstrations as records or dictionaries, which are tokenized here
                (see `as_examples`).

        Returns:
            The step's metrics; nothing if it was left out (`on_nonfinite`).

        Raises:
            UserError: the batch cannot be used, or the schedule decays and `total_steps` is not
                known.
        """
        batch = as_examples(batch, self.policy.text, self.config)
        config, rate = self.config, self.learning_rate
        tokens = sum(len(example.response) for example in batch)
        total = torch.zeros((), device=self.policy.device)
        losses = Losses(self.world, lambda i: self.policy.text.decode(batch[i].prompt))
        for number, group, weight in self.world.micro_batches(
            [len(e) for e in batch], self._pass_tokens
        ):
            with self._dropout(number):
                loss = weight * self._loss_sum([batch[i] for i in group]) / tokens
                loss.backward()
            losses.add(group, loss)
            total += loss.detach()
        loss = self.world.sum(total).item()
        norms = take_step(self.state, {"policy": rate}, config, losses)
        if not norms:
            return {}
        self.state.counters["step"] += 1
        return {
            "sft/loss": loss,
            "sft/learning_rate": rate,
            "sft/grad_norm": norms["policy"],
            "sft/tokens": tokens,
        }

    def _dropout(self, number: int) -> AbstractContextManager[None]:
        """That of the next step's micro-batch of this number, from a stream of its own."""
        seed_torch(self.config.seed, "sft/dropout", self.step, number)
        return residual_dropout(self.policy.model, self.dropout)

    @torch.no_grad()
    def first_loss(self, batch: Sequence[Example]) -> FirstLoss:
        """What dropout does to the loss of the batch's first micro-batch (of each process), before
        training.
        """
        number, group, weight = next(
            iter(self.world.micro_batches([len(e) for e in batch], self._pass_tokens))
        )
        examples = [batch[i] for i in group]
        plain = self._loss_sum(examples)
        with self._dropout(number):
            dropped = self._loss_sum(examples)
        tokens = plain.new_tensor(sum(len(e.response) for e in examples))
        sums = self.world.sum(weight * torch.stack([dropped, plain, tokens])).tolist()
        return FirstLoss(self.dropout, sums[0] / sums[2], sums[1] / sums[2])

    @torch.no_grad()
    def validation_loss(self, examples: Sequence[Example]) -> float:
        """The token mean of −log p over held-out examples (nats)."""
        total = torch.zeros((), device=self.policy.device)
        for _, group, weight in self.world.micro_batches(
            [len(e) for e in examples], self._pass_tokens
        ):
            total += weight * self._loss_sum([examples[i] for i in group])
        return self.world.sum(total).item() / sum(len(e.response) for e in examples)

    @property
    def _pass_tokens(self) -> int:
        return pass_tokens(self.config.micro_batch_tokens, self.policy.model)

    def _loss_sum(self, examples: Iterable[Example]) -> torch.Tensor:
        """−Σ log p over the response tokens."""
        examples = list(examples)
        rows = pad_rows(
            [e.prompt for e in examples], [e.response for e in examples], device=self.policy.device
        )
        with autocast(self.config.dtype, self.policy.device):
            logprobs_BR = response_logprobs(self.policy.model, rows)
        return -logprobs_BR.sum()
