"""PPO-ptx (section 3.5, eq. 2; C.4): one iteration is `collect`, then an `update` per minibatch.

Axes: B episodes, P prompt, R response.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor

from instructgpt.data.brought import as_prompts
from instructgpt.data.records import PromptText
from instructgpt.distributed.sharding import shard, whole
from instructgpt.distributed.world import world
from instructgpt.errors import UserError, require_a
from instructgpt.models.budget import pass_tokens
from instructgpt.models.forward import (
    Rows,
    autocast,
    budget_groups,
    pad_rows,
    response_logprobs,
)
from instructgpt.models.load import copy_weights, use_attention
from instructgpt.ppo.checks import check_first_kl, check_first_ratio
from instructgpt.ppo.config import PPOConfig
from instructgpt.ppo.experience import Experience, pad, pad_samples
from instructgpt.ppo.gae import gae, token_rewards, whiten
from instructgpt.ppo.kl import adaptive_kl_coef, k1, k3
from instructgpt.ppo.loss import (
    PolicyStatistics,
    policy_loss,
    policy_statistics,
    rollout_gap,
    value_loss,
)
from instructgpt.ppo.model import PPOModel
from instructgpt.ppo.reading import EpisodeReader
from instructgpt.rollout.sample import Sample
from instructgpt.rollout.sampling import Sampling
from instructgpt.run.config import made
from instructgpt.run.schedule import scheduled
from instructgpt.run.seeds import derive, permutation
from instructgpt.training.optimizer import (
    AddedGradient,
    Losses,
    gradient_norm,
    make_adam,
    take_step,
)
from instructgpt.training.pretraining import as_windows
from instructgpt.training.state import TrainState

Phase = Callable[[str], AbstractContextManager[object]]


class PPOTrainer:
    """Optimizes eq. 2: E[r − β log(π/π_SFT)] + γ E_pretrain[log π].

    Args:
        ppo: the four networks; policy and critic are trained in place. RL begins here: the
            reference is the policy as it is now.
        config: the stage's settings, or a dictionary of them.
        phase: called with `rollout` and `experience`, gives a context in which that part runs (a
            timer).
    """

    def __init__(
        self,
        ppo: PPOModel,
        config: PPOConfig | Mapping[str, Any],
        *,
        phase: Phase = nullcontext,
    ) -> None:
        self.ppo = ppo = require_a(PPOModel, ppo, "PPOTrainer's model")
        self.config = config = made(PPOConfig, config, "PPOTrainer's config")
        self._phase = phase
        self.world = world()
        ppo.begin()
        self._reader = EpisodeReader(ppo, config, self.world)
        policy, critic = ppo.policy.model, ppo.critic.model
        # A reward need not be a network: any `score_tokens` will do.
        frozen = [n.model for n in (ppo.reference, ppo.reward_model) if hasattr(n, "model")]
        self._networks = [policy, critic, *frozen]
        for model in self._networks:
            use_attention(model, config.attention)
            shard(model, config, self.world)
        self.state = TrainState(
            modules={"policy": policy, "critic": critic},
            optimizers={"policy": make_adam(policy, config), "critic": make_adam(critic, config)},
            averages={"policy": copy_weights(policy)},
            counters={"step": 0, "iteration": 0, "update": 0, "kl_coef": config.kl_coef},
        )

    @property
    def step(self) -> int:
        """Optimizer steps taken."""
        return self.state.counters["step"]

    @property
    def iteration(self) -> int:
        """Iterations finished."""
        return self.state.counters["iteration"]

    @property
    def experience(self) -> Experience | None:
        """The episodes of the iteration under way."""
        return Experience(**self.state.tensors) if self.state.tensors else None

    @property
    def pretrain_coef(self) -> float:
        """γ of eq. 2: the weight of the pretraining loss (`ptx_coef`)."""
        return self.config.ptx_coef

    def train_step(self, prompts: Any, pretrain_batch: Any = None) -> dict[str, float]:
        """One whole iteration on `batch_size` prompts; returns the last update's metrics.

        Args:
            prompts: one per episode (see `as_prompts`).
            pretrain_batch: pretraining text, `ptx_ratio` examples per episode (C.4: 8), spread
                evenly over the updates: windows of token ids, or texts (see `as_windows`); None or
                nothing for plain PPO.

        Raises:
            UserError: the batches cannot be used, or there are not enough of them.
        """
        config = self.config
        windows = as_windows(pretrain_batch, self.ppo.policy.text, config.ptx_length)
        count = config.updates_per_iteration
        if 0 < len(windows) < count and config.ptx_coef:
            raise UserError(
                f"pretrain_batch has {len(windows)} examples for the {count} updates of an "
                f"iteration; give {config.ptx_per_update * count} (ptx_ratio per episode), or None"
            )
        self.collect(prompts)
        metrics: dict[str, float] = {}
        for update in range(count):
            metrics |= self.update(windows[update::count])
        return metrics

    def compute_ppo_loss(self, prompts: Any = None) -> Tensor:
        """The clipped surrogate of the minibatch that the next `update` takes: a token mean with
        gradient, of which the update takes the gradient in micro-batches.

        Under several processes it is this one's share of the sum.

        Args:
            prompts: begin an iteration on them first, as `collect` does.

        Raises:
            UserError: there is no iteration under way and no prompts are given, or both are there.
        """
        experience = self.experience
        if (prompts is None) == (experience is None):
            what = "no iteration is under way; give prompts"
            if experience is not None:
                what = "an iteration is under way; call it without prompts"
            raise UserError(f"compute_ppo_loss: {what}")
        experience = experience or self.collect(prompts)
        batch = experience.select(self._minibatch(len(experience)))
        return torch.stack([part.loss for part in self._policy_losses(batch)]).sum()

    def compute_pretrain_loss(self, pretrain_batch: Any) -> Tensor:
        """−log p of pretraining text under the policy, a token mean with gradient and without γ.

        Under several processes it is this one's share of the sum. A batch is what `train_step`
        takes.

        Raises:
            UserError: it cannot be used, or is empty.
        """
        windows = as_windows(pretrain_batch, self.ppo.policy.text, self.config.ptx_length)
        if not windows:
            raise UserError("compute_pretrain_loss: the batch is empty; give some text")
        count = sum(len(window) - 1 for window in windows)
        return torch.stack([loss / count for _, loss in self._pretraining_losses(windows)]).sum()

    # ---------------------------------------------------------------- experience

    def collect(self, prompts: Any) -> Experience:
        """Begin an iteration: sample an answer to each prompt and estimate its advantages.

        Args:
            prompts: `batch_size` of them (see `as_prompts`).

        Raises:
            UserError: they cannot be used, or there are more or fewer.
        """
        prompts = as_prompts(prompts)
        if len(prompts) != self.config.batch_size:
            raise UserError(
                f"an iteration takes batch_size prompts ({self.config.batch_size}), found "
                f"{len(prompts)}; give as many, or change batch_size"
            )
        first_episode = self.iteration * self.config.batch_size
        seeds = [
            derive(self.config.seed, "ppo/episode", first_episode + i) for i in range(len(prompts))
        ]
        experience = self.make_experience(prompts, seeds, self._phase)
        if self.iteration == 0:
            check_first_kl(experience, self.config)
        self.state.tensors = experience.to_tensors()
        return experience

    @torch.no_grad()
    def make_experience(
        self, prompts: Sequence[PromptText], seeds: Sequence[int], phase: Phase = nullcontext
    ) -> Experience:
        """Sample, then score: log-probs, reference log-probs, reward, values, advantages."""
        config, ppo = self.config, self.ppo
        prompt_ids = [ppo.policy.text.prompt(prompt) for prompt in prompts]
        ppo.require_room(prompt_ids, config.response_length)
        ends = ppo.policy.text.ends
        sampling = Sampling(config.response_length, config.temperature, stop_tokens=ends)

        def sample(mine: Sequence[int]) -> list[Sample]:
            return ppo.policy.sample(
                [prompt_ids[i] for i in mine],
                [seeds[i] for i in mine],
                sampling,
                slots=config.rollout_slots,
                dtype=config.dtype,
                check=self.world.stop_alone_if_asked,
            )

        everyone = range(len(prompts))
        with phase("rollout"):
            reading = whole([ppo.policy.model], config, self.world)
            samples = self.world.spread(everyone, sample, reading)
        response_BR, length_B, sampled_logprobs_BR, finished_B = pad_samples(
            samples, ppo.policy.device
        )
        is_response_BR = (
            torch.arange(response_BR.shape[1], device=length_B.device) < length_B[:, None]
        )

        with phase("experience"):
            reading = whole(self._networks, config, self.world)
            found = self.world.spread(
                everyone,
                lambda mine: self._reader.read(
                    [prompts[i] for i in mine],
                    [prompt_ids[i] for i in mine],
                    [samples[i] for i in mine],
                ),
                reading,
            )
        device = ppo.policy.device
        scores_B = torch.tensor([read.score for read in found], device=device)
        logprobs_BR, ref_logprobs_BR, values_BR = (
            pad([getattr(read, name) for read in found], torch.float32).to(device)
            for name in ("logprobs", "ref_logprobs", "values")
        )

        kl_BR = k1(logprobs_BR, ref_logprobs_BR)
        rewards_BR = token_rewards(
            scores_B, kl_BR, is_response_BR, self.state.counters["kl_coef"]
        )  # eq. 2
        if config.whiten_rewards:
            rewards_BR = whiten(rewards_BR, is_response_BR, shift_mean=False)
        advantages_BR, returns_BR = gae(
            rewards_BR, values_BR, is_response_BR, config.gamma, config.lam
        )
        if config.whiten_advantages:
            advantages_BR = whiten(advantages_BR, is_response_BR)
        prompt_length_B = torch.tensor([len(ids) for ids in prompt_ids], device=length_B.device)
        return Experience(
            pad(prompt_ids, torch.long).to(length_B.device), prompt_length_B,
            response_BR, length_B, finished_B,
            logprobs_BR, sampled_logprobs_BR, ref_logprobs_BR, values_BR, scores_B, kl_BR,
            advantages_BR, returns_BR,
        )  # fmt: skip

    @property
    def _pass_tokens(self) -> int:
        """Padded tokens of a forward pass."""
        return pass_tokens(self.config.micro_batch_tokens, self.ppo.policy.model)

    # ---------------------------------------------------------------- update

    def update(self, pretrain_windows: Sequence[Sequence[int]] = ()) -> dict[str, float]:
        """One optimizer step on the next minibatch; ends the iteration after its last one.

        Returns:
            The step's metrics, and the iteration's at its end; nothing of a step that was left out.

        Raises:
            UserError: no iteration is under way.
        """
        experience, config = self.experience, self.config
        if experience is None:
            raise UserError("update: no iteration is under way; call collect(prompts) before it")
        batch = experience.select(self._minibatch(len(experience)))
        measures_ratio = bool(pretrain_windows) and self.step % config.grad_ratio_every == 0
        prompts = batch.prompts
        losses = Losses(self.world, lambda i: self.ppo.policy.text.decode(prompts[i]))

        metrics = self._policy_backward(batch, losses)
        ppo_norm = gradient_norm(self.ppo.policy.model) if measures_ratio else None
        metrics |= self._pretraining_backward(pretrain_windows, ppo_norm, losses)
        metrics |= self._value_backward(batch, losses)
        taken = self._optimize(losses)
        metrics = metrics | taken if taken else {}

        self.state.counters["step"] += bool(taken)
        self.state.counters["update"] += 1
        if self.state.counters["update"] == config.updates_per_iteration:
            metrics |= self._end_iteration(experience)
        return metrics

    def _minibatch(self, episodes: int) -> list[int]:
        """The episodes of the next update: a new shuffle for each pass over the batch."""
        epoch, number = divmod(self.state.counters["update"], self.config.num_mini_batches)
        order = permutation(episodes, self.config.seed, "ppo/minibatch", self.iteration, epoch)
        return order[number :: self.config.num_mini_batches]

    def _policy_backward(self, batch: Experience, losses: Losses) -> dict[str, float]:
        """Gradient of the clipped surrogate, a token mean over the minibatch."""
        device = self.ppo.policy.device
        count = batch.response_length_B.sum()
        sums = torch.zeros(4, device=device)  # loss, approxkl, clipfrac, ratio
        largest = torch.zeros(2, device=device)  # ratio, and gap to the sampler's log-probs
        for part in self._policy_losses(batch):
            part.loss.backward()
            losses.add(part.group, part.loss)
            sums += part.sums
            largest = torch.maximum(largest, part.largest)
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

    def _policy_losses(self, batch: Experience) -> Iterator["_PolicyPart"]:
        """The surrogate's micro-batches, of this process."""
        config, model, device = self.config, self.ppo.policy.model, self.ppo.policy.device
        count = batch.response_length_B.sum()
        for group, weight, rows in self._micro_batches(batch):
            part, width = batch.select(group), rows.response_BR.shape[1]
            with autocast(config.dtype, device):
                logprobs_BR = response_logprobs(model, rows, temperature=config.temperature)
            old_BR, advantages_BR = part.logprobs_BR[:, :width], part.advantages_BR[:, :width]
            arguments = (logprobs_BR, old_BR, advantages_BR, rows.is_response_BR, config.cliprange)
            loss, _ = policy_loss(*arguments)
            found: PolicyStatistics = policy_statistics(*arguments)
            figures = [loss.detach(), found.approxkl, found.clipfrac, found.ratio]
            sums = weight * torch.stack(figures)
            gap = rollout_gap(logprobs_BR, part.sampled_logprobs_BR[:, :width], rows.is_response_BR)
            largest = torch.stack([found.ratio_max, gap])
            yield _PolicyPart(group, weight * loss / count, sums, largest)

    def _pretraining_backward(
        self, windows: Sequence[Sequence[int]], ppo_norm: float | None, losses: Losses
    ) -> dict[str, float]:
        """γ times the gradient of the pretraining loss, added to the same buffers (C.4)."""
        if not windows or not self.config.ptx_coef:
            return {}
        config, model, device = self.config, self.ppo.policy.model, self.ppo.policy.device
        lengths = [len(window) for window in windows]
        passes = self.world.size * len(budget_groups(lengths, self._pass_tokens))
        added = None if ppo_norm is None else AddedGradient(model, passes=passes)
        count = sum(len(window) - 1 for window in windows)
        total = torch.zeros((), device=device)
        for group, loss in self._pretraining_losses(windows):
            (config.ptx_coef * loss / count).backward()
            losses.add(
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

    def _pretraining_losses(
        self, windows: Sequence[Sequence[int]]
    ) -> Iterator[tuple[list[int], Tensor]]:
        """−Σ log p of micro-batches of windows, of this process, with which windows they hold."""
        config, model, device = self.config, self.ppo.policy.model, self.ppo.policy.device
        lengths = [len(window) for window in windows]
        for _, group, weight in self.world.micro_batches(lengths, self._pass_tokens):
            rows = pad_rows(
                [windows[i][:1] for i in group], [windows[i][1:] for i in group], device=device
            )
            with autocast(config.dtype, device):
                yield group, -weight * response_logprobs(model, rows).sum()

    def _value_backward(self, batch: Experience, losses: Losses) -> dict[str, float]:
        """Gradient of the clipped squared error, a token mean, on the critic alone."""
        config, device = self.config, self.ppo.policy.device
        count = batch.response_length_B.sum()
        total = torch.zeros((), device=device)
        for group, weight, rows in self._micro_batches(batch):
            part, width = batch.select(group), rows.response_BR.shape[1]
            with autocast(config.dtype, device):
                values_BR = self._reader.values(rows)
            loss, _ = value_loss(
                values_BR,
                part.values_BR[:, :width],
                part.returns_BR[:, :width],
                rows.is_response_BR,
                config.cliprange_value,
            )
            (weight * loss / count).backward()
            losses.add(group, loss)
            total += weight * loss.detach()
        return {"ppo/loss/value": (self.world.sum(total) / count).item()}

    def _optimize(self, losses: Losses) -> dict[str, float]:
        """Clip and step both networks, then the policy's running average (C.4); nothing if the
        step was left out.
        """
        config = self.config
        shape = scheduled(
            config.schedule,
            self.iteration,
            config.total_iterations,
            config.warmup,
            length="total_episodes",
        )
        rates = {
            "policy": config.learning_rate * shape,
            "critic": config.critic_learning_rate * shape,
        }
        norms = take_step(self.state, rates, config, losses)
        if not norms:
            return {}
        average = self.state.averages["policy"]
        with torch.no_grad():
            for name, weight in self.ppo.policy.model.named_parameters():
                average[name].lerp_(weight.float(), 1 - config.ema_decay)
        metrics = {f"ppo/{name}/learning_rate": rate for name, rate in rates.items()}
        return metrics | {f"ppo/{name}/grad_norm": norm for name, norm in norms.items()}

    def _end_iteration(self, experience: Experience) -> dict[str, float]:
        config, counters = self.config, self.state.counters
        metrics = experience.metrics(counters["kl_coef"])
        is_response_BR = experience.is_response_BR
        metrics["objective/kl_coef"] = counters["kl_coef"]
        metrics["objective/kl_k3"] = (
            k3(experience.logprobs_BR, experience.ref_logprobs_BR).sum(1).mean().item()
        )
        returns_N, values_N = (
            experience.returns_BR[is_response_BR],
            experience.values_BR[is_response_BR],
        )
        unexplained = (returns_N - values_N).var(correction=0) / returns_N.var(correction=0).clamp(
            min=1e-12
        )
        metrics["ppo/val/var_explained"] = 1 - unexplained.item()
        if config.kl_target is not None:
            counters["kl_coef"] = adaptive_kl_coef(
                counters["kl_coef"],
                metrics["objective/kl"],
                config.kl_target,
                len(experience),
                config.kl_horizon,
            )
        counters |= {"iteration": self.iteration + 1, "update": 0}
        self.state.tensors = {}
        return metrics

    def _micro_batches(self, batch: Experience) -> Iterator[tuple[list[int], float, Rows]]:
        """The minibatch in rows of similar length, within the token budget: this process's share,
        with the weight of each.
        """
        prompts, responses = batch.prompts, batch.responses
        lengths = [len(p) + len(r) for p, r in zip(prompts, responses, strict=True)]
        for _, group, weight in self.world.micro_batches(lengths, self._pass_tokens):
            rows = pad_rows(
                [prompts[i] for i in group],
                [responses[i] for i in group],
                device=self.ppo.policy.device,
            )
            yield group, weight, rows


class _PolicyPart(NamedTuple):
    """A micro-batch of the surrogate: its episodes, part of the loss, figures."""

    group: list[int]
    loss: Tensor
    sums: Tensor
    largest: Tensor
