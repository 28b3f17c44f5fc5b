"""A reward-model step on one ranked prompt: ours, a row per answer, TRL's pairs, the floor.

    python benchmarks/reward.py --answers 9 4

A step is forward, backward and optimizer, on a prompt of 150 tokens with K answers of 30 to 90. TRL
sees the K (K - 1) / 2 pairs that a ranking holds, in micro-batches of up to 6.
"""

import argparse
import math
from itertools import combinations
from typing import NoReturn

import torch
from torch.optim import AdamW

from floor import TRAINED, MatmulFloor
from instructgpt.models.forward import autocast, last_token_scores
from instructgpt.models.load import use_attention
from instructgpt.models.rows import pad_rows
from instructgpt.models.tree import tree_tokens
from instructgpt.reward import RewardConfig, RewardModel, RewardModelTrainer
from instructgpt.reward.data import Comparison
from instructgpt.reward.loss import ranking_loss
from measure import Turn, compare, parser
from peers import StepTurns, trl_options
from workload import SETTINGS, draw_lengths, draw_tokens, load

PROMPT, ANSWER = 150, (30, 90)
MICRO_BATCH = 6
"""Pairs in TRL's memory at a time."""


def make_work(
    arguments: argparse.Namespace, *, peer: bool = False
) -> tuple[RewardModel, Comparison]:
    """A reward model and a ranked prompt, the same for every side; the first answer is the best."""
    policy = load(arguments, peer=peer)
    lengths = draw_lengths(arguments.answers, *ANSWER, seed=1)
    prompt, *answers = draw_tokens([PROMPT, *lengths], policy, seed=2)
    ranks = list(range(1, arguments.answers + 1))
    return RewardModel(policy), Comparison("prompt", prompt, answers, [ranks], ["labeler"])


def ours(arguments: argparse.Namespace, turn: Turn) -> NoReturn:
    """`RewardModelTrainer.train_step`."""
    reward, comparison = make_work(arguments)
    trainer = RewardModelTrainer(
        reward,
        RewardConfig(**SETTINGS, dtype=arguments.dtype),
    )
    while True:
        turn.begin()
        trainer.train_step([comparison])
        turn.end(prompts=1)


def once(arguments: argparse.Namespace, turn: Turn) -> NoReturn:
    """Each answer once, behind its own copy of the prompt."""
    reward, comparison = make_work(arguments)
    use_attention(reward.model, "auto")
    optimizer = AdamW(reward.model.parameters(), 1e-6, fused=True)
    ranks_1K = torch.tensor(comparison.ranks, device=reward.device)
    while True:
        turn.begin()
        prompts = [comparison.prompt] * arguments.answers
        rows = pad_rows(prompts, comparison.responses, device=reward.device)
        with autocast(arguments.dtype, reward.device):
            scores_K = last_token_scores(reward.model, rows)
        loss, _ = ranking_loss(scores_K[None], ranks_1K, torch.ones_like(ranks_1K).bool())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(reward.model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        turn.end(prompts=1)


def trl_trainer(arguments: argparse.Namespace, turn: Turn) -> None:
    """TRL's `RewardTrainer`: every pair's two answers, each with the prompt."""
    import trl  # pyright: ignore[reportMissingImports]
    from datasets import Dataset  # pyright: ignore[reportMissingImports]

    reward, comparison = make_work(arguments, peer=True)
    rows = [
        {"chosen_ids": comparison.prompt + better, "rejected_ids": comparison.prompt + worse}
        for better, worse in combinations(comparison.responses, 2)
    ]
    at_a_time = math.gcd(len(rows), MICRO_BATCH)
    trl.RewardTrainer(
        model=reward.model,
        args=trl.RewardConfig(
            per_device_train_batch_size=at_a_time,
            gradient_accumulation_steps=len(rows) // at_a_time,
            max_steps=arguments.rounds + 2,  # one that warms up, and one that never comes
            **trl_options(arguments),
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=reward.tokenizer,
        callbacks=[StepTurns(turn, prompts=1)],
    ).train()


def floor(arguments: argparse.Namespace, turn: Turn) -> NoReturn:
    """The matrix products of the prompt and its answers, each once, and the optimizer's bytes."""
    _, comparison = make_work(arguments)
    tokens = tree_tokens(comparison.prompt, comparison.responses)
    products = MatmulFloor(load(arguments), arguments.dtype)
    while True:
        turn.begin()
        seconds = TRAINED * products.passes(tokens, 0) + products.adam_step()
        turn.end(seconds=seconds, prompts=1, gflop=TRAINED * products.gflop(tokens, 0))


SIDES = {"ours": ours, "once": once, "trl": trl_trainer, "floor": floor}

if __name__ == "__main__":
    options = parser("Compares reward-model steps.", SIDES)
    options.add_argument("--answers", type=int, nargs="+", default=[9, 4], help="K")
    arguments = options.parse_args()
    for answers in arguments.answers:
        compare("reward", SIDES, arguments, needs={"trl": "trl"}, answers=answers)
