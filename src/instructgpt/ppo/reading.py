"""What policy, reference, reward model and value function say of sampled answers.

Axes: B episodes, R response.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from instructgpt.data.records import PromptText
from instructgpt.distributed.world import World
from instructgpt.models.budget import pass_tokens
from instructgpt.models.forward import (
    Rows,
    autocast,
    budget_groups,
    pad_rows,
    response_logprobs,
    response_values,
)
from instructgpt.ppo.config import PPOConfig
from instructgpt.ppo.model import PPOModel
from instructgpt.rollout.sample import Sample
from instructgpt.run.tuning import forward_dtype


class Read(NamedTuple):
    """What the networks say of one episode: a score, and a number for each response token."""

    score: float
    logprobs: Tensor
    ref_logprobs: Tensor
    values: Tensor


class EpisodeReader:
    """Forward passes over episodes, without gradient but for `values`.

    Args:
        ppo: the four networks.
        config: temperature, penalty, precision and size of passes.
        world: the processes; each reads a share.
    """

    def __init__(self, ppo: PPOModel, config: PPOConfig, world: World) -> None:
        self.ppo, self.config, self.world = ppo, config, world

    @property
    def _recomputes(self) -> bool:
        """Whether the log-probs of the sampling policy come from a forward of the trainer."""
        config = self.config
        return config.old_logprobs == "trainer" or (
            config.old_logprobs == "auto" and forward_dtype(config.dtype) != "float32"
        )

    def read(
        self,
        prompts: Sequence[PromptText],
        prompt_ids: Sequence[list[int]],
        samples: Sequence[Sample],
    ) -> "list[Read]":
        """What the four networks say of some episodes."""
        config, ppo, device = self.config, self.ppo, self.ppo.policy.device
        lengths = [len(p) + len(s.tokens) for p, s in zip(prompt_ids, samples, strict=True)]
        scores_B = self._scores(prompts, prompt_ids, samples)
        policies = [ppo.reference] + ([ppo.policy] if self._recomputes else [])
        budget = pass_tokens(config.micro_batch_tokens, ppo.policy.model)
        found: dict[int, Read] = {}
        with autocast(config.dtype, device):  # around all passes: weights are cast once
            for group in budget_groups(lengths, budget):
                self.world.stop_alone_if_asked()
                texts = [samples[i].tokens for i in group]
                rows = pad_rows([prompt_ids[i] for i in group], texts, device=device)
                read = [self.values(rows)] + [
                    response_logprobs(policy.model, rows, temperature=config.temperature)
                    for policy in policies
                ]
                for index, *of_row in zip(group, *torch.stack(read).cpu(), strict=True):
                    sampled = samples[index]
                    # Cloned, because a view would be sent with all that it is a part of.
                    values, reference, *own = [of[: len(sampled.tokens)].clone() for of in of_row]
                    logprobs = own[0] if own else torch.tensor(sampled.logprobs)
                    found[index] = Read(scores_B[index].item(), logprobs, reference, values)
        return [found[index] for index in range(len(samples))]

    def values(self, rows: Rows) -> Tensor:
        """V_t of each response token: raw − shift, as the reward model's score; 0 elsewhere."""
        values_BR = response_values(self.ppo.critic.model, rows) - self.ppo.critic.shift
        return torch.where(rows.is_response_BR, values_BR, 0.0)

    def _scores(
        self,
        prompts: Sequence[PromptText],
        prompt_ids: Sequence[list[int]],
        samples: Sequence[Sample],
    ) -> Tensor:
        """The score at the last response token, less the penalty of a cut answer; on the CPU."""
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
        return scores_B - config.missing_eos_penalty * ~torch.tensor(finished)
