"""Miniature runs of the three stages, with everything switched on that has a state."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from instructgpt import ppo, reward, sft
from instructgpt.reward.model import RewardModel
from instructgpt.run import tuning
from instructgpt.run.config import StageConfig
from instructgpt.run.directory import Run
from instructgpt.training.run import TrainingRun
from tests.files import write_rows
from tests.ppo.letters import letter_policy

STAGES = {
    "sft": (sft.SFTConfig, sft.train, 6),
    "reward": (reward.RewardConfig, reward.train, 6),
    "ppo": (ppo.PPOConfig, ppo.train, 16),
}
"""Configuration, entry, and how many optimizer steps a small run takes."""

PROMPTS = ("cab", "a", "baggage", "bad", "deface")
WORDS = ("bee", "dad", "", "face", "gag", "cafe", "add")


def write_inputs(folder: Path) -> dict[str, dict[str, Any]]:
    """Models and data on disk; returns each stage's configuration, without `out`."""
    policy = letter_policy(width=16, context=48)
    judge = RewardModel(letter_policy(width=16, context=48, seed=100))
    judge.shift = 0.25
    model, judge_path = str(policy.save(folder / "policy")), str(judge.save(folder / "judge"))
    demonstrations = [{"prompt": p, "response": w} for p, w in zip(PROMPTS, WORDS, strict=False)]
    rankings = [_ranking(*row) for row in RANKINGS]
    text = folder / "text.txt"
    text.write_text("abcdefgabbaccaddagaffebadgecabbagefacadedeedfeed" * 3)
    data = {
        "demonstrations": write_rows(folder / "demonstrations.jsonl", demonstrations),
        "held_out": write_rows(folder / "held_out.jsonl", [{"prompt": "fed", "response": "gaff"}]),
        "rankings": write_rows(folder / "rankings.jsonl", rankings),
        "prompts": write_rows(folder / "prompts.jsonl", [{"prompt": p} for p in PROMPTS]),
    }
    return {
        "sft": {
            "model": model,
            "data": data["demonstrations"],
            "eval_data": data["held_out"],
            "pretrain_data": str(text),
            "pretrain_fraction": 0.34,
            "pretrain_length": 8,
            "batch_size": 3,
            "epochs": 2,
            "eval_every": 1,
            "reward_model": judge_path,
            "response_length": 4,
            "select_by": "validation_loss",
            "dropout": 0.2,
            "learning_rate": 0.2,
            "schedule": "constant",
            "micro_batch_tokens": 12,
        },
        "reward": {
            "model": model,
            "data": data["rankings"],
            "demonstrations": data["demonstrations"],
            "eval_fraction": 0.2,
            "eval_every": 2,
            "batch_size": 2,
            "epochs": 3,
            "learning_rate": 1e-3,
            "micro_batch_tokens": 32,
        },
        "ppo": {
            "model": model,
            "reward_model": judge_path,
            "data": data["prompts"],
            "eval_data": data["held_out"],
            "pretrain_data": str(text),
            "eval_every": 1,
            "total_episodes": 16,
            "batch_size": 8,
            "num_mini_batches": 4,
            "num_ppo_epochs": 2,
            "response_length": 6,
            "learning_rate": 1e-3,
            "critic_learning_rate": 1e-3,
            "warmup": 1,
            "kl_target": 0.5,
            "kl_horizon": 20,
            "ptx_coef": 0.5,
            "ptx_ratio": 1,
            "ptx_length": 8,
            "grad_ratio_every": 3,
            "ema_decay": 0.9,
            "rollout_slots": 3,
            "micro_batch_tokens": 32,
        },
    }


RANKINGS = (
    ("cab", ("a", "bb"), (1, 2), "ann"),
    ("a", ("bee", "dad", "gag"), (3, 1, 2), "ann"),
    ("a", ("gag", "bee", "dad"), (1, 3, 2), "bob"),
    ("baggage", ("a", "b", "c", "d"), (2, 1, 2, 4), "bob"),
    ("bad", ("face", "cafe"), (2, 1), "ann"),
    ("deface", ("", "add"), (2, 1), "cyd"),
)


def _ranking(prompt: str, answers: tuple[str, ...], ranks: tuple[int, ...], labeler: str) -> dict:
    responses = [{"text": text} for text in answers]
    return {"prompt": prompt, "responses": responses, "ranks": ranks, "labeler_id": labeler}


def run_stage(stage: str, settings: Mapping[str, Any], out: Path, **values: Any) -> Run:
    """Run a stage in this process, on one thread."""
    config, train, _ = STAGES[stage]
    made: StageConfig = config(**{**settings, "out": str(out), "threads": 1, **values})
    return train(made)


class Killed(BaseException):
    """Stands in for `kill -9` between two optimizer steps: nothing in the program expects it."""


@contextmanager
def killed_after(step: int) -> Iterator[None]:
    """Training dies when this optimizer step is logged, and saved if a checkpoint is due."""
    real = TrainingRun.after_step

    def after_step(run: TrainingRun, number: int, *args: Any, **kwargs: Any) -> None:
        real(run, number, *args, **kwargs)
        if number == step:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingRun, "after_step", after_step)
        with pytest.raises(Killed):
            yield


ONE_BACKEND = tuning.Choice("highest", "the tests' own", "the tests")


@contextmanager
def one_backend() -> Iterator[None]:
    """No other backend than the default, on any machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuning, "faster_matmul", lambda *_: ONE_BACKEND)
        yield


RESULTS = (
    "metrics.jsonl",
    "samples.jsonl",
    "evaluation.json",
    "candidates.jsonl",
    "rankings.jsonl",
)
MODELS = ("model", "model-ema", "critic")


def results(out: Path) -> dict[str, bytes]:
    """Everything in a run directory that must not depend on what happened on the way."""
    paths = [out / name for name in RESULTS if (out / name).is_file()]
    paths += [path for name in MODELS for path in sorted((out / name).glob("*"))]
    return {str(path.relative_to(out)): path.read_bytes() for path in paths}


def differing(one: Path, other: Path) -> list[str]:
    """The names of results that two run directories do not have in common to the bit."""
    first, second = results(one), results(other)
    return sorted(name for name in first | second if first.get(name) != second.get(name))
