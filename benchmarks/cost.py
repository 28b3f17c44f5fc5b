"""What our stages cost against their size: seconds fitted by a straight line, and drawn.

    python benchmarks/cost.py --shapes llama-10m 135m --plot benchmarks/results/cost.svg

SFT against tokens, sampling and PPO against episodes, a ranking against the number of its answers.
The sizes of a stage take turns in an order drawn anew for every round; after one that warms up, a
size counts with its median. Prints a JSON line for each stage and shape.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from instructgpt.ppo import PPOConfig, PPOModel, PPOTrainer
from instructgpt.reward import RewardConfig, RewardModel, RewardModelTrainer
from instructgpt.reward.data import Comparison
from instructgpt.rollout.policy import SFTModel
from instructgpt.rollout.sampling import Sampling
from instructgpt.run.tuning import available_cores, faster_matmul
from instructgpt.sft import Example, SFTConfig, SFTTrainer
from measure import emit, machine, synchronize
from workload import SETTINGS, SHAPES, as_text, draw_lengths, draw_tokens, load

Work = Callable[[int], object]
"""Does the work of a size."""
PROMPT, ANSWER = 64, 64
RANKED_PROMPT, RANKED_ANSWER = 150, 60


class Stage(NamedTuple):
    """A stage, what its size counts, and the sizes to measure."""

    make: Callable[[SFTModel, str], Work]
    unit: str
    sizes: tuple[int, ...]


def sft(policy: SFTModel, dtype: Any) -> Work:
    """A step on demonstrations of 128 tokens, half of them prompt."""
    trainer = SFTTrainer(policy, SFTConfig(**SETTINGS, dropout=0.0, dtype=dtype))

    def work(tokens: int) -> None:
        rows = draw_tokens([PROMPT + ANSWER] * (tokens // (PROMPT + ANSWER)), policy, seed=1)
        trainer.train_step([Example(row[:PROMPT], row[PROMPT:]) for row in rows])

    return work


def rollout(policy: SFTModel, dtype: Any) -> Work:
    """Answers of 64 tokens in 16 slots."""

    def work(episodes: int) -> None:
        prompts = draw_tokens(draw_lengths(episodes, 24, 104, seed=1), policy, seed=2)
        policy.sample(prompts, range(episodes), Sampling(ANSWER), slots=16, dtype=dtype)

    return work


def reward(policy: SFTModel, dtype: Any) -> Work:
    """A step on a prompt of 150 tokens with answers of 60."""
    trainer = RewardModelTrainer(RewardModel(policy), RewardConfig(**SETTINGS, dtype=dtype))

    def work(answers: int) -> None:
        prompt, *texts = draw_tokens([RANKED_PROMPT, *[RANKED_ANSWER] * answers], policy, seed=1)
        ranks = [list(range(1, answers + 1))]
        trainer.train_step([Comparison("prompt", prompt, texts, ranks, ["labeler"])])

    return work


def ppo(policy: SFTModel, dtype: Any) -> Work:
    """An iteration of 64 + 64 tokens an episode, in four minibatches."""
    trainers: dict[int, PPOTrainer] = {}

    def work(episodes: int) -> None:
        if episodes not in trainers:
            config = PPOConfig(
                **SETTINGS,
                reward_model="-",
                batch_size=episodes,
                num_mini_batches=4,
                response_length=ANSWER,
                ptx_coef=0,
                dtype=dtype,
            )
            trainers.clear()  # four networks and their moments: one at a time
            trainers[episodes] = PPOTrainer(PPOModel(policy, RewardModel(policy)), config)
        prompts = draw_tokens([PROMPT] * episodes, policy, seed=1)
        trainers[episodes].train_step([as_text(prompt) for prompt in prompts])

    return work


STAGES = {
    "sft": Stage(sft, "tokens", (512, 1024, 2048, 4096)),
    "rollout": Stage(rollout, "episodes", (16, 32, 64, 128)),
    "reward": Stage(reward, "answers", (2, 4, 6, 9)),
    "ppo": Stage(ppo, "episodes", (8, 16, 32)),
}


def measure(stage: Stage, arguments: argparse.Namespace) -> dict[int, list[float]]:
    """Seconds of every round, by size."""
    policy = load(arguments)
    work = stage.make(policy, arguments.dtype)
    order = random.Random(0)
    seconds: dict[int, list[float]] = {size: [] for size in stage.sizes}
    for number in range(arguments.rounds + 1):
        for size in order.sample(stage.sizes, len(stage.sizes)):
            if number == 0:
                work(size)  # warms up: kernels are made for each shape
                continue
            if stage.make is ppo:
                work(size)  # a new trainer's first iteration is not the usual one
            synchronize(policy.device)
            start = time.perf_counter()
            work(size)
            synchronize(policy.device)
            seconds[size].append(time.perf_counter() - start)
    return seconds


def fit(seconds: dict[int, list[float]]) -> dict[str, float]:
    """A straight line through the medians: seconds = fixed + each × size, and how well it fits.

    >>> fit({1: [3.0], 2: [5.0, 5.0, 9.0], 3: [7.0]})
    {'fixed': 1.0, 'each': 2.0, 'r2': 1.0}
    """
    sizes = np.array(list(seconds), dtype=float)
    medians = np.array([statistics.median(times) for times in seconds.values()])
    each, fixed = np.polyfit(sizes, medians, 1)
    unexplained = ((medians - fixed - each * sizes) ** 2).sum()
    r2 = 1 - unexplained / ((medians - medians.mean()) ** 2).sum()
    found = {"fixed": fixed, "each": each, "r2": r2}
    return {name: float(f"{value:.4g}") for name, value in found.items()}


def draw(lines: list[dict[str, Any]], path: Path) -> None:
    """A panel for each stage: medians, and the fitted lines."""
    import matplotlib.pyplot as plt

    stages = list(dict.fromkeys(line["stage"] for line in lines))
    figure, panels = plt.subplots(1, len(stages), figsize=(3.6 * len(stages), 3.2), squeeze=False)
    for panel, stage in zip(panels[0], stages, strict=True):
        for line in (line for line in lines if line["stage"] == stage):
            sizes = [int(size) for size in line["seconds"]]
            medians = [statistics.median(times) for times in line["seconds"].values()]
            (points,) = panel.plot(sizes, medians, "o", label=line["shape"])
            ends = np.array([0, max(sizes)])
            fitted = line["fit"]["fixed"] + line["fit"]["each"] * ends
            panel.plot(ends, fitted, "-", color=points.get_color(), linewidth=1)
        panel.set(title=stage, xlabel=STAGES[stage].unit, ylabel="seconds", xlim=0, ylim=0)
        panel.legend(frameon=False)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    plt.close(figure)


def main() -> None:
    """Measure every stage at every shape, fit, print, draw."""
    options = argparse.ArgumentParser(description="Fits cost against size.")
    options.add_argument("--shapes", nargs="+", choices=list(SHAPES), default=["llama-10m"])
    options.add_argument("--stages", nargs="+", choices=list(STAGES), default=list(STAGES))
    options.add_argument("--device", default="cpu")
    options.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    options.add_argument("--threads", type=int, default=available_cores())
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--sizes", type=int, nargs="+", help="instead of each stage's own")
    options.add_argument("--out", type=Path, help="add the lines to this file")
    options.add_argument("--plot", type=Path, help="draw them here")
    arguments = options.parse_args()
    arguments.model, arguments.matmul = "", faster_matmul(arguments.device).value
    lines = []
    for name in arguments.stages:
        stage = STAGES[name]
        if arguments.sizes:
            stage = stage._replace(sizes=tuple(arguments.sizes))
        for shape in arguments.shapes:
            arguments.shape = shape
            seconds = measure(stage, arguments)
            lines.append(
                {
                    "benchmark": "cost",
                    "stage": name,
                    "unit": stage.unit,
                    "shape": shape,
                    "dtype": arguments.dtype,
                    **machine(arguments.device, arguments.threads),
                    "rounds": arguments.rounds,
                    "seconds": {
                        str(size): [float(f"{t:.4g}") for t in times]
                        for size, times in seconds.items()
                    },
                    "fit": fit(seconds),
                }
            )
            emit(lines[-1], arguments.out)
    if arguments.plot:
        draw(lines, arguments.plot)


if __name__ == "__main__":
    main()
