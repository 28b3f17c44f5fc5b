"""One optimizer step of PPO-ptx: gradients of a minibatch, in micro-batches, then Adam.

Axes: B episodes, R response.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from instructgpt.models.budget import pass_tokens
from instructgpt.models.forward import autocast, response_logprobs
from instructgpt.models.rows import Rows, budget_groups, pad_rows, text_rows
from instructgpt.ppo.checks import check_first_ratio
from instructgpt.ppo.collect import Collector
from instructgpt.ppo.experience import Experience
from instructgpt.ppo.loss import (
    PolicyStatistics,
    policy_loss,
    policy_statistics,
    rollout_gap,
    value_loss,
)
from instructgpt.run.schedule import scheduled
from instructgpt.training.optimizer import AddedGradient, Losses, gradient_norm, take_step
from instructgpt.training.state import TrainState


class MinibatchStep:
    """A step of `PPOTrainer`, as `iteration.update` asks for it.

    Args:
        collector: the networks, the settings and the processes.
        state: what is trained; its counters say how far training is.
        batch: the minibatch.
    """

    def __init__(self, collector: Collector, state: TrainState, batch: Experience) -> None:
        self.collector, self.state, self.batch = collector, state, batch
        self.ppo, self.config, self.world = collector.ppo, collector.config, collector.world
        self.model, self.device = self.ppo.policy.model, self.ppo.policy.device
        decode, prompts = self.ppo.policy.text.decode, batch.prompts
        self.losses = Losses(self.world, lambda i: decode(prompts[i]))

    # ---------------------------------------------------------------- the policy

    def policy_backward(self) -> dict[str, float]:
        """Gradient of the clipped surrogate, a token mean over the minibatch."""
        sums = torch.zeros(4, device=self.device)  # loss, approxkl, clipfrac, ratio
        largest = torch.zeros(2, device=self.device)  # ratio, and gap to the sampler's log-probs
        for part in self.policy_losses():
            part.loss.backward()
            self.losses.add(part.group, part.loss)
            sums += part.sums
            largest = torch.maximum(largest, part.largest)
        count = self.batch.response_length_B.sum()
        loss, approxkl, clipfrac, ratio = (self.world.sum(sums) / count).tolist()
        ratio_max, gap = self.world.maxima(largest.tolist())
        is_first = self.state.counters["update"] == 0  # the policy is still the one that sampled
        if is_first:
            check_first_ratio(approxkl, ratio_max, self.config)
        return ({"ppo/rollout_gap": gap} if is_first else {}) | {
            "ppo/loss/policy": loss,
            "ppo/policy/approxkl": approxkl,
            "ppo/policy/clipfrac": clipfrac,
            "ppo/policy/ratio": ratio,
            "ppo/policy/ratio_max": ratio_max,
        }

    def policy_losses(self) -> Iterator["PolicyPart"]:
        """The surrogate's micro-batches, of this process."""
        config, count = self.config, self.batch.response_length_B.sum()
        for group, weight, rows in self._micro_batches():
            part = self.batch.select(group)
            with autocast(config.dtype, self.device):
                logprobs_BR = response_logprobs(self.model, rows, temperature=config.temperature)
            old_BR, is_response_BR = part.logprobs_BR, rows.is_response_BR
            given = (logprobs_BR, old_BR, part.advantages_BR, is_response_BR, config.cliprange)
            loss, _ = policy_loss(*given)
            found: PolicyStatistics = policy_statistics(*given)
            figures = [loss.detach(), found.approxkl, found.clipfrac, found.ratio]
            sums = weight * torch.stack(figures)
            gap = rollout_gap(logprobs_BR, part.sampled_logprobs_BR, is_response_BR)
            largest = torch.stack([found.ratio_max, gap])
            yield PolicyPart(group, weight * loss / count, sums, largest)

    # ---------------------------------------------------------------- pretraining

    def pretraining_backward(self, windows: Sequence[Sequence[int]]) -> dict[str, float]:
        """γ times the gradient of the pretraining loss, added to the same buffers (C.4)."""
        config = self.config
        if not windows or not config.ptx_coef:
            return {}
        ppo_norm = added = None
        if self.state.counters["step"] % config.grad_ratio_every == 0:
            ppo_norm = gradient_norm(self.model)
            groups = budget_groups(list(map(len, windows)), self._pass_tokens)
            added = AddedGradient(self.model, passes=self.world.size * len(groups))
        count = sum(len(window) - 1 for window in windows)
        total = torch.zeros((), device=self.device)
        for group, loss in pretraining_losses(self.collector, windows):
            (config.ptx_coef * loss / count).backward()
            self.losses.add(
                group,
                loss,
                kind="pretraining loss",
                name=lambda i: self.ppo.policy.text.decode(windows[i]),
            )
            total += loss.detach()
        metrics = {"ptx/loss": (self.world.sum(total) / count).item()}
        if added and ppo_norm:
            metrics["ptx/grad_ratio"] = added.norm() / ppo_norm
        return metrics

    # ---------------------------------------------------------------- the value function

    def value_backward(self) -> dict[str, float]:
        """Gradient of the clipped squared error, a token mean, on the critic alone."""
        count = self.batch.response_length_B.sum()
        total = torch.zeros((), device=self.device)
        for group, weight, rows in self._micro_batches():
            part = self.batch.select(group)
            with autocast(self.config.dtype, self.device):
                values_BR = self.collector.values(rows)
            loss, _ = value_loss(
                values_BR,
                part.values_BR,
                part.returns_BR,
                rows.is_response_BR,
                self.config.cliprange_value,
            )
            (weight * loss / count).backward()
            self.losses.add(group, loss)
            total += weight * loss.detach()
        return {"ppo/loss/value": (self.world.sum(total) / count).item()}

    # ---------------------------------------------------------------- the step

    def optimize(self) -> dict[str, float]:
        """Clip and step both networks, then the policy's running average (C.4); nothing if the
        step was left out.
        """
        config = self.config
        shape = scheduled(
            config.schedule,
            self.state.counters["iteration"],
            config.total_iterations,
            config.warmup,
            length="total_episodes",
        )
        rates = {
            "policy": config.learning_rate * shape,
            "critic": config.critic_learning_rate * shape,
        }
        norms = take_step(self.state, rates, config, self.losses)
        if not norms:
            return {}
        average = self.state.averages["policy"]
        with torch.no_grad():
            for name, weight in self.model.named_parameters():
                average[name].lerp_(weight.float(), 1 - config.ema_decay)
        metrics = {f"ppo/{name}/learning_rate": rate for name, rate in rates.items()}
        return metrics | {f"ppo/{name}/grad_norm": norm for name, norm in norms.items()}

    def _micro_batches(self) -> Iterator[tuple[list[int], float, Rows]]:
        """The minibatch in rows of similar length, within the token budget: this process's share,
        with the weight of each.
        """
        prompts, responses = self.batch.prompts, self.batch.responses
        lengths = [len(p) + len(r) for p, r in zip(prompts, responses, strict=True)]
        for _, group, weight in self.world.micro_batches(lengths, self._pass_tokens):
            rows = pad_rows(
                [prompts[i] for i in group], [responses[i] for i in group], device=self.device
            )
            yield group, weight, rows

    @property
    def _pass_tokens(self) -> int:
        return pass_tokens(self.config.micro_batch_tokens, self.model)


class PolicyPart(NamedTuple):
    """A micro-batch of the surrogate: its episodes, part of the loss, figures."""

    group: list[int]
    loss: Tensor
    sums: Tensor
    largest: Tensor


def pretraining_losses(
    collector: Collector, windows: Sequence[Sequence[int]]
) -> Iterator[tuple[list[int], Tensor]]:
    """−Σ log p of micro-batches of windows, of this process, with which windows they hold."""
    config, policy = collector.config, collector.ppo.policy
    budget = pass_tokens(config.micro_batch_tokens, policy.model)
    for _, group, weight in collector.world.micro_batches(list(map(len, windows)), budget):
        rows = text_rows([windows[i] for i in group], device=policy.device)
        with autocast(config.dtype, policy.device):
            yield group, -weight * response_logprobs(policy.model, rows).sum()
