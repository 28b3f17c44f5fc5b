"""`eval compare`: two policies answer the same prompts and a judge decides."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

from instructgpt.data.reading import data_hashes, load_records
from instructgpt.data.records import Prompt, PromptText
from instructgpt.errors import UserError
from instructgpt.evaluation.compare import Judge, answer, compare
from instructgpt.evaluation.config import CompareConfig
from instructgpt.evaluation.stats import clustered_bootstrap
from instructgpt.models.load import pick_device
from instructgpt.reward.model import RewardModel
from instructgpt.run.config import Resolved
from instructgpt.run.directory import Run, RunDirectory, write_atomically
from instructgpt.run.progress import say
from instructgpt.sft.model import Completion, SFTModel


def compare_policies(
    config: CompareConfig | Resolved[CompareConfig],
    judge: Judge | None = None,
    *,
    judge_name: str = "",
) -> Run:
    """Compare two policies and write `OUT/evaluation.json`.

    Args:
        config: the settings.
        judge: decides instead of the reward model that `config.judge` names.
        judge_name: what the report calls it.

    Raises:
        UserError: a model or the prompts cannot be used, or nobody judges.
    """
    resolved = config if isinstance(config, Resolved) else Resolved.of(config)
    config = resolved.config
    if judge is None and not config.judge:
        raise UserError("judge: nobody judges; give --judge REWARD_MODEL")
    with RunDirectory(config.out, "evaluate", resolved) as directory:
        if not directory.is_done:
            facts = {"seed": config.seed, "data": data_hashes(config.data)}
            directory.start({**facts, "parents": [config.a, config.b]})
            evaluation = _evaluate(config, judge, judge_name or config.judge)
            text = json.dumps(evaluation, indent=1) + "\n"
            write_atomically(directory.path / "evaluation.json", text)
            directory.finish()
        return Run(directory.path)


def _evaluate(config: CompareConfig, judge: Judge | None, judge_name: str) -> dict[str, Any]:
    device = pick_device(config.device)
    judge = judge or RewardModel(config.judge, template=config.template, device=device)
    prompts = _prompts(config)
    a, b, greedy = _answers(config, prompts, device)
    result = compare(prompts, a, b, judge)
    control = compare(prompts, greedy, b, judge)
    say(
        f"a preferred to b: {result.win_rate} (judge: {judge_name}; greedy b: "
        f"{control.win_rate.estimate:.3f})"
    )
    return {
        "a": _label(config.a),
        "b": _label(config.b),
        "judge": judge_name,
        "win_rate": asdict(result.win_rate),
        "controls": {"greedy decoding of b": asdict(control.win_rate)},
        "scores": {"a": _mean_score(result.a.scores), "b": _mean_score(result.b.scores)},
        "texts": {"a": _text_figures(a), "b": _text_figures(b)},
        "pairs": result.pairs(prompts),
    }


def _prompts(config: CompareConfig) -> list[PromptText]:
    records = load_records(config.data, Prompt, format=config.format)
    prompts = [
        record.prompt for record in records if not config.split or record.split == config.split
    ]
    if not prompts:
        raise UserError(
            f"{', '.join(config.data)}: no prompt with split '{config.split}'; give other prompts"
        )
    return prompts


def _answers(
    config: CompareConfig, prompts: Sequence[PromptText], device: str
) -> tuple[list[Completion], list[Completion], list[Completion]]:
    """Of a, of b, and of b decoded greedily: part of a win may be mere sharpening."""
    settings: dict[str, Any] = {"max_new_tokens": config.max_new_tokens, "dtype": config.dtype}
    sampled = {
        **settings,
        "samples": config.samples,
        "seed": config.seed,
        "temperature": config.temperature,
    }
    policy_a = SFTModel(config.a, template=config.template, device=device)
    answers_a = answer(policy_a, prompts, **sampled)
    policy_b = SFTModel(config.b, template=config.template, device=device)
    answers_b = answer(policy_b, prompts, **sampled)
    greedy = answer(policy_b, prompts, temperature=0.0, **settings)
    return (
        answers_a,
        answers_b,
        [completion for completion in greedy for _ in range(config.samples)],
    )


def _label(path: str) -> str:
    """A policy's short name: the run's, for `RUN/model`."""
    parts = Path(path).parts
    return parts[-2] if len(parts) > 1 and parts[-1] in {"model", "model-ema"} else path


def _mean_score(scores: Sequence[float]) -> dict[str, float]:
    return asdict(clustered_bootstrap(scores, range(len(scores))))


def _text_figures(completions: Sequence[Completion]) -> dict[str, float]:
    """Length, ending and variety: what a judge may not see when a policy games it."""
    words = [completion.text.split() for completion in completions]
    pairs = [pair for answer_words in words for pair in pairwise(answer_words)]
    count = len(completions)
    return {
        "tokens": sum(len(completion.tokens) for completion in completions) / count,
        "eos_rate": sum(completion.finished for completion in completions) / count,
        "distinct_bigrams": len(set(pairs)) / len(pairs) if pairs else 0.0,
    }
