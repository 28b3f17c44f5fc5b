"""`eval compare`: policies answer the same prompts, and a judge decides."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from instructgpt.data.records import Prompt, PromptText
from instructgpt.distributed.world import world
from instructgpt.errors import UserError
from instructgpt.evaluation.compare import HeadToHead, Judge, answer, compare
from instructgpt.evaluation.config import CompareConfig
from instructgpt.evaluation.inputs import Inputs, look
from instructgpt.evaluation.language import language_model_loss
from instructgpt.evaluation.stats import Interval, clustered_mean
from instructgpt.models.load import pick_device
from instructgpt.models.scorer import Scorer
from instructgpt.rollout.policy import SFTModel
from instructgpt.run.config import Resolved
from instructgpt.run.directory import Run
from instructgpt.run.disk import write_atomically
from instructgpt.run.files import read_shaped
from instructgpt.run.job import Job
from instructgpt.run.progress import StageProgress, say

Audit = Callable[[Sequence[PromptText], Sequence[str]], dict[str, float]]
"""Figures of a policy's answers (prompts, texts) that no judge sees."""

JudgeFor = Callable[[Sequence[Prompt]], tuple[Judge, str]]

GREEDY = "greedy decoding of {}"


def compare_policies(
    config: CompareConfig | Resolved[CompareConfig],
    judge: Judge | None = None,
    *,
    judge_for: JudgeFor | None = None,
    judge_name: str = "",
    audit: Audit = lambda _prompts, _texts: {},
) -> Run:
    """Compare policies and write `OUT/evaluation.json`; answers sampled before a stop are kept.

    Args:
        config: the settings.
        judge: decides instead of the reward model that `config.judge` names.
        judge_for: makes such a judge, and what the report calls it, of the prompts' records.
        judge_name: what the report calls it.
        audit: further figures of each policy's answers.

    Raises:
        UserError: a model or the prompts cannot be used, or nobody judges.
    """
    with Job("evaluate", config, CompareConfig, world()) as job:
        if job.is_done:
            return job.run
        config = job.config
        inputs = look(config, judge_is_model=judge is None and judge_for is None)
        if judge_for:
            judge, judge_name = judge_for(inputs.prompts)
        job.start_computing(config.device)
        answered = _all_answers(config, inputs, job.path)

        def evaluation() -> dict[str, Any]:
            own = judge or _judge(config, inputs)
            found = _evaluation(config, inputs.prompts, answered, own, audit)
            return {"judge": judge_name or config.judge, **found}

        job.write_json("evaluation.json", evaluation)
        return job.finish()


def _judge(config: CompareConfig, inputs: Inputs) -> Scorer:
    judge = Scorer(
        config.judge,
        inputs.judge and inputs.judge.tokenizer,
        template=config.template,
        device=pick_device(config.device),
    )
    judge.on_long = "truncate"  # its tokenizer may make more of an answer
    return judge


class KeptAnswer(BaseModel, frozen=True, extra="forbid"):
    """One answer of a policy, as it is kept."""

    text: str
    finished: bool
    tokens: int


class PolicyAnswers(BaseModel, frozen=True):
    """All answers of one policy, those to one prompt side by side, and its loss on the prose."""

    answers: list[KeptAnswer]
    prose_loss: float | None

    def repeated(self, count: int) -> list[KeptAnswer]:
        """`count` answers in all; the same one several times where greedy decoding gave one."""
        return [answer for answer in self.answers for _ in range(count // len(self.answers))]


def _all_answers(config: CompareConfig, inputs: Inputs, folder: Path) -> dict[str, PolicyAnswers]:
    """By policy, in the order: the others, b, b decoded greedily, a."""
    a, b, *others = labels([config.a, config.b, *config.further])
    policies = zip([*others, b], [*config.further, config.b], strict=True)
    jobs = {label: (path, config.temperature) for label, path in policies}
    # Part of a win may be mere sharpening, which greedy decoding gives for nothing.
    jobs[GREEDY.format(b)] = (config.b, 0.0)
    jobs[a] = (config.a, config.temperature)
    answered: dict[str, PolicyAnswers] = {}
    with StageProgress("evaluate", len(jobs), phase="sampling") as progress:
        for number, (label, (path, temperature)) in enumerate(jobs.items(), 1):
            kept = folder / f"answers-{number}.json"
            answered[label] = _answered(config, inputs, path, temperature, kept)
            progress.advance(number, {})
    return answered


def _answered(
    config: CompareConfig, inputs: Inputs, path: str, temperature: float, kept: Path
) -> PolicyAnswers:
    """A policy's answers, from the file in which they are kept, or made and kept there."""
    ranks = world()
    if not ranks.once(kept.exists):
        answers = _answers(config, inputs, path, temperature)
        ranks.once(lambda: write_atomically(kept, json.dumps(answers.model_dump())))
    content = ranks.once(lambda: _read_kept(kept, len(inputs.prompts)))
    return PolicyAnswers(**content)


def _read_kept(path: Path, prompts: int) -> dict[str, Any]:
    remedy = "remove it, and these answers are sampled again"
    content = read_shaped(path, PolicyAnswers, remedy)
    if not content["answers"] or len(content["answers"]) % prompts:
        raise UserError(f"{path}: has answers to other prompts; {remedy}")
    return content


def _answers(config: CompareConfig, inputs: Inputs, path: str, temperature: float) -> PolicyAnswers:
    policy = SFTModel(
        path,
        inputs.policies[path].tokenizer,
        template=config.template,
        device=pick_device(config.device),
    )
    count = config.samples if temperature else 1
    completions = answer(
        policy,
        [record.prompt for record in inputs.prompts],
        samples=count,
        seed=config.seed,
        temperature=temperature,
        max_new_tokens=config.response_length,
        slots=config.rollout_slots,
        dtype=config.dtype,
    )
    loss = None
    if temperature and inputs.prose:
        loss = world().once(lambda: language_model_loss(policy, inputs.prose, dtype=config.dtype))
    answers = [
        KeptAnswer(text=c.text, finished=c.finished, tokens=len(c.tokens)) for c in completions
    ]
    return PolicyAnswers(answers=answers, prose_loss=loss)


def _evaluation(
    config: CompareConfig,
    records: Sequence[Prompt],
    answered: dict[str, PolicyAnswers],
    judge: Judge,
    audit: Audit,
) -> dict[str, Any]:
    prompts = [record.prompt for record in records]
    a, b, *_ = labels([config.a, config.b, *config.further])
    count = len(prompts) * config.samples
    against: dict[str, HeadToHead] = {
        label: compare(prompts, answers.repeated(count), answered[b].repeated(count), judge)
        for label, answers in answered.items()
        if label != b
    }
    result, greedy = against.pop(a), GREEDY.format(b)
    control = against.pop(greedy)
    for label, found in {a: result, **against, greedy: control}.items():
        say(f"{label} preferred to {b}: {found.win_rate}")
    scores = {label: c.a.scores for label, c in against.items()}
    scores |= {b: result.b.scores, a: result.a.scores}
    evaluation: dict[str, Any] = {
        "a": a,
        "b": b,
        "win_rate": asdict(result.win_rate),
        "others": {label: asdict(c.win_rate) for label, c in against.items()},
        "controls": {greedy: asdict(control.win_rate)},
        "scores": {
            label: asdict(_mean(values, config.samples)) for label, values in scores.items()
        },
        "texts": {
            label: _text_figures(answers.answers) | _audited(audit, prompts, answers.answers)
            for label, answers in answered.items()
        },
        "pairs": result.pairs(prompts),
    }
    if config.prose:
        evaluation["prose_loss"] = {label: answered[label].prose_loss for label in scores}
    if all(record.use_case for record in records):
        groups = result.by_group([record.use_case or "" for record in records])
        evaluation["by_use_case"] = {case: asdict(rate) for case, rate in groups.items()}
    return evaluation


def labels(paths: Sequence[str]) -> list[str]:
    """What each policy is called: its short name; its path, or a number, where two share one.

    >>> labels(["out/07-ppo/model", "out/03-sft/model", "org/base"])
    ['ppo', 'sft', 'base']
    >>> labels(["x/sft/model", "y/sft/model", "y/sft/model"])
    ['x/sft/model', 'y/sft/model', 'y/sft/model (3)']
    """
    short = [_short(path) for path in paths]
    names: list[str] = []
    for number, (path, name) in enumerate(zip(paths, short, strict=True), 1):
        unique = name if short.count(name) == 1 else path
        names.append(f"{unique} ({number})" if unique in names else unique)
    return names


def _short(path: str) -> str:
    """The stage's or the run's name for `RUN/model`, else the folder's."""
    folder = Path(path)
    if folder.name in {"model", "model-ema"}:
        folder = folder.parent
    return re.sub(r"^\d\d-", "", folder.name) or path


def _mean(scores: Sequence[float], samples: int) -> Interval:
    return clustered_mean(scores, [index // samples for index in range(len(scores))])


def _audited(
    audit: Audit, prompts: Sequence[PromptText], answers: Sequence[KeptAnswer]
) -> dict[str, float]:
    samples = len(answers) // len(prompts)
    repeated = [prompt for prompt in prompts for _ in range(samples)]
    return audit(repeated, [answer.text for answer in answers])


def _text_figures(answers: Sequence[KeptAnswer]) -> dict[str, float]:
    """Length, ending and variety: what a judge may not see when a policy games it."""
    words = [answer.text.split() for answer in answers]
    pairs = [pair for answer_words in words for pair in pairwise(answer_words)]
    count = len(answers)
    return {
        "tokens": sum(answer.tokens for answer in answers) / count,
        "eos_rate": sum(answer.finished for answer in answers) / count,
        "distinct_bigrams": len(set(pairs)) / len(pairs) if pairs else 0.0,
    }
