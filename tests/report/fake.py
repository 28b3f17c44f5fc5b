"""Run directories that never ran: small, seeded, and shaped as the stages write them."""

import json
from pathlib import Path
from typing import Any

import numpy as np

Row = dict[str, Any]

INFO = {
    "status": "done",
    "command": ["instructgpt", "quickstart", "--out", "runs/quickstart"],
    "versions": {"instructgpt": "0.1.0", "python": "3.11.7", "torch": "2.13.0"},
    "git_commit": "392ddb1c0ffee",
    "seed": 1,
    "machine": {"platform": "Linux x86_64", "cpus": 2, "threads": 1, "memory_gib": 7.8},
    "inputs": [
        {"key": "data", "kind": "prompts", "path": "data/prompts.jsonl", "digest": "9f2c" * 16}
    ],
    "started": "2026-11-22T10:00:00+00:00",
    "finished": "2026-11-22T10:01:15+00:00",
    "config_sources": {
        "learning_rate": "flag --learning-rate",
        "batch_size": "default",
        "seed": "default",
        "model": "sft.yaml",
    },
}
CONFIG = {"learning_rate": 1e-5, "batch_size": 32, "seed": 1, "model": "models/base"}
TOPICS = (
    "Explain why the moon has phases.",
    "Summarise the plot of Hamlet in two sentences.",
    "Write a short poem about a wise frog.",
    "List three ways to keep cabbage fresh.",
    "Translate ‘good morning’ into French.",
    "Describe how a bicycle stays upright.",
    "Name a good book about rivers.",
)
FIRST_ANSWER = "The moon the moon is a moon, and then it is. "
LAST_ANSWER = "The moon circles the Earth once in 27 days, which is why we see it wax and wane. "


def interval(estimate: float, half: float = 0.05, n: int = 320) -> Row:
    return {"estimate": estimate, "low": estimate - half, "high": estimate + half, "n": n}


def write_lines(path: Path, rows: list[Row]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def make_run(path: Path, stage: str, rows: list[Row], **files: Any) -> Path:
    """A run directory; `info`, `config`, `samples`, `timings` and `evaluation` come as keywords."""
    path.mkdir(parents=True)
    (path / "run.json").write_text(json.dumps({"stage": stage, **INFO, **files.get("info", {})}))
    config = files.get("config", CONFIG)
    (path / "config.yaml").write_text(
        "".join(f"{key}: {json.dumps(value)}  # somewhere\n" for key, value in config.items())
    )
    write_lines(path / "metrics.jsonl", [{"stage": stage, **row} for row in rows])
    for name in ("samples", "timings"):
        if name in files:
            write_lines(path / f"{name}.jsonl", files[name])
    if "evaluation" in files:
        (path / "evaluation.json").write_text(json.dumps(files["evaluation"]))
    return path


def make_sft(path: Path, steps: int = 240, seed: int = 0, **files: Any) -> Path:
    rng = np.random.default_rng(seed)
    rows = []
    for step in range(1, steps + 1):
        loss = 2.1 + 1.7 * np.exp(-step / 60)
        row = {
            "step": step,
            "sft/loss": loss + 0.15 * rng.normal(),
            "sft/learning_rate": 1e-5 * (1 - step / (steps + 1)),
            "sft/grad_norm": 1.2 + abs(rng.normal()) * 0.3,
        }
        if step % 20 == 0:
            row["sft/validation_loss"] = loss + 0.12 + step / 4000
            row["sft/reward_score"] = step / 300 - 0.2
        rows.append(row)
    reading = {
        "timing/train": 0.31,
        "throughput/tokens_per_second": 318.0,
        "memory/peak_bytes": 3 * 2**30,
    }
    files = {"timings": [{"step": step, **reading} for step in (1, 2)], **files}
    return make_run(path, "sft", rows, **files)


def reward_evaluation() -> Row:
    """What a reward model's run says of it on held-out rankings."""
    counts = {0.55: 300, 0.65: 240, 0.75: 180, 0.85: 90, 0.95: 30}
    bins = [{"predicted": p, "observed": 0.94 * p + 0.01, "count": n} for p, n in counts.items()]
    return {
        "accuracy": interval(0.712, 0.03, 864),
        "by_k": {"9": interval(0.73), "10": interval(0.74, 0.09, 40), "4": interval(0.68)},
        "by_margin": {"1": interval(0.61), "2": interval(0.72), "3": interval(0.83, 0.06, 144)},
        "by_labeler": {"ana": interval(0.7), "ben": interval(0.66)},
        "calibration": {"ece": 0.041, "bins": bins},
    }


def make_reward(path: Path, steps: int = 90, **files: Any) -> Path:
    rng = np.random.default_rng(1)
    rows = []
    for step in range(1, steps + 1):
        gain = 1 - np.exp(-step / 30)
        row = {
            "step": step,
            "reward/loss": 0.70 - 0.16 * gain + 0.03 * rng.normal(),
            "reward/accuracy": 0.5 + 0.24 * gain + 0.04 * rng.normal(),
        }
        if step % 10 == 0:
            row["reward/validation_accuracy"] = 0.5 + 0.2 * gain
        rows.append(row)
    return make_run(path, "reward", rows, **{"evaluation": reward_evaluation(), **files})


def make_ppo(
    path: Path,
    iterations: int = 80,
    minibatches: int = 4,
    seed: int = 2,
    mix: bool = True,
    **files: Any,
) -> Path:
    rng = np.random.default_rng(seed)
    last = iterations * minibatches
    rows = []
    for step in range(1, last + 1):
        done = step / last
        row = {
            "step": step,
            "ppo/policy/approxkl": 0.004 + 0.001 * abs(rng.normal()),
            "ppo/policy/clipfrac": 0.05 + 0.02 * rng.random(),
            "ppo/policy/ratio": 1 + 0.003 * rng.normal(),
            "ppo/loss/policy": -0.01 + 0.01 * rng.normal(),
            "ppo/loss/value": 0.4 * np.exp(-4 * done) + 0.1 + 0.03 * rng.random(),
            "ppo/val/var_explained": 0.7 - 0.7 * np.exp(-4 * done) + 0.05 * rng.normal(),
            "ptx/loss": 2.9 + 0.05 * rng.normal() + 0.08 * done,
        }
        if step % minibatches == 0:
            score = 1.6 * (1 - np.exp(-3 * done)) + 0.12 * rng.normal()
            row["objective/scores"] = score
            row["objective/kl"] = 9 * done + 0.3 * abs(rng.normal())
            row["objective/rlhf_reward"] = score - 0.02 * row["objective/kl"]
            row["objective/entropy"] = 2.4 - 0.8 * done + 0.05 * rng.normal()
            row["ptx/grad_ratio"] = 0.3 + 0.05 * rng.normal()
        if step % (10 * minibatches) == 0:
            row |= {"validation/scores": 1.5 * done, "validation/kl": 8.0 * done}
            row |= {"validation/length": 38 + 10 * done, "validation/eos_rate": 0.9}
        rows.append({k: v for k, v in row.items() if mix or not k.startswith("ptx")})
    reading = {"timing/collect": 4.2, "timing/train": 6.5, "memory/peak_bytes": 5 * 2**30}
    files = {
        "samples": ppo_samples(last),
        "timings": [{"step": step, **reading} for step in range(1, iterations + 1)],
        **files,
    }
    return make_run(path, "ppo", rows, **files)


def ppo_samples(last: int) -> list[Row]:
    """Seven prompts at the first and at the last step; scores move by 1.2, 0.75, ... to -1.5."""
    return [
        {
            "step": step,
            "prompt": prompt,
            "response": text * (1 + index % 3),
            "score": 0.1 * index + (0 if step == 1 else 1.2 - 0.45 * index),
            "finished": index != 3,
        }
        for step, text in ((1, FIRST_ANSWER), (last, LAST_ANSWER))
        for index, prompt in enumerate(TOPICS)
    ]


def make_evaluate(path: Path, **files: Any) -> Path:
    pairs = [
        {
            "prompt": f"Dinner number {i}: what should I cook tonight?",
            "a": f"A lentil soup with cumin, number {i}.",
            "b": f"Soup soup soup {i}",
            "score_a": 1.0 - 0.5 * i,
            "score_b": 0.25 * i,
        }
        for i in range(9)
    ]
    evaluation = {
        "win_rate": interval(0.71, 0.063, 200),
        "a": "ppo",
        "b": "sft",
        "judge": "the held-out reward model",
        "controls": {
            "greedy sft": interval(0.56, 0.07, 200),
            "sft again": interval(0.5, 0.07, 200),
        },
        "pairs": pairs,
    }
    return make_run(path, "evaluate", [], **{"evaluation": evaluation, **files})


def make_pipeline(path: Path) -> Path:
    """The eight stages of a quickstart; `sample` and `rank` leave no run directory."""
    make_run(path / "01-init", "init", [])
    falling = [{"step": step, "pretrain/loss": 4 - step / 50} for step in range(1, 101)]
    make_run(path / "02-pretrain", "pretrain", falling)
    model = {"key": "model", "kind": "policy", "path": "02-pretrain", "digest": "ab" * 32}
    make_sft(path / "03-sft", info={"inputs": [model]})
    make_reward(path / "06-reward")
    make_ppo(path / "07-ppo")
    make_evaluate(path / "08-evaluate")
    kinds = ("init", "pretrain", "sft", "sample", "rank", "reward", "ppo", "evaluate")
    stages = [
        {"name": k, "dir": f"{i:02d}-{k}", "kind": k, "seconds": 2.5 * i**2, "status": "done"}
        for i, k in enumerate(kinds, 1)
    ]
    (path / "pipeline.json").write_text(json.dumps({"name": "quickstart", "stages": stages}))
    return path
