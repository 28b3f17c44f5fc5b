"""Episodes and what the four networks say of them, gathered from all processes.

Axes: B episodes, R response.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from instructgpt.data.records import PromptText
from instructgpt.distributed.sharding import gathered
from instructgpt.distributed.world import World
from instructgpt.models.budget import pass_tokens
from instructgpt.models.forward import autocast, response_logprobs, response_values
from instructgpt.models.rows import Rows, budget_groups, pad_rows
from instructgpt.ppo.config import PPOConfig
from instructgpt.ppo.experience import Episodes, Reading, pad
from instructgpt.ppo.model import PPOModel
from instructgpt.rollout.episode import Sample
from instructgpt.rollout.sampling import Sampling
from instructgpt.run.tuning import forward_dtype


class Collector:
    """Samples episodes and reads them; each process does a share.

    Args:
        ppo: the four networks.
        config: how answers are drawn; temperature, penalty, precision and size of passes.
        world: the processes.
    """

    def __init__(self, ppo: PPOModel, config: PPOConfig, world: World) -> None:
        self.ppo, self.config, self.world = ppo, config, world

    def sample(self, prompts: Sequence[PromptText], seeds: Sequence[int]) -> Episodes:
        """An answer to each prompt, each from a seed of its own.

        Raises:
            UserError: the value function or the reward model has too few positions for one.
        """
        config, policy = self.config, self.ppo.policy
        prompt_ids = [policy.text.prompt(prompt) for prompt in prompts]
        self.ppo.require_room(prompt_ids, config.response_length)
        sampling = Sampling(
            config.response_length, config.temperature, stop_tokens=policy.text.ends
        )

        def share(mine: Sequence[int]) -> list[Sample]:
            return policy.sample(
                [prompt_ids[i] for i in mine],
                [seeds[i] for i in mine],
                sampling,
                slots=config.rollout_slots,
                dtype=config.dtype,
                check=self.world.stop_alone_if_asked,
            )

        reading = gathered([policy.model], config, self.world)
        samples = self.world.map_shares(range(len(prompts)), share, reading)
        return Episodes(list(prompts), prompt_ids, samples)

    def read(self, episodes: Episodes) -> Reading:
        """What the four networks say of the episodes."""
        frozen = (self.ppo.reference, self.ppo.reward_model)
        networks = [self.ppo.policy.model, self.ppo.critic.model]
        # A reward need not be a network: any `score_tokens` will do.
        networks += [network.model for network in frozen if hasattr(network, "model")]
        found = self.world.map_shares(
            range(len(episodes.samples)),
            lambda mine: self._read(episodes.select(mine)),
            gathered(networks, self.config, self.world),
        )
        device = self.ppo.policy.device
        logprobs_BR, ref_logprobs_BR, values_BR = (
            pad([getattr(read, name) for read in found], torch.float32).to(device)
            for name in ("logprobs", "ref_logprobs", "values")
        )
        scores_B = torch.tensor([read.score for read in found], device=device)
        is_response_BR = episodes.is_response_BR.to(device)
        return Reading(scores_B, logprobs_BR, ref_logprobs_BR, values_BR, is_response_BR)

    def values(self, rows: Rows) -> Tensor:
        """V_t of each response token: raw − shift, as the reward model's score; 0 elsewhere."""
        values_BR = response_values(self.ppo.critic.model, rows) - self.ppo.critic.shift
        return torch.where(rows.is_response_BR, values_BR, 0.0)

    def _read(self, episodes: Episodes) -> "list[_Read]":
        """This process's share, in passes of similar length."""
        config, ppo, samples = self.config, self.ppo, episodes.samples
        scores_B = self._scores(episodes)
        policies = [ppo.reference] + ([ppo.policy] if self._recomputes else [])
        budget = pass_tokens(config.micro_batch_tokens, ppo.policy.model)
        found: dict[int, _Read] = {}
        with autocast(config.dtype, ppo.policy.device):  # around all passes: weights are cast once
            for group in budget_groups(episodes.lengths, budget):
                self.world.stop_alone_if_asked()
                rows = pad_rows(
                    [episodes.prompt_ids[i] for i in group],
                    [samples[i].tokens for i in group],
                    device=ppo.policy.device,
                )
                read = [self.values(rows)] + [
                    response_logprobs(policy.model, rows, temperature=config.temperature)
                    for policy in policies
                ]
                for index, *of_row in zip(group, *torch.stack(read).cpu(), strict=True):
                    sampled = samples[index]
                    # Cloned, because a view would be sent with all that it is a part of.
                    values, reference, *own = [of[: len(sampled.tokens)].clone() for of in of_row]
                    logprobs = own[0] if own else torch.tensor(sampled.logprobs)
                    found[index] = _Read(scores_B[index].item(), logprobs, reference, values)
        return [found[index] for index in range(len(samples))]

    def _scores(self, episodes: Episodes) -> Tensor:
        """The score at the last response token, less the penalty of a cut answer; on the CPU."""
        config, ppo = self.config, self.ppo
        settings = {"dtype": config.dtype, "micro_batch_tokens": config.micro_batch_tokens}
        finished = [sample.finished for sample in episodes.samples]
        answers = [sample.tokens for sample in episodes.samples]
        if ppo.shares_vocabulary:
            scores_B = ppo.reward_model.score_tokens(episodes.prompt_ids, answers, **settings)
        else:
            texts = [ppo.policy.text.decode(answer) for answer in answers]
            scores_B = ppo.reward_model.score(
                episodes.prompts, texts, finished=finished, **settings
            )
        return scores_B - config.missing_eos_penalty * ~torch.tensor(finished)

    @property
    def _recomputes(self) -> bool:
        """Whether the log-probs of the sampling policy come from a forward of the trainer."""
        config = self.config
        return config.old_logprobs == "trainer" or (
            config.old_logprobs == "auto" and forward_dtype(config.dtype) != "float32"
        )


class _Read(NamedTuple):
    """What the networks say of one episode: a score, and a number for each response token."""

    score: float
    logprobs: Tensor
    ref_logprobs: Tensor
    values: Tensor
