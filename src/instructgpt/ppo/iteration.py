"""PPO-ptx: one iteration, and it is the one that runs (InstructGPT section 3.5, eq. 2; C.4).

The policy π is trained on eq. 2, E[r(x, y) − β log(π(y|x) / π_SFT(y|x))] + γ E_pretrain[log π(x)]:
`make_experience` once, then `update` for each minibatch. `PPOTrainer` gives them the networks of
many processes, `examples/instructgpt_in_100_lines.py` four plain modules.

Axes: B episodes, R response.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import torch

from instructgpt.ppo.config import PPOConfig
from instructgpt.ppo.experience import Episodes, Experience, Reading
from instructgpt.ppo.gae import gae, token_rewards, whiten
from instructgpt.ppo.kl import k1

Phase = Callable[[str], AbstractContextManager[object]]
"""Gives a context, such as a timer, in which a named part runs."""


@torch.no_grad()
def make_experience(
    networks: "Collects",
    prompts: Sequence[Any],
    seeds: Sequence[int],
    kl_coef: float,
    phase: Phase = nullcontext,
) -> Experience:
    """Sample an answer to each prompt, score and read it, and estimate its advantages.

    Args:
        networks: sample and read.
        prompts: x, one per episode.
        seeds: one per episode.
        kl_coef: β.
        phase: called with `rollout` and `experience`.
    """
    config = networks.config
    with phase("rollout"):
        episodes = networks.sample(prompts, seeds)  # y ~ π(y|x)
    with phase("experience"):
        read = networks.read(episodes)  # r(x, y); of each token log π, log π_SFT and V
    is_response_BR = read.is_response_BR
    kl_BR = k1(read.logprobs_BR, read.ref_logprobs_BR)  # log(π / π_SFT)
    rewards_BR = token_rewards(read.scores_B, kl_BR, is_response_BR, kl_coef)  # eq. 2, per token
    if config.whiten_rewards:  # not in the paper
        rewards_BR = whiten(rewards_BR, is_response_BR, shift_mean=False)
    advantages_BR, returns_BR = gae(  # C.4: no discount
        rewards_BR, read.values_BR, is_response_BR, config.gamma, config.lam
    )
    if config.whiten_advantages:
        advantages_BR = whiten(advantages_BR, is_response_BR)
    return Experience.of(episodes, read, kl_BR, advantages_BR, returns_BR)


def update(step: "Step", pretraining: Sequence[Sequence[int]]) -> dict[str, float]:
    """One optimizer step on a minibatch of experience and its share of the pretraining text.

    Returns:
        The step's metrics; nothing of one that was left out (`on_nonfinite`).
    """
    metrics = {**step.policy_backward()}  # PPO's clipped surrogate of E[r − β log(π / π_SFT)]
    metrics |= step.pretraining_backward(pretraining)  # + γ E_pretrain[log π], the same gradient
    metrics |= step.value_backward()  # V, a network of its own, towards the returns
    taken = step.optimize()  # clip, Adam, the running average
    return {**metrics, **taken} if taken else {}


class Collects(Protocol):
    """Four networks that sample and read."""

    config: PPOConfig

    def sample(self, prompts: Sequence[Any], seeds: Sequence[int]) -> Episodes:
        """An answer to each prompt, each from a seed of its own."""
        ...

    def read(self, episodes: Episodes) -> Reading:
        """What the networks say of them."""
        ...


class Step(Protocol):
    """Policy and value function with a minibatch; each part returns its metrics."""

    def policy_backward(self) -> Mapping[str, float]:
        """Gradient of the clipped surrogate, a token mean."""
        ...

    def pretraining_backward(self, windows: Sequence[Sequence[int]]) -> Mapping[str, float]:
        """Gradient of γ times −log p of the text, a token mean, added to the policy's."""
        ...

    def value_backward(self) -> Mapping[str, float]:
        """Gradient of the clipped squared error, a token mean, on the value function alone."""
        ...

    def optimize(self) -> Mapping[str, float]:
        """Take the step; nothing if it was left out."""
        ...
