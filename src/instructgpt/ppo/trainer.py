"""`PPOTrainer`: PPO-ptx (section 3.5, eq. 2; C.4) over all processes, resumable at every update.

What an iteration does stands in `ppo.iteration`.

Axes: B episodes, R response.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from instructgpt.data.brought import as_prompts
from instructgpt.data.records import PromptText
from instructgpt.distributed.sharding import shard
from instructgpt.distributed.world import world
from instructgpt.errors import UserError, require_a
from instructgpt.models.load import copy_weights, use_attention
from instructgpt.ppo import iteration
from instructgpt.ppo.checks import check_first_kl
from instructgpt.ppo.collect import Collector
from instructgpt.ppo.config import PPOConfig
from instructgpt.ppo.experience import Experience
from instructgpt.ppo.iteration import Phase
from instructgpt.ppo.kl import adaptive_kl_coef, k3
from instructgpt.ppo.model import PPOModel
from instructgpt.ppo.step import MinibatchStep, pretraining_losses
from instructgpt.run.config import made
from instructgpt.run.seeds import derive, permutation
from instructgpt.training.optimizer import make_adam, unfreeze
from instructgpt.training.pretraining import as_windows
from instructgpt.training.state import TrainState


@dataclass(frozen=True)
class Update:
    """An update of an iteration that has been made.

    Attributes:
        line: its step, or where it was left out, the next one: its line in `metrics.jsonl`.
        metrics: its figures, and the iteration's if it is the last.
        experience: the iteration's episodes.
        prompts: what was asked, if the iteration began with this update.
        is_last: whether the iteration has ended with it.
    """

    line: int
    metrics: dict[str, float]
    experience: Experience
    prompts: Sequence[PromptText]
    is_last: bool


class PPOTrainer:
    """Optimizes eq. 2: E[r − β log(π/π_SFT)] + γ E_pretrain[log π].

    Args:
        ppo: the four networks; policy and critic are trained in place. RL begins here: the
            reference is the policy as it is now.
        config: the stage's settings, or a dictionary of them.
        phase: called with `rollout`, `experience` and `train`, gives a context in which that part
            runs (a timer).
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
        self._collector = Collector(ppo, config, self.world)
        policy, critic = ppo.policy.model, ppo.critic.model
        # A reward need not be a network: any `score_tokens` will do.
        frozen = [n.model for n in (ppo.reference, ppo.reward_model) if hasattr(n, "model")]
        for model in (policy, critic, *frozen):
            use_attention(model, config.attention)
            shard(model, config, self.world)
        unfreeze(policy)  # the critic trains from the start (`PPOModel.begin`)
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
        for update in self.iterate((), (windows[number::count] for number in range(count))):
            metrics |= update.metrics
        return metrics

    def iterate(
        self, prompts: Any, pretraining: Iterable[Sequence[Sequence[int]]]
    ) -> Iterator[Update]:
        """One iteration, update by update; one that was interrupted goes on.

        Args:
            prompts: `batch_size` of them (see `as_prompts`); not looked at where an iteration is
                under way.
            pretraining: windows of token ids for each update that is left.

        Raises:
            UserError: the prompts cannot be used.
        """
        asked: Sequence[PromptText] = ()
        experience, windows = self.experience, iter(pretraining)
        if experience is None:
            asked = as_prompts(prompts)
            experience = self.collect(asked)
        is_last = False
        while not is_last:
            line, number = self.step + 1, self.state.counters["update"] + 1
            is_last = number == self.config.updates_per_iteration
            with self._phase("train"):
                metrics = self.update(next(windows))
            yield Update(line, metrics, experience, asked if number == 1 else (), is_last)

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
        step = self._next_step(experience)
        return torch.stack([part.loss for part in step.policy_losses()]).sum()

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
        losses = pretraining_losses(self._collector, windows)
        return torch.stack([loss / count for _, loss in losses]).sum()

    # ---------------------------------------------------------------- the parts of an iteration

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

    def make_experience(
        self, prompts: Sequence[PromptText], seeds: Sequence[int], phase: Phase = nullcontext
    ) -> Experience:
        """Answers to prompts with all that an iteration wants to know of them."""
        kl_coef = self.state.counters["kl_coef"]
        return iteration.make_experience(self._collector, prompts, seeds, kl_coef, phase)

    def update(self, pretrain_windows: Sequence[Sequence[int]] = ()) -> dict[str, float]:
        """One optimizer step on the next minibatch; after the last one the iteration has ended.

        Returns:
            The step's metrics, and the iteration's at its end; nothing of a step that was left out.

        Raises:
            UserError: no iteration is under way.
        """
        experience, counters = self.experience, self.state.counters
        if experience is None:
            raise UserError("update: no iteration is under way; call collect(prompts) before it")
        metrics = iteration.update(self._next_step(experience), pretrain_windows)
        counters["step"] += bool(metrics)
        counters["update"] += 1
        if counters["update"] == self.config.updates_per_iteration:
            metrics |= self._end_iteration(experience)
        return metrics

    def _next_step(self, experience: Experience) -> MinibatchStep:
        batch = experience.select(self._minibatch(len(experience)))
        return MinibatchStep(self._collector, self.state, batch)

    def _minibatch(self, episodes: int) -> list[int]:
        """The episodes of the next update: a new shuffle for each pass over the batch."""
        epoch, number = divmod(self.state.counters["update"], self.config.num_mini_batches)
        order = permutation(episodes, self.config.seed, "ppo/minibatch", self.iteration, epoch)
        return order[number :: self.config.num_mini_batches]

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
