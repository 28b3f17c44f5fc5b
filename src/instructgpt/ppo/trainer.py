"""PPO-ptx (section 3.5, eq. 2; C.4): one iteration is `collect`, then an `update` per minibatch.

Axes: B episodes, P prompt, R response.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from instructgpt.data.records import PromptText
from instructgpt.distributed.optimizer import clip_and_step, gradient_norm, make_adam
from instructgpt.distributed.state import TrainState
from instructgpt.distributed.world import world
from instructgpt.models.forward import (
    Rows,
    autocast,
    budget_groups,
    pad_rows,
    response_logprobs,
    response_values,
)
from instructgpt.models.load import copy_weights
from instructgpt.ppo.checks import check_first_kl, check_first_ratio
from instructgpt.ppo.config import PPOConfig
from instructgpt.ppo.experience import Experience, pad, pad_samples
from instructgpt.ppo.gae import gae, token_rewards, whiten
from instructgpt.ppo.kl import adaptive_kl_coef, k1, k3
from instructgpt.ppo.loss import PolicyStatistics, policy_loss, policy_statistics, value_loss
from instructgpt.ppo.model import PPOModel
from instructgpt.rollout.engine import Sample
from instructgpt.rollout.sampling import Sampling
from instructgpt.run.schedule import multiplier
from instructgpt.run.seeds import derive, permutation

Phase = Callable[[str], AbstractContextManager[object]]


class PPOTrainer:
    """Optimizes eq. 2: E[r − β log(π/π_SFT)] + γ E_pretrain[log π].

    Args:
        ppo: the four networks; policy and critic are trained in place.
        config: the stage's settings.
        phase: called with `rollout` and `experience`, gives a context in which that part runs (a
            timer).
    """

    def __init__(self, ppo: PPOModel, config: PPOConfig, *, phase: Phase = nullcontext) -> None:
        self.ppo, self.config, self._phase = ppo, config, phase
        self.world = world()
        policy, critic = ppo.policy.model, ppo.critic.model
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

    def train_step(
        self, prompts: Sequence[PromptText], pretrain_batch: Sequence[Sequence[int]] = ()
    ) -> dict[str, float]:
        """One whole iteration on `batch_size` prompts; returns the last update's metrics.

        Args:
            prompts: one per episode.
            pretrain_batch: token windows of pretraining text, `ptx_ratio` per episode (C.4: 8),
                spread evenly over the updates.
        """
        self.collect(prompts)
        metrics: dict[str, float] = {}
        count = self.config.updates_per_iteration
        for update in range(count):
            metrics |= self.update(pretrain_batch[update::count])
        return metrics

    # ---------------------------------------------------------------- experience

    def collect(self, prompts: Sequence[PromptText]) -> Experience:
        """Begin an iteration: sample an answer to each prompt and estimate its advantages."""
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
        sampling = Sampling(
            config.response_length, config.temperature, stop_tokens=(ppo.policy.text.eos,)
        )
        with phase("rollout"):
            samples = ppo.policy.sample(
                prompt_ids, seeds, sampling, slots=config.rollout_slots, dtype=config.dtype
            )
        response_BR, length_B, sampled_logprobs_BR, finished_B = pad_samples(
            samples, ppo.policy.device
        )
        is_response_BR = (
            torch.arange(response_BR.shape[1], device=length_B.device) < length_B[:, None]
        )

        with phase("experience"):
            own_BR, ref_logprobs_BR, values_BR = self._frozen_passes(prompt_ids, samples)
            scores_B = self._scores(prompts, prompt_ids, samples)
        logprobs_BR = sampled_logprobs_BR if own_BR is None else own_BR

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

    def _frozen_passes(
        self, prompts: Sequence[list[int]], samples: Sequence[Sample]
    ) -> tuple[Tensor | None, Tensor, Tensor]:
        """Log-probs of the trainer (None where the sampler's serve) and the reference; values."""
        config, ppo, device = self.config, self.ppo, self.ppo.policy.device
        shape = (len(samples), max(len(sample.tokens) for sample in samples))
        recompute = config.old_logprobs == "trainer" or (
            config.old_logprobs == "auto" and config.dtype != "float32"
        )
        own_BR = torch.zeros(shape, device=device) if recompute else None
        ref_BR, values_BR = torch.zeros(shape, device=device), torch.zeros(shape, device=device)
        lengths = [len(p) + len(s.tokens) for p, s in zip(prompts, samples, strict=True)]
        for group in budget_groups(lengths, config.micro_batch_tokens):
            rows = pad_rows(
                [prompts[i] for i in group], [samples[i].tokens for i in group], device=device
            )
            width = rows.response_BR.shape[1]
            with autocast(config.dtype, device):
                if own_BR is not None:
                    own_BR[group, :width] = response_logprobs(
                        ppo.policy.model, rows, temperature=config.temperature
                    )
                ref_BR[group, :width] = response_logprobs(
                    ppo.reference.model, rows, temperature=config.temperature
                )
                values_BR[group, :width] = self._values(rows)
        return own_BR, ref_BR, values_BR

    def _values(self, rows: Rows) -> Tensor:
        """V_t of each response token: raw − shift, as the reward model's score; 0 elsewhere."""
        values_BR = response_values(self.ppo.critic.model, rows) - self.ppo.critic.shift
        return torch.where(rows.is_response_BR, values_BR, 0.0)

    def _scores(
        self,
        prompts: Sequence[PromptText],
        prompt_ids: Sequence[list[int]],
        samples: Sequence[Sample],
    ) -> Tensor:
        """The score at the last response token, less the penalty of a cut answer."""
        config, ppo = self.config, self.ppo
        settings = {"dtype": config.dtype, "micro_batch_tokens": config.micro_batch_tokens}
        finished = [sample.finished for sample in samples]
        if ppo.shares_vocabulary:
            scores_B = ppo.reward_model.score_tokens(
                prompt_ids, [s.tokens for s in samples], **settings
            )
        else:
            texts = [ppo.policy.text.decode(sample.tokens) for sample in samples]
            scores_B = ppo.reward_model.score(prompts, texts, finished=finished, **settings)
        penalty_B = config.missing_eos_penalty * ~torch.tensor(finished)
        return (scores_B - penalty_B).to(ppo.policy.device)

    # ---------------------------------------------------------------- update

    def update(self, pretrain_windows: Sequence[Sequence[int]] = ()) -> dict[str, float]:
        """One optimizer step on the next minibatch; ends the iteration after its last one."""
        experience, config = self.experience, self.config
        assert experience is not None, "collect() comes before update()"
        batch = experience.select(self._minibatch(len(experience)))
        measures_ratio = bool(pretrain_windows) and self.step % config.grad_ratio_every == 0

        metrics = self._policy_backward(batch)
        ppo_norm = gradient_norm(self.ppo.policy.model) if measures_ratio else None
        metrics |= self._pretraining_backward(pretrain_windows, ppo_norm)
        metrics |= self._value_backward(batch)
        metrics |= self._optimize()

        self.state.counters["step"] += 1
        self.state.counters["update"] += 1
        if self.state.counters["update"] == config.updates_per_iteration:
            metrics |= self._end_iteration(experience)
        return metrics

    def _minibatch(self, episodes: int) -> list[int]:
        """The episodes of the next update: a new shuffle for each pass over the batch."""
        epoch, number = divmod(self.state.counters["update"], self.config.num_mini_batches)
        order = permutation(episodes, self.config.seed, "ppo/minibatch", self.iteration, epoch)
        return order[number :: self.config.num_mini_batches]

    def _policy_backward(self, batch: Experience) -> dict[str, float]:
        """Gradient of the clipped surrogate, a token mean over the minibatch."""
        config, model, device = self.config, self.ppo.policy.model, self.ppo.policy.device
        count = self.world.sum(batch.response_length_B.sum())
        total, statistics, ratio_max = (
            torch.zeros((), device=device),
            torch.zeros(3, device=device),
            0.0,
        )
        for group, rows in self._micro_batches(batch):
            part, width = batch.select(group), rows.response_BR.shape[1]
            with autocast(config.dtype, device):
                logprobs_BR = response_logprobs(model, rows, temperature=config.temperature)
            old_BR, advantages_BR = part.logprobs_BR[:, :width], part.advantages_BR[:, :width]
            arguments = (logprobs_BR, old_BR, advantages_BR, rows.is_response_BR, config.cliprange)
            loss, _ = policy_loss(*arguments)
            (loss / count).backward()
            found: PolicyStatistics = policy_statistics(*arguments)
            total += loss.detach()
            statistics += torch.stack([found.approxkl, found.clipfrac, found.ratio])
            ratio_max = max(ratio_max, found.ratio_max.item())
        if self.state.counters["update"] == 0:
            check_first_ratio(statistics[0] / count, ratio_max, config)
        loss, approxkl, clipfrac, ratio = (
            self.world.sum(torch.stack([total, *statistics])) / count
        ).tolist()
        return {
            "ppo/loss/policy": loss,
            "ppo/policy/approxkl": approxkl,
            "ppo/policy/clipfrac": clipfrac,
            "ppo/policy/ratio": ratio,
            "ppo/policy/ratio_max": ratio_max,
        }

    def _pretraining_backward(
        self, windows: Sequence[Sequence[int]], ppo_norm: Tensor | None
    ) -> dict[str, float]:
        """γ times the gradient of the pretraining loss, added to the same buffers (C.4)."""
        if not windows or not self.config.ptx_coef:
            return {}
        config, model, device = self.config, self.ppo.policy.model, self.ppo.policy.device
        before = (
            [None if p.grad is None else p.grad.clone() for p in model.parameters()]
            if ppo_norm is not None
            else []
        )
        count = self.world.sum(torch.tensor(sum(len(w) - 1 for w in windows), device=device))
        total = torch.zeros((), device=device)
        for group in budget_groups([len(w) for w in windows], config.micro_batch_tokens):
            rows = pad_rows(
                [windows[i][:1] for i in group], [windows[i][1:] for i in group], device=device
            )
            with autocast(config.dtype, device):
                loss = -response_logprobs(model, rows).sum()
            (config.ptx_coef * loss / count).backward()
            total += loss.detach()
        metrics = {"ptx/loss": (self.world.sum(total) / count).item()}
        if ppo_norm is not None:
            pairs = zip(model.parameters(), before, strict=True)
            added = [p.grad - b for p, b in pairs if p.grad is not None and b is not None]
            metrics["ptx/grad_ratio"] = (torch.nn.utils.get_total_norm(added) / ppo_norm).item()
        return metrics

    def _value_backward(self, batch: Experience) -> dict[str, float]:
        """Gradient of the clipped squared error, a token mean, on the critic alone."""
        config, device = self.config, self.ppo.policy.device
        count = self.world.sum(batch.response_length_B.sum())
        total = torch.zeros((), device=device)
        for group, rows in self._micro_batches(batch):
            part, width = batch.select(group), rows.response_BR.shape[1]
            with autocast(config.dtype, device):
                values_BR = self._values(rows)
            loss, _ = value_loss(
                values_BR,
                part.values_BR[:, :width],
                part.returns_BR[:, :width],
                rows.is_response_BR,
                config.cliprange_value,
            )
            (loss / count).backward()
            total += loss.detach()
        return {"ppo/loss/value": (self.world.sum(total) / count).item()}

    def _optimize(self) -> dict[str, float]:
        """Clip and step both networks, then the policy's running average (C.4)."""
        config, metrics = self.config, {}
        shape = multiplier(config.schedule, self.iteration, config.total_iterations, config.warmup)
        for name, rate in (
            ("policy", config.learning_rate),
            ("critic", config.critic_learning_rate),
        ):
            metrics[f"ppo/{name}/learning_rate"] = rate * shape
            metrics[f"ppo/{name}/grad_norm"] = clip_and_step(
                self.state.optimizers[name],
                learning_rate=rate * shape,
                max_norm=config.max_grad_norm,
                what=name,
            )
        average = self.state.averages["policy"]
        with torch.no_grad():
            for name, weight in self.ppo.policy.model.named_parameters():
                average[name].lerp_(weight.float(), 1 - config.ema_decay)
        return metrics

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

    def _micro_batches(self, batch: Experience) -> Iterator[tuple[list[int], Rows]]:
        """The minibatch in rows of similar length, within the token budget."""
        prompts, responses = batch.prompts, batch.responses
        lengths = [len(p) + len(r) for p, r in zip(prompts, responses, strict=True)]
        for group in budget_groups(lengths, self.config.micro_batch_tokens):
            rows = pad_rows(
                [prompts[i] for i in group],
                [responses[i] for i in group],
                device=self.ppo.policy.device,
            )
            yield group, rows
