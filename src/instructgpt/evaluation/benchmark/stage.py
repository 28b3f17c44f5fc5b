"""`eval` and `eval suite`: models answer benchmark tasks; a stopped run goes on where it was."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from instructgpt.distributed.world import world
from instructgpt.errors import UserError
from instructgpt.evaluation.benchmark.ask import Asker
from instructgpt.evaluation.benchmark.choose import Chosen, choose, named
from instructgpt.evaluation.benchmark.config import (
    BenchmarkConfig,
    MeasuringConfig,
    SuiteConfig,
)
from instructgpt.evaluation.benchmark.figures import Row, TaskResult, result_of
from instructgpt.evaluation.benchmark.kept import KeptRows
from instructgpt.evaluation.benchmark.verdicts import (
    Gone,
    Opened,
    is_asked,
    judged_rows,
    keep_judges,
    stale_judges,
    without,
)
from instructgpt.evaluation.judges import KINDS, check_judges, places_of
from instructgpt.evaluation.stage import labels
from instructgpt.evaluation.tasks import tasks_of
from instructgpt.evaluation.tasks.task import Item, Output, Request, Task, TextJudge
from instructgpt.models.facts import ModelFacts
from instructgpt.models.load import pick_device
from instructgpt.models.outlook import Looked, Outlook, described, open_outlook
from instructgpt.report import write_tables
from instructgpt.rollout.policy import SFTModel
from instructgpt.run.config import Resolved
from instructgpt.run.directory import Run
from instructgpt.run.job import Job
from instructgpt.run.outline import Row as OutlineRow
from instructgpt.run.outline import counted
from instructgpt.run.progress import StageProgress

C = TypeVar("C", bound=MeasuringConfig)
KEPT_AT_ONCE = 256
"""Requests that are answered and kept together: what a kill can cost."""


@dataclass(frozen=True)
class Inputs(Looked):
    """All that `eval` reads.

    Attributes:
        policies: what is known of each model, by what the results call it.
        chosen: the tasks with their data.
        judges: where they are, by kind.
    """

    policies: dict[str, ModelFacts]
    chosen: list[Chosen]
    judges: dict[str, str]

    @property
    def measurable(self) -> list[Chosen]:
        """The tasks that can be measured."""
        return [chosen for chosen in self.chosen if not chosen.reason]

    def outline(self) -> Iterator[OutlineRow]:
        """What there is to do, for a dry run."""
        for name, facts in self.policies.items():
            yield name, described(facts)
        for kind, place in self.judges.items():
            yield f"{kind} judge", place
        for chosen in self.chosen:
            there = f"{counted(chosen.items, 'item')}, {counted(chosen.requests, 'request')}"
            yield chosen.name, chosen.reason or there


def look(config: MeasuringConfig, outlook: Outlook | None = None) -> Inputs:
    """Read and check everything.

    Raises:
        UserError: something cannot be used; the sentence names its key.
    """
    outlook = open_outlook(config, outlook)
    if config.names and len(config.names) != len(config.models):
        raise UserError(
            f"names: {len(config.names)} for {len(config.models)} models; give as many, or none"
        )
    names = config.names or labels(config.models)
    if len({folder_name(name) for name in names}) < len(names):
        raise UserError(f"names: {', '.join(names)} are not told apart; give each model its own")
    policies = {
        name: outlook.model("models", path, "policy")
        for name, path in zip(names, config.models, strict=True)
    }
    for facts in policies.values():
        facts.text(config.template)
    check_judges(config)
    chosen = [
        choose(task, config.data_dir, shots=shots, limit=config.limit, seed=config.seed)
        for task in tasks_of(config.tasks)
        for shots in (config.all_shots if task.takes_shots else (0,))
    ]
    return Inputs(policies, chosen, places_of(config))


def evaluate(config: BenchmarkConfig | Resolved[BenchmarkConfig]) -> Run:
    """Measure models on benchmark tasks and write `OUT/results.json` and `OUT/MODEL/TASK.jsonl`.

    Raises:
        UserError: a model, a task or its data cannot be used.
    """
    return _measured("benchmark", config, BenchmarkConfig)


def suite(config: SuiteConfig | Resolved[SuiteConfig]) -> Run:
    """Measure models as in table 14, without examples and with some; besides what `evaluate`
    writes there are `OUT/table.html`, `OUT/table.json` and `OUT/table.tex`.

    Raises:
        UserError: a model, a task or its data cannot be used.
    """
    return _measured("suite", config, SuiteConfig)


def _measured(stage: str, config: Any, kind: type[C]) -> Run:
    with Job(stage, config, kind, world()) as job:
        if job.is_done:
            return job.run
        config = job.config
        inputs = look(config)
        job.start_computing(config.device)
        _answer_all(config, inputs, job.path)
        judges = _judge_all(config, inputs, job)
        results = as_json(_results(inputs, job.path, judges))
        job.write_json("results.json", lambda: results)
        if isinstance(config, SuiteConfig):
            world().once(lambda: write_tables(results, job.path))
        return job.finish()


def folder_name(name: str) -> str:
    """A model's folder in OUT: its name, without what would lead elsewhere.

    >>> folder_name("../runs/ppo")
    'runs-ppo'
    """
    return re.sub(r"[^\w.+]+", "-", name).strip("-.") or "model"


def as_json(results: Mapping[str, Sequence[TaskResult]]) -> dict[str, Any]:
    """What `--json` prints: by model and task; with examples by another name than without."""
    return {
        "models": {
            model: {_name(one, own): one.to_json() for one in own} for model, own in results.items()
        }
    }


def _name(result: TaskResult, others: Sequence[TaskResult]) -> str:
    alike = [other.shots for other in others if other.task == result.task]
    return named(result.task, result.shots if len(alike) > 1 else 0)


def run_tasks(
    policy: SFTModel,
    tasks: str | Sequence[str | Task],
    *,
    data_dir: str | Path,
    shots: int = 0,
    limit: int | None = None,
    seed: int = 0,
    judges: Mapping[str, TextJudge] | None = None,
    dtype: str = "float32",
    micro_batch_tokens: int = 0,
    slots: int = 64,
) -> dict[str, TaskResult]:
    """Measure a policy on benchmark tasks, with the numbers of `instructgpt eval`.

    Args:
        policy: an `SFTModel`; with `template="plain"` it reads a task's text as it is, as in the
            command.
        tasks: names of tasks, `all`, or tasks of your own.
        data_dir: the folder that has the benchmarks' own files, at any depth.
        shots: few-shot examples before each query.
        limit: score so many items of each task.
        seed: decides which items `limit` takes and what is shown.
        judges: who says yes or no: `truth`, `info`, `toxicity`.
        dtype: precision of the forward pass.
        micro_batch_tokens: padded tokens per forward pass (0: what suits the device).
        slots: texts that grow at a time.

    Returns:
        An `Interval` for each task, which also has all its figures, or says why it has none.

    Raises:
        UserError: there is no such task, or a file is not in its format.
    """
    asker = Asker(policy, dtype=dtype, micro_batch_tokens=micro_batch_tokens, slots=slots)
    results = {}
    for task in tasks_of(tasks):
        chosen = choose(task, data_dir, shots=shots, limit=limit, seed=seed)
        asked = chosen.requests
        outputs = asker.ask([r for _, r in asked], max_tokens=task.max_tokens)
        rows = [row_of(item, r, o) for (item, r), o in zip(asked, outputs, strict=True)]
        results[task.name] = result_of(
            chosen, judged_rows(chosen, rows, judges or {}), judges or {}
        )
    return results


def row_of(item: Item, request: Request, output: Output) -> Row:
    """A request with its output."""
    return Row(item, request.prompt, request.text, output)


def _answer_all(config: MeasuringConfig, inputs: Inputs, folder: Path) -> None:
    """Every request of every task to every model, in files that a later attempt goes on with."""
    tables = {
        name: [(one.task, KeptRows(folder / folder_name(name), one)) for one in inputs.measurable]
        for name in inputs.policies
    }
    done = sum(len(kept.rows) for own in tables.values() for _, kept in own)
    total = done + sum(len(kept.missing) for own in tables.values() for _, kept in own)
    with StageProgress("eval", total, done, phase="answering") as progress:
        for (name, own), path in zip(tables.items(), config.models, strict=True):
            asker = None
            for task, kept in own:
                while part := kept.missing[:KEPT_AT_ONCE]:
                    asker = asker or _asker(config, path, inputs.policies[name])
                    outputs = asker.ask([r for _, r in part], max_tokens=task.max_tokens)
                    kept.add([row_of(*one, o) for one, o in zip(part, outputs, strict=True)])
                    done += len(part)
                    progress.advance(done, {})


def _asker(config: MeasuringConfig, path: str, facts: ModelFacts) -> Asker:
    policy = SFTModel(
        path, facts.tokenizer, template=config.template, device=pick_device(config.device)
    )
    return Asker(
        policy,
        dtype=config.dtype,
        micro_batch_tokens=config.micro_batch_tokens,
        slots=config.rollout_slots,
    )


def _results(
    inputs: Inputs, folder: Path, judges: Mapping[str, TextJudge]
) -> dict[str, list[TaskResult]]:
    """By model, with the difference from the first one."""
    results: dict[str, list[TaskResult]] = {name: [] for name in inputs.policies}
    for chosen in inputs.chosen:
        first = None
        for name, found in results.items():
            own = folder / folder_name(name)
            rows = [] if chosen.reason else KeptRows(own, chosen).rows
            found.append(result_of(chosen, rows, judges, first))
            first = rows if first is None else first
    return results


def _judge_all(config: MeasuringConfig, inputs: Inputs, job: Job[Any]) -> dict[str, TextJudge]:
    """Every answer to every judge, one judge at a time; returns what is known of each."""
    stale, known = stale_judges(job), dict[str, TextJudge]()
    for kind in KINDS:
        judge = Opened(config, kind) if kind in places_of(config) else None
        for chosen in (one for one in inputs.chosen if is_asked(one, kind)):
            for folder in (job.path / folder_name(name) for name in inputs.policies):
                kept = KeptRows(folder, chosen)
                rows = without(kept.rows, kind) if kind in stale else kept.rows
                rows = judged_rows(chosen, rows, {kind: judge} if judge else {})
                if rows != kept.rows:
                    kept.replace(rows)
        if judge:
            known[kind] = Gone(judge.quality)
    keep_judges(job)
    return known
