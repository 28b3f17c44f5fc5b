"""The `evaluate` stage: who judges is chosen by name."""

from collections.abc import Sequence

from instructgpt.data.reading import load_records
from instructgpt.data.records import Prompt
from instructgpt.evaluation.compare import Judge
from instructgpt.evaluation.config import CompareConfig
from instructgpt.evaluation.stage import compare_policies
from instructgpt.label.audit import checks_outside_the_rubric
from instructgpt.label.simulate import SimulatedJudge
from instructgpt.pipeline.rule import Rule
from instructgpt.run.config import Resolved
from instructgpt.run.directory import Run


def evaluate(config: CompareConfig | Resolved[CompareConfig]) -> Run:
    """Compare policies by the judge that `config.judge` names: a reward model's directory,
    `simulated` or `rule`.

    Raises:
        UserError: a model or the prompts cannot be used, or nobody judges.
    """
    resolved = config if isinstance(config, Resolved) else Resolved.of(config)
    judge, name = _named_judge(resolved.config)
    return compare_policies(resolved, judge, judge_name=name, audit=checks_outside_the_rubric)


def _named_judge(config: CompareConfig) -> tuple[Judge | None, str]:
    if config.judge == "rule":
        return Rule(), Rule.name
    if config.judge == "simulated":
        records: Sequence[Prompt] = load_records(config.data, Prompt, format=config.format)
        judge = SimulatedJudge(records, seed=config.seed)
        return judge, f"{len(judge.labelers)} held-out simulated labelers"
    return None, ""
