"""Every family of causal language models that transformers can build small, walked through load,
SFT, sampling, reward model (whole and half as deep), PPO and what they write.

    python -m tests.architectures.sweep --out lines.jsonl     # all of them, ten minutes
    python -m tests.architectures.sweep llama opt jamba       # some
    python -m tests.architectures.sweep --table lines.jsonl   # the table of docs/models.md

A step is done, or refused in one sentence; anything else is a failure, and the exit code is 1.
"""

import argparse
import contextlib
import io
import json
import logging
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
import transformers

from instructgpt import ppo, reward, sft
from instructgpt.errors import UserError
from instructgpt.models.facts import look_at
from instructgpt.models.load import load_policy
from instructgpt.models.tree import reads_trees
from instructgpt.rollout.decoders import cache_argument
from instructgpt.rollout.policy import SFTModel
from tests.architectures.families import FAMILIES, tiny_model
from tests.files import write_policy, write_rows
from tests.small_runs import PROMPTS, RANKINGS, WORDS

STEPS = ("load", "sft", "generate", "reward", "depth", "ppo")
DONE, REFUSED, FAILED = "done", "refused", "failed"
LARGEST_GAP = 1e-3
"""Between log-probabilities of sampling and of a plain forward, in nats."""

Line = dict[str, Any]


def walk(family: str, folder: Path) -> Line:
    """Take one family through everything.

    Args:
        family: a `model_type`.
        folder: an empty one, for what is written.

    Returns:
        For each of `STEPS` `done`, `refused` or `failed`, and under `said` why not; `cache` and
        `trees`: whether it is sampled over a cache, and reads a ranked prompt once.
    """
    line: Line = {"family": family, "transformers": transformers.__version__, "said": {}}
    try:
        plain = tiny_model(family)
        row = torch.tensor([[5, 6, 7, 8, 9]])
        with torch.no_grad():
            expected = plain(input_ids=row).logits
        path = write_policy(folder / "plain", model=plain)
    except Exception as problem:
        return line | {"absent": first_line(problem)}
    line["parameters"] = plain.num_parameters()
    data = write_data(folder)
    common = {"threads": 1, "micro_batch_tokens": 64, "learning_rate": 1e-3}

    def load() -> None:
        look_at(path, "policy")
        with torch.no_grad():
            ours = load_policy(path)(input_ids=row).logits
        assert torch.allclose(ours, expected, atol=1e-4), "loaded, it has other logits"

    def train_sft() -> None:
        common_sft = common | {"dropout": 0.0, "batch_size": 3, "max_steps": 2}
        sft.train(sft.SFTConfig(model=path, data=(data["sft"],), out=f"{folder}/sft", **common_sft))

    def generate() -> None:
        policy = SFTModel(f"{folder}/sft/model")
        line["cache"] = cache_argument(policy.model) is not None
        prompt = policy.text.prompt("cab")
        for answer in policy.generate(["cab", "a longer one"], max_new_tokens=6, seed=0)[:1]:
            gap = plain_logprobs(policy, prompt, answer.tokens) - torch.tensor(answer.logprobs)
            assert gap.abs().max() < LARGEST_GAP, f"sampling is off by {gap.abs().max():.1e} nats"

    def train_reward(depth: float, out: str) -> None:
        more = common | {"batch_size": 2, "epochs": 1, "depth": depth}
        settings = {
            "model": f"{folder}/sft/model",
            "data": data["reward"],
            "out": f"{folder}/{out}",
        }
        reward.train(reward.RewardConfig(**settings, **more))
        line["trees"] = reads_trees(reward.RewardModel(f"{folder}/{out}/model").model)

    def train_ppo() -> None:
        sizes = {
            "total_episodes": 4,
            "batch_size": 4,
            "num_mini_batches": 2,
            "response_length": 4,
            "ptx_coef": 0.0,
        }
        settings = {
            "model": f"{folder}/sft/model",
            "reward_model": f"{folder}/reward/model",
            "data": data["ppo"],
            "out": f"{folder}/ppo",
        }
        ppo.train(ppo.PPOConfig(**settings, **sizes, **common))

    steps: tuple[Callable[[], None], ...] = (
        load,
        train_sft,
        generate,
        lambda: train_reward(1.0, "reward"),
        lambda: train_reward(0.5, "half"),
        train_ppo,
    )
    needs = {"generate": "sft", "reward": "sft", "depth": "reward", "ppo": "reward", "sft": "load"}
    for name, step in zip(STEPS, steps, strict=True):
        if name in needs and line[needs[name]] != DONE:
            line[name] = REFUSED if line[needs[name]] == REFUSED else FAILED
            continue
        line[name], said = attempt(step)
        line["said"] |= {name: said} if said else {}
    return line


def attempt(step: Callable[[], None]) -> tuple[str, str]:
    """Run a step in silence: how it ended, and why."""
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            step()
    except UserError as refusal:
        is_sentence = "\n" not in str(refusal)
        return (REFUSED, str(refusal)) if is_sentence else (FAILED, f"two lines: {refusal}")
    except Exception as problem:
        place = traceback.extract_tb(problem.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        return FAILED, f"{type(problem).__name__}: {first_line(problem)} ({where})"
    return DONE, ""


@torch.no_grad()
def plain_logprobs(policy: SFTModel, prompt: list[int], answer: list[int]) -> torch.Tensor:
    """Log-probabilities of an answer from one forward of the whole row."""
    logits_TV = policy.model(input_ids=torch.tensor([[*prompt, *answer]])).logits[0]
    logprobs_TV = logits_TV[len(prompt) - 1 : -1].log_softmax(-1)
    return logprobs_TV.gather(-1, torch.tensor(answer)[:, None])[:, 0]


def write_data(folder: Path) -> dict[str, str]:
    """A few records for each stage."""
    demonstrations = [{"prompt": p, "response": w} for p, w in zip(PROMPTS, WORDS, strict=False)]
    rankings = [
        {"prompt": p, "responses": [{"text": text} for text in answers], "ranks": ranks}
        for p, answers, ranks, _ in RANKINGS
    ]
    return {
        "sft": write_rows(folder / "demonstrations.jsonl", demonstrations),
        "reward": write_rows(folder / "rankings.jsonl", rankings),
        "ppo": write_rows(folder / "prompts.jsonl", [{"prompt": p} for p in PROMPTS]),
    }


def first_line(problem: Exception) -> str:
    """The start of an error's text."""
    return (str(problem).strip().splitlines() or [type(problem).__name__])[0][:160]


def main(arguments: list[str]) -> int:
    """Print a line for each family; 1 where one failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("families", nargs="*", metavar="FAMILY", help="default: all")
    parser.add_argument("--out", type=Path, help="also append the lines to this file")
    parser.add_argument("--table", type=Path, help="print the table of a file of lines instead")
    given = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)
    if given.table:
        lines = [json.loads(line) for line in given.table.read_text().splitlines()]
        print("\n".join(table(lines)))
        return 0
    failed = False
    for family in given.families or FAMILIES:
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            line = walk(family, Path(folder))
        line["seconds"] = round(time.perf_counter() - start, 1)
        text = json.dumps(line).replace(folder + "/", "")
        print(text, flush=True)
        if given.out:
            with given.out.open("a") as file:
                file.write(text + "\n")
        failed |= outcome(line)[0] == BROKEN
    return int(failed)


def table(lines: Iterable[Mapping[str, Any]]) -> list[str]:
    """Markdown: what each family can do, and why it cannot do more."""
    found: dict[tuple[str, str], list[str]] = {}
    for line in lines:
        found.setdefault(outcome(line), []).append(line["family"])
    rows = ["| | sampled over a cache | families |", "|---|---|---|"]
    for (what, cache), names in sorted(found.items(), key=lambda item: ORDER.index(item[0][0])):
        rows.append(f"| {what} | {cache} | {', '.join(sorted(names))} |")
    return rows


ALL = "SFT, reward model (also of fewer layers), PPO"
WHOLE = "the same, but a reward model needs all layers (`depth: 1`)"
NO_CLASSIFIER = "SFT alone: transformers has no classifier for it"
OTHER_CLASSIFIER = "SFT alone: its classifier is not the policy's trunk with a linear layer"
FUTURE = "refused: a token sees those that come after it"
BACKWARD = "refused: its layers go backward in training mode alone"
NOT_MADE = "not tried: no small model can be made of its sizes alone"
BROKEN = "fails, or comes back as another"
ORDER = (ALL, WHOLE, NO_CLASSIFIER, OTHER_CLASSIFIER, FUTURE, BACKWARD, BROKEN, NOT_MADE)


def outcome(line: Mapping[str, Any]) -> tuple[str, str]:
    """How far a family comes, and whether it is sampled over a cache."""
    if "absent" in line:
        return NOT_MADE, ""
    ends = [line[step] for step in STEPS]
    cache = "yes" if line.get("cache") else "no"
    said = line["said"]
    if FAILED in ends:
        return BROKEN, ""
    if line["sft"] == REFUSED:
        known = FUTURE if "come after it" in said["sft"] else BROKEN
        return (BACKWARD if "training mode" in said["sft"] else known), ""
    if line["reward"] == REFUSED:
        has_none = "no scalar head" in said["reward"]
        return (NO_CLASSIFIER if has_none else OTHER_CLASSIFIER), cache
    return (ALL if line["depth"] == DONE else WHOLE), cache


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
