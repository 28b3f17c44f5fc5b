"""Our way and the plain way of each stage, for the same small work.

What is measured of them is their ratio, so the work is only as much as shows it.
"""

import argparse
from collections.abc import Callable

import plain
from instructgpt.ppo import PPOConfig, PPOModel, PPOTrainer
from instructgpt.reward import RewardConfig, RewardModel, RewardModelTrainer
from instructgpt.reward.data import Comparison
from instructgpt.rollout.sampling import Sampling
from instructgpt.run.seeds import derive
from instructgpt.sft import Example, SFTConfig, SFTTrainer
from peers import generate_batches
from workload import SETTINGS, as_text, draw_lengths, draw_tokens, forced_lengths, load

PROMPT, ANSWER, SLOTS = (12, 52), (4, 64), 8
Ways = tuple[Callable[[], object], Callable[[], object]]
"""Our way and the plain way to do the same work."""


def rollout(arguments: argparse.Namespace) -> Ways:
    """24 answers in 8 slots, against `generate` on 8 prompts at a time."""
    policy = load(arguments)
    lengths = draw_lengths(24, *ANSWER, seed=1)
    prompts = draw_tokens(draw_lengths(24, *PROMPT, seed=2), policy, seed=3)

    def ours() -> None:
        sampling = Sampling(ANSWER[1], stop_tokens=(policy.text.eos,))
        with forced_lengths(dict(enumerate(lengths))):
            policy.sample(prompts, range(len(prompts)), sampling, slots=SLOTS)

    return ours, lambda: generate_batches(policy, prompts, lengths, SLOTS)


def reward(arguments: argparse.Namespace) -> Ways:
    """A ranking of six answers, against its 15 pairs."""
    policy = load(arguments)
    prompt, *responses = draw_tokens([64, *draw_lengths(6, 16, 48, seed=1)], policy, seed=2)
    comparison = Comparison("prompt", prompt, responses, [[1, 2, 3, 4, 5, 6]], ["labeler"])
    trainer = RewardModelTrainer(RewardModel(policy), RewardConfig(**SETTINGS))
    pairwise = RewardModel(policy)
    optimizer = plain.adam(pairwise.model)
    return (
        lambda: trainer.train_step([comparison]),
        lambda: plain.reward_step(pairwise, optimizer, comparison),
    )


def sft(arguments: argparse.Namespace) -> Ways:
    """16 ragged demonstrations, against one padded block with all logits."""
    policy, padded = load(arguments), load(arguments)
    prompts = draw_tokens(draw_lengths(16, 16, 96, seed=1), policy, seed=2)
    answers = draw_tokens(draw_lengths(16, 8, 96, seed=3), policy, seed=4)
    batch = [Example(*texts) for texts in zip(prompts, answers, strict=True)]
    trainer = SFTTrainer(policy, SFTConfig(**SETTINGS, dropout=0.0, micro_batch_tokens=1024))
    optimizer = plain.adam(padded.model)
    return (
        lambda: trainer.train_step(batch),
        lambda: plain.sft_step(padded, optimizer, batch),
    )


def ppo(arguments: argparse.Namespace) -> Ways:
    """An iteration of 16 episodes, against `generate` and padded passes with all logits."""
    policy, padded = load(arguments), load(arguments)
    lengths = draw_lengths(16, *ANSWER, seed=1)
    prompts = draw_tokens(draw_lengths(16, *PROMPT, seed=2), policy, seed=3)
    config = PPOConfig(
        **SETTINGS,
        reward_model="-",
        batch_size=16,
        num_mini_batches=4,
        response_length=ANSWER[1],
        ptx_coef=0,
        micro_batch_tokens=512,
    )
    trainer = PPOTrainer(PPOModel(policy, RewardModel(policy)), config)
    other = PPOModel(padded, RewardModel(padded))
    optimizers = [plain.adam(model.model) for model in (other.policy, other.critic)]
    texts = [as_text(prompt) for prompt in prompts]

    def ours() -> None:
        seeds = [derive(config.seed, "ppo/episode", trainer.iteration * 16 + i) for i in range(16)]
        with forced_lengths(dict(zip(seeds, lengths, strict=True))):
            trainer.train_step(texts)

    return ours, lambda: plain.ppo_iteration(other, optimizers, prompts, lengths, 4)


STAGES = {"rollout": rollout, "reward": reward, "sft": sft, "ppo": ppo}
