"""A pipeline that never ran, as `quickstart` leaves it: two rounds, two arms of PPO."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from tests.report import fake
from tests.report.fake import Row, interval

TRAINING = [f"simulated-train-{i}" for i in range(1, 7)]
HELD_OUT = [f"simulated-heldout-{i}" for i in range(1, 7)]
USE_CASES = {
    "brainstorming": 0.77,
    "classification": 0.55,
    "closed_qa": 0.62,
    "generation": 0.74,
    "open_qa": 0.69,
    "rewrite": 0.58,
    "summarization": 0.66,
}
TEXTS = {
    "base": (30.1, 0.61, 0.71, 0.31, 0.22, 0.19, 11.2, 0.31, 0.02, 0.12),
    "sft": (26.4, 0.88, 0.74, 0.34, 0.11, 0.06, 10.4, 0.12, 0.01, 0.05),
    "ppo-plain": (31.9, 0.97, 0.61, 0.30, 0.24, 0.15, 10.9, 0.44, 0.01, 0.04),
    "ppo": (28.0, 0.97, 0.72, 0.33, 0.13, 0.08, 10.6, 0.19, 0.01, 0.04),
    "ppo-2": (28.9, 0.98, 0.71, 0.32, 0.14, 0.09, 10.8, 0.22, 0.01, 0.04),
}
FIGURES = (
    "tokens",
    "eos_rate",
    "distinct_bigrams",
    "type_token_ratio",
    "shared_four_words",
    "commonest_opening",
    "sentence_words",
    "exclamation_marks",
    "human_claims",
    "copied_share",
)
GAMED = "ppo-plain"
"""The policy whose figures above move as gaming moves them."""


def texts_of(name: str) -> Row:
    """The figures of one policy, as `evaluate` writes them."""
    return dict(zip(FIGURES, TEXTS[name], strict=True))


def evaluation(a: str = "ppo-2") -> Row:
    """What an evaluation of `a` over sft says, the other policies beside it."""
    rates = {"base": 0.24, "ppo-plain": 0.7, "ppo": 0.68, "ppo-2": 0.73}
    quality = {"base": 0.41, "sft": 0.52, "ppo-plain": 0.62, "ppo": 0.61, "ppo-2": 0.64}
    loss = {"base": 3.21, "sft": 3.25, "ppo-plain": 3.41, "ppo": 3.24, "ppo-2": 3.26}
    rng = np.random.default_rng(5)
    pairs = [
        {
            "prompt": f"{fake.TOPICS[i % 7]} (variant {i // 7})",
            "a": fake.LAST_ANSWER * (1 + i % 2),
            "b": fake.FIRST_ANSWER * (1 + i % 3),
            "score_a": float(np.clip(0.62 + 0.16 * rng.normal(), 0, 1)),
            "score_b": float(np.clip(0.52 + 0.16 * rng.normal(), 0, 1)),
        }
        for i in range(60)
    ]
    return {
        "a": a,
        "b": "sft",
        "judge": "6 held-out simulated labelers",
        "win_rate": interval(rates[a], 0.055, 272),
        "others": {name: interval(r, 0.055, 272) for name, r in rates.items() if name != a},
        "controls": {"greedy decoding of sft": interval(0.55, 0.06, 272)},
        "scores": {name: interval(value, 0.02, 272) for name, value in quality.items()},
        "texts": {name: texts_of(name) for name in TEXTS},
        "prose_loss": loss,
        "by_use_case": {name: interval(rate, 0.13, 39) for name, rate in USE_CASES.items()},
        "pairs": pairs,
    }


def rank_evaluation(rankings: int = 1005) -> Row:
    """What a `rank` stage says of simulated labelers."""
    trivial = {"words": 0.55, "characters": 0.56, "ended": 0.57, "warm_words": 0.53}
    return {
        "by": "simulated",
        "groups": {
            "training": {
                "labelers": TRAINING,
                "rankings": rankings,
                "agreement": interval(0.729, 0.012, 4100),
                "tied_pairs": 0.24,
            },
            "heldout": {
                "labelers": HELD_OUT,
                "rankings": 204,
                "agreement": interval(0.741, 0.04, 410),
                "tied_pairs": 0.22,
            },
        },
        "trivial_predictors": trivial,
    }


def make_quickstart(path: Path) -> Path:
    """Eleven stages: sft, one round with two arms of PPO, a second round, the evaluation."""
    plan: list[tuple[str, str, float, int | None]] = [
        ("sft", "sft", 412, None),
        ("sample", "sample", 233, None),
        ("rank", "rank", 4, None),
        ("reward", "reward", 388, None),
        ("ppo", "ppo", 1502, None),
        ("sample-2", "sample", 251, 2),
        ("rank-2", "rank", 4, 2),
        ("reward-2", "reward", 501, 2),
        ("ppo-plain", "ppo", 1211, 2),
        ("ppo-2", "ppo", 1489, 2),
        ("evaluate", "evaluate", 322, None),
    ]
    folders = {name: path / f"{i:02d}-{name}" for i, (name, *_) in enumerate(plan, 1)}
    stages = [
        {"name": name, "dir": folders[name].name, "kind": kind, "seconds": s, "status": "done"}
        | ({"round": number} if number else {})
        for name, kind, s, number in plan
    ]
    _make_runs(folders)
    (path / "pipeline.json").write_text(json.dumps({"name": "quickstart", "stages": stages}))
    return path


def _make_runs(folders: dict[str, Path]) -> None:
    def files(name: str, models: list[str], labels: list[str], **config: Any) -> Row:
        parents = [str(folders[m] / "model") if m in folders else m for m in models]
        read = [("policy", path) for path in parents]
        read += [
            ("rankings", str(folders[d] / f"{'rankings' if 'rank' in d else 'candidates'}.jsonl"))
            for d in labels
        ]
        read += [("prompts", path) for path in config.get("data", [])]
        inputs = [{"kind": kind, "path": path, "digest": "ab" * 32} for kind, path in read]
        return {
            "info": {"inputs": inputs},
            "config": {**fake.CONFIG, "out": str(folders[name]), **config},
        }

    base = "HuggingFaceTB/SmolLM2-135M-Instruct"
    shipped = ["shipped:prompts"]
    sft = files("sft", [base], [], data=["shipped:demonstrations"], model=base)
    fake.make_sft(folders["sft"], steps=90, **sft)
    for i, end in enumerate(("", "-2")):
        policy, labels = ("ppo", ["rank", "rank-2"]) if end else ("sft", ["rank"])
        sample, rank, reward = (f"{kind}{end}" for kind in ("sample", "rank", "reward"))
        sampled = files(sample, [policy], [], k=4, data=shipped)
        fake.make_run(folders[sample], "sample", [], **sampled)
        ranked = files(rank, [], [sample], by="simulated")
        fake.make_run(folders[rank], "rank", [], evaluation=rank_evaluation(1005 - i), **ranked)
        learned = files(reward, ["sft"], labels)
        judged = {**fake.reward_evaluation(), "by_labeler": dict.fromkeys(HELD_OUT, interval(0.7))}
        judged["accuracy"] = interval(0.70 + 0.01 * i, 0.02, 2400)
        fake.make_reward(folders[reward], evaluation=judged, **learned)
    for i, (name, reward) in enumerate(
        (("ppo", "reward"), ("ppo-plain", "reward-2"), ("ppo-2", "reward-2"))
    ):
        model = str(folders[reward] / "model")
        trained = files(name, ["sft", reward], [], reward_model=model, data=shipped)
        trained["config"] |= {"kl_coef": 0.02, "ptx_coef": 0.0 if name == GAMED else 1.0}
        fake.make_ppo(folders[name], iterations=60, seed=2 + i, mix=name != GAMED, **trained)
    policies = [base, "sft", "ppo", "ppo-plain", "ppo-2"]
    judging = files("evaluate", policies, [], data=shipped)
    fake.make_evaluate(folders["evaluate"], evaluation=evaluation(), **judging)
