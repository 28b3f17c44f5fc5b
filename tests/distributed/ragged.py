"""Inputs for runs of twenty optimizer steps on items of very different lengths, and fewer on worse.

Dropout is off: its masks depend on the number of processes. Adam's epsilon is larger than usual: a
key's bias has no gradient, and Adam would make steps of what rounding leaves of it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from instructgpt.distributed.world import world
from instructgpt.reward.model import RewardModel
from instructgpt.rollout.policy import SFTModel
from tests.files import write_rows
from tests.ppo.letters import letter_policy

LONG = "abcdefgfedcbaabcdefgfedcbaabcd"
PROMPTS = ("cab", "a", "baggage", "bad", "deface", "ab", "fed", "bagged", LONG, "g")
ANSWERS = ("bee", "d", LONG, "face", "", "cafe", "add", "abacadabacad", "e", "gag")
RANKED = (
    (("a", "bb"), (1, 2)),
    (("bee", "d", LONG), (3, 1, 2)),
    (("a", "b", "c", "dad"), (2, 1, 2, 4)),
    (("face", "cafe"), (2, 1)),
    (("", "add"), (2, 1)),
)
LABELERS = (1, 3, 1, 2, 1, 1, 4, 1, 2, 1)
"""How many labelers ranked the answers to each prompt."""

Settings = dict[str, dict[str, Any]]


def write_ragged(folder: Path, arch: str) -> Settings:
    """Models of an architecture and data on the disk; each stage's settings, without `out`."""
    shape: dict[str, Any] = {"width": 16, "context": 96}
    judge = RewardModel(letter_policy(arch, seed=100, **shape))
    judge.shift = 0.25
    judge_path = str(judge.save(folder / "judge"))
    text = folder / "text.txt"
    text.write_text("abcdefgabbaccaddagaffebadgecabbagefacadedeedfeed" * 9)
    demonstrations = [{"prompt": p, "response": a} for p, a in zip(PROMPTS, ANSWERS, strict=True)]
    rankings = [
        _ranking(prompt, *RANKED[number % len(RANKED)], labeler)
        for number, prompt in enumerate(PROMPTS)
        for labeler in range(LABELERS[number])
    ]
    held_out = write_rows(folder / "held_out.jsonl", demonstrations[1:6])
    all_stages = {
        "model": str(letter_policy(arch, **shape).save(folder / "policy")),
        "save_every": 0,
        "learning_rate": 1e-3,
        "adam_epsilon": 1e-6,
        "micro_batch_tokens": 96,
    }
    return {
        "sft": all_stages
        | {
            "data": write_rows(folder / "demonstrations.jsonl", demonstrations),
            "eval_data": held_out,
            "pretrain_data": str(text),
            "pretrain_fraction": 0.17,
            "pretrain_length": 24,
            "batch_size": 6,
            "epochs": 10,
            "eval_every": 10,
            "reward_model": judge_path,
            "response_length": 6,
            "dropout": 0.0,
        },
        "reward": all_stages
        | {
            "data": write_rows(folder / "rankings.jsonl", rankings),
            "eval_data": write_rows(folder / "held_rankings.jsonl", rankings[2:9]),
            "demonstrations": str(folder / "demonstrations.jsonl"),
            "batch_size": 5,
            "epochs": 10,
            "eval_every": 10,
        },
        "ppo": all_stages
        | {
            "reward_model": judge_path,
            "data": write_rows(folder / "prompts.jsonl", [{"prompt": p} for p in PROMPTS]),
            "eval_data": held_out,
            "pretrain_data": str(text),
            "eval_every": 2,
            "total_episodes": 20,
            "batch_size": 10,
            "num_mini_batches": 5,
            "num_ppo_epochs": 2,
            "response_length": 8,
            "critic_learning_rate": 1e-3,
            "warmup": 0,
            "kl_target": 0.5,
            "kl_horizon": 20,
            "ptx_coef": 2.0,
            "ptx_ratio": 1,
            "ptx_length": 16,
            "grad_ratio_every": 3,
            "ema_decay": 0.9,
            "rollout_slots": 4,
        },
    }


def write_extreme(folder: Path, ragged: Settings) -> Settings:
    """Runs with very long and very short items, and with fewer items than processes."""
    long = LONG + LONG
    answers = [{"prompt": "a", "response": "b" * n} for n in (0, 0, 1, 0, 2)]
    whale = [{"prompt": "a", "response": long}, *answers]
    rankings = [
        _ranking("a", tuple(long[:n] for n in (60, 1, 2, 3, 4, 5)), (1, 2, 3, 4, 5, 5), 0),
        *(_ranking(prompt, ("", "b"), (1, 2), 0) for prompt in "bcdef"),
    ]
    prompts = [{"prompt": p} for p in (long, "a", "b", "c", "d", "e")]
    sft, reward, ppo = ragged["sft"], ragged["reward"], ragged["ppo"]
    sft = sft | {"pretrain_fraction": 0, "epochs": 2, "response_length": 1, "eval_every": 1}
    ppo = ppo | {"total_episodes": 12, "batch_size": 6, "num_ppo_epochs": 1, "eval_every": 1}
    no_text = {"ptx_coef": 0.0, "pretrain_data": ()}
    one = write_rows(folder / "one.jsonl", prompts[1:2])
    return {
        "sft, a long one": sft | {"data": write_rows(folder / "whale.jsonl", whale)},
        "sft, one at a time": sft
        | {"data": write_rows(folder / "short.jsonl", answers), "batch_size": 1, "epochs": 1},
        "reward, a long one": reward
        | {"data": write_rows(folder / "ranked.jsonl", rankings), "batch_size": 4, "epochs": 2},
        "reward, one at a time": reward
        | {"data": str(folder / "ranked.jsonl"), "batch_size": 1, "epochs": 1},
        "ppo, a long one": ppo
        | {"data": write_rows(folder / "long.jsonl", prompts), "num_mini_batches": 2},
        "ppo, one token, one episode": ppo
        | no_text
        | {"response_length": 1, "num_mini_batches": 6},
        "ppo, one prompt": ppo
        | no_text
        | {"data": one, "eval_data": one, "batch_size": 1, "num_mini_batches": 1}
        | {"total_episodes": 4, "gather_weights": False},
    }


def beginnings(stage: str, settings: dict[str, Any]) -> dict[str, dict[str, Tensor]]:
    """The weights that each network of a run starts from, by the folder it is written to."""
    if stage == "reward":
        return {"model": RewardModel(SFTModel(settings["model"]), seed=0).model.state_dict()}
    policy = load_file(Path(settings["model"]) / "model.safetensors")
    if stage == "sft":
        return {"model": policy}
    critic = load_file(Path(settings["reward_model"]) / "model.safetensors")
    return {"model": policy, "model-ema": policy, "critic": critic}


def _ranking(
    prompt: str, answers: tuple[str, ...], ranks: tuple[int, ...], labeler: int
) -> dict[str, Any]:
    """Labelers disagree: each gives another answer the first place."""
    return {
        "prompt": prompt,
        "responses": [{"text": answer} for answer in answers],
        "ranks": [1 + (rank + labeler) % max(ranks) for rank in ranks],
        "labeler_id": f"labeler-{labeler}",
    }


def brevity(prompts: Sequence[object], responses: Sequence[str]) -> list[float]:
    """A reward of one's own; it is asked for some answers at a time."""
    assert len(prompts) == len(responses)
    return [-len(response) / 4 for response in responses]


def nowhere_but_first(prompts: Sequence[object], responses: Sequence[str]) -> list[float]:
    """A reward that gives no number in the processes after the first."""
    return [float("nan")] * len(prompts) if world().rank else brevity(prompts, responses)
