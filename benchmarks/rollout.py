"""Sampling answers of forced, ragged lengths: our engine, `generate`, continuous batching, floors.

    python benchmarks/rollout.py --slots 32 64

Seconds are for all answers; tokens are those of the answers, padding not counted. `generate` gets
batches of as many prompts as we have slots. The floor is the time of the weights' matrix products
alone, for the prompts and for the live rows of a schedule that refills slots at once. Three sides
run if they are named: `forward`, our engine by the model's own forward; and for GPUs `steps`, our
engine without CUDA graphs, and `bandwidth`, the time of reading the weights once for each step of
that schedule, besides the prompts.
"""

import argparse
import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn
from unittest import mock

import torch
from transformers import ContinuousBatchingConfig

from floor import MatmulFloor, live_rows
from instructgpt.rollout import engine as own_engine
from instructgpt.rollout.policy import SFTModel
from instructgpt.rollout.sampling import Sampling
from measure import Turn, compare, parser
from peers import generate_batches, sampling
from workload import draw_lengths, draw_tokens, forced_lengths, load

ENGINES = Path(os.environ.get("INSTRUCTGPT_ENGINES", "engines"))
PROMPT, ANSWER = (24, 104), (8, 128)
"""Shortest and longest, in tokens."""


Seconds = Callable[[MatmulFloor, int, Sequence[int]], float]
"""What a floor takes for so many prompt tokens and the live rows of each step."""


class Work(NamedTuple):
    """Prompts, and how long each one's answer is."""

    prompts: list[list[int]]
    lengths: list[int]


def make_work(arguments: argparse.Namespace, policy: SFTModel) -> Work:
    """The same for every side."""
    prompts = draw_tokens(draw_lengths(arguments.prompts, *PROMPT, seed=1), policy, seed=2)
    return Work(prompts, draw_lengths(arguments.prompts, *ANSWER, seed=3))


def ours(arguments: argparse.Namespace, turn: Turn) -> NoReturn:
    """`SFTModel.sample`."""
    policy = load(arguments)
    work = make_work(arguments, policy)
    drawn = Sampling(ANSWER[1], stop_tokens=(policy.text.eos,))
    seeds = range(arguments.prompts)
    with forced_lengths(dict(enumerate(work.lengths))):
        while True:
            turn.begin()
            samples = policy.sample(
                work.prompts, seeds, drawn, slots=arguments.slots, dtype=arguments.dtype
            )
            turn.end(tokens=count([sample.tokens for sample in samples], work))


def steps(arguments: argparse.Namespace, turn: Turn) -> NoReturn:
    """`SFTModel.sample` with steps that are launched one by one."""
    with mock.patch.object(own_engine, "has_fixed_rows", return_value=False):
        ours(arguments, turn)


def forward(arguments: argparse.Namespace, turn: Turn) -> NoReturn:
    """`SFTModel.sample` by the model's own forward, as every other architecture is sampled."""
    with mock.patch.object(own_engine, "takes_slim", return_value=False):
        ours(arguments, turn)


def generate(arguments: argparse.Namespace, turn: Turn) -> NoReturn:
    """transformers' `generate`, batch after batch; tuned, with weights in our dtype."""
    policy, work = load_peer(arguments)
    while True:
        turn.begin()
        answers = generate_batches(policy, *work, arguments.slots)
        turn.end(tokens=count(answers, work))


def continuous(arguments: argparse.Namespace, turn: Turn) -> NoReturn:
    """transformers' continuous batching, as in `generate_batch`, but a cut for each answer."""
    policy, work = load_peer(arguments)
    model: Any = policy.model
    batching = ContinuousBatchingConfig(
        max_requests_per_batch=arguments.slots, num_blocks=2 * arguments.slots, max_batch_tokens=512
    )
    while True:
        turn.begin()
        found: dict[str, list[int]] = {}
        with model.continuous_batching_context_manager(
            generation_config=sampling(policy, ANSWER[1], -1),
            continuous_batching_config=batching,
            persistent_manager=True,
        ) as manager:
            for index, (prompt, length) in enumerate(zip(*work, strict=True)):
                manager.add_request(prompt, request_id=str(index), max_new_tokens=length)
            while len(found) < arguments.prompts:
                result = manager.get_result(timeout=1)
                if result is not None and result.is_finished():
                    found[result.request_id] = result.generated_tokens
                elif not manager.is_running():
                    raise RuntimeError("continuous batching has stopped")
        turn.end(tokens=count([found[str(index)] for index in range(arguments.prompts)], work))


def vllm(arguments: argparse.Namespace, turn: Turn) -> NoReturn:
    """vLLM's CPU build."""
    engine("vllm", arguments, turn)


def openvino(arguments: argparse.Namespace, turn: Turn) -> NoReturn:
    """OpenVINO GenAI's continuous batching."""
    engine("openvino", arguments, turn)


def engine(name: str, arguments: argparse.Namespace, turn: Turn) -> NoReturn:
    """Another engine, in a process of its own Python; tuned, with weights in our dtype. The side's
    `peak_bytes` is not the engine's.
    """
    policy = load(arguments, peer=True)
    work = make_work(arguments, policy)
    dtype = arguments.dtype if arguments.tuned else "auto"
    program = Path(__file__).parent / f"engine_{name}.py"
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            [ENGINES / name / "bin/python", program, folder, dtype, str(arguments.slots)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": str(arguments.threads)},
        ) as running,
    ):
        policy.model.save_pretrained(folder)
        policy.tokenizer.save_pretrained(folder)
        assert running.stdin
        assert running.stdout
        print(json.dumps(work), file=running.stdin, flush=True)
        if running.stdout.readline() != "ready\n":
            raise RuntimeError(f"{name} did not start")
        while True:
            turn.begin()
            print("go", file=running.stdin, flush=True)
            lengths = json.loads(running.stdout.readline())
            turn.end(tokens=count([range(length) for length in lengths], work))


def floor(
    arguments: argparse.Namespace, turn: Turn, seconds: Seconds = MatmulFloor.seconds
) -> NoReturn:
    """The matrix products alone."""
    policy = load(arguments)
    work = make_work(arguments, policy)
    products = MatmulFloor(policy, arguments.dtype)
    rows, prompt_tokens = live_rows(work.lengths, arguments.slots), sum(map(len, work.prompts))
    while True:
        turn.begin()
        turn.end(seconds=seconds(products, prompt_tokens, rows), tokens=sum(work.lengths))


def bandwidth(arguments: argparse.Namespace, turn: Turn) -> NoReturn:
    """The weights read from memory for each step, and the prompts' matrix products."""
    floor(arguments, turn, lambda it, prompts, rows: it.passes(prompts, 0) + it.decoding(len(rows)))


def load_peer(arguments: argparse.Namespace) -> tuple[SFTModel, Work]:
    """A policy for transformers' own ways, in our dtype if tuned."""
    policy = load(arguments, peer=True)
    if arguments.tuned:
        policy.model.to(getattr(torch, arguments.dtype))
    return policy, make_work(arguments, policy)


def count(answers: Sequence[Sequence[int]], work: Work) -> int:
    """Tokens of the answers, which must be as long as they were meant to be."""
    lengths = list(map(len, answers))
    if lengths != work.lengths:
        raise RuntimeError(f"the answers have {lengths} tokens instead of {work.lengths}")
    return sum(lengths)


SIDES = {
    "ours": ours,
    "forward": forward,
    "generate": generate,
    "continuous": continuous,
    "floor": floor,
    "vllm": vllm,
    "openvino": openvino,
    "steps": steps,
    "bandwidth": bandwidth,
}

if __name__ == "__main__":
    options = parser(
        "Compares ways to sample answers.", SIDES, if_named=("forward", "steps", "bandwidth")
    )
    options.add_argument("--prompts", type=int, default=128)
    options.add_argument("--slots", type=int, nargs="+", default=[32, 64])
    arguments = options.parse_args()
    missing = [name for name in ("vllm", "openvino") if not (ENGINES / name).is_dir()]
    for slots in arguments.slots:
        setting = {"slots": slots, "prompts": arguments.prompts}
        compare("rollout", SIDES, arguments, missing=missing, **setting)
