"""An SFT step on demonstrations of LIMA's lengths: ours, TRL's padded, TRL's packed, the floor.

    python benchmarks/sft.py [--data lima.jsonl]

A step is forward, backward and optimizer, on the answers' tokens alone, without dropout. Tokens are
those of prompts and answers, padding not counted. `offloaded` runs if it is named: ours with
`cpu_offload`, on a GPU.
"""

import argparse
import random
from pathlib import Path
from typing import Any, NoReturn

from floor import TRAINED, MatmulFloor
from instructgpt.data.jsonl import read_jsonl
from instructgpt.models.opening import load_tokenizer
from instructgpt.models.smollm2 import smollm2
from instructgpt.rollout.policy import SFTModel
from instructgpt.sft import Example, SFTConfig, SFTTrainer
from measure import Turn, compare, parser
from peers import StepTurns, trl_options
from workload import SETTINGS, draw_tokens, load

PROMPT, ANSWER = (3.66, 0.86), (5.88, 1.06)
"""Mean and standard deviation of the logarithm of LIMA's lengths, in SmolLM2's tokens."""


def make_work(
    arguments: argparse.Namespace, *, peer: bool = False
) -> tuple[SFTModel, list[Example]]:
    """A policy and a batch, the same for every side; answers are cut to fit."""
    policy = load(arguments, peer=peer)
    lengths = read_lengths(arguments) if arguments.data else fitted_lengths(arguments.batch)
    longest = arguments.max_length
    prompts = draw_tokens([min(p, longest // 2) for p, _ in lengths], policy, seed=2)
    answers = draw_tokens([a for _, a in lengths], policy, seed=3)
    return policy, [
        Example(prompt, answer[: longest - len(prompt)])
        for prompt, answer in zip(prompts, answers, strict=True)
    ]


def fitted_lengths(count: int) -> list[tuple[int, int]]:
    """Tokens of prompts and answers from two log-normals."""
    numbers = random.Random(1)
    return [
        (1 + int(numbers.lognormvariate(*PROMPT)), 1 + int(numbers.lognormvariate(*ANSWER)))
        for _ in range(count)
    ]


def read_lengths(arguments: argparse.Namespace) -> list[tuple[int, int]]:
    """Tokens of prompts and answers in a file."""
    tokenizer = load_tokenizer(arguments.model or smollm2())
    rows = [row for _, row in read_jsonl(arguments.data)]

    def tokens(text: Any) -> int:
        return len(tokenizer(text)["input_ids"]) + 1  # type: ignore[arg-type]

    return [
        (tokens(row["instruction"] + row["input"]), tokens(row["output"]))
        for row in random.Random(1).sample(rows, arguments.batch)
    ]


def ours(arguments: argparse.Namespace, turn: Turn, **settings: Any) -> NoReturn:
    """`SFTTrainer.train_step`."""
    policy, batch = make_work(arguments)
    config = SFTConfig(**SETTINGS, dropout=0.0, dtype=arguments.dtype, **settings)
    gflop = train_gflop(MatmulFloor(policy, arguments.dtype), batch)
    trainer = SFTTrainer(policy, config)
    while True:
        turn.begin()
        trainer.train_step(batch)
        turn.end(tokens=sum(map(len, batch)), gflop=gflop)


def offloaded(arguments: argparse.Namespace, turn: Turn) -> NoReturn:
    """The same with `cpu_offload`: the machine's memory holds weights, gradients and moments."""
    ours(arguments, turn, cpu_offload=True)


def train_gflop(products: MatmulFloor, batch: list[Example]) -> float:
    """Of a step's matrix products with weights, attention's own left out."""
    logits = sum(len(example.response) for example in batch)
    return TRAINED * products.gflop(sum(map(len, batch)), logits)


def padded(arguments: argparse.Namespace, turn: Turn) -> None:
    """TRL's `SFTTrainer`, in micro-batches padded to their longest row."""
    train_trl(arguments, turn, packing=False)


def packed(arguments: argparse.Namespace, turn: Turn) -> None:
    """TRL's `SFTTrainer`, rows packed into sequences of the greatest length, one at a time."""
    train_trl(arguments, turn, packing=True)


def train_trl(arguments: argparse.Namespace, turn: Turn, *, packing: bool) -> None:
    """TRL's steps: each is an epoch over the same batch."""
    import trl  # pyright: ignore[reportMissingImports]
    from datasets import Dataset  # pyright: ignore[reportMissingImports]
    from trl.data_utils import pack_dataset  # pyright: ignore[reportMissingImports]

    policy, batch = make_work(arguments, peer=True)
    rows = [
        {
            "input_ids": example.prompt + example.response,
            "completion_mask": [0] * len(example.prompt) + [1] * len(example.response),
        }
        for example in batch
    ]
    data = Dataset.from_list(rows)
    at_a_time, micro_batches = arguments.micro_batch, -(-len(batch) // arguments.micro_batch)
    if packing:
        at_a_time, micro_batches = 1, len(pack_dataset(data, arguments.max_length, "bfd"))
    trl.SFTTrainer(
        model=policy.model,
        args=trl.SFTConfig(
            per_device_train_batch_size=at_a_time,
            gradient_accumulation_steps=micro_batches,
            max_length=arguments.max_length,
            packing=packing,
            completion_only_loss=True,
            max_steps=arguments.rounds + 2,  # one that warms up, and one that never comes
            **trl_options(arguments),
        ),
        train_dataset=data,
        processing_class=policy.tokenizer,
        callbacks=[StepTurns(turn, tokens=sum(map(len, batch)))],
    ).train()


def floor(arguments: argparse.Namespace, turn: Turn) -> NoReturn:
    """The matrix products of the tokens and of the answers' logits, and the optimizer's bytes."""
    policy, batch = make_work(arguments)
    tokens, logits = sum(map(len, batch)), sum(len(example.response) for example in batch)
    products = MatmulFloor(policy, arguments.dtype)
    while True:
        turn.begin()
        seconds = TRAINED * products.passes(tokens, logits) + products.adam_step()
        turn.end(seconds=seconds, tokens=tokens, gflop=train_gflop(products, batch))


SIDES = {
    "ours": ours,
    "trl": padded,
    "trl-packed": packed,
    "floor": floor,
    "offloaded": offloaded,
}

if __name__ == "__main__":
    options = parser("Compares SFT steps.", SIDES, if_named=["offloaded"])
    options.add_argument("--batch", type=int, default=16, help="demonstrations a step")
    options.add_argument(
        "--micro-batch", type=int, default=2, help="of them in a pass of TRL's, padded"
    )
    options.add_argument("--max-length", type=int, default=1024)
    options.add_argument(
        "--data", type=Path, help="take the lengths of these: JSON lines (instruction, output)"
    )
    arguments = options.parse_args()
    compare(
        "sft",
        SIDES,
        arguments,
        needs={"trl": "trl", "trl-packed": "trl"},
        lengths=arguments.data.name if arguments.data else "fitted",
        batch=arguments.batch,
        micro_batch=arguments.micro_batch,
        max_length=arguments.max_length,
    )
