"""The `evaluate` stage: who judges is chosen by name."""

from collections.abc import Sequence

from instructgpt.data.records import Prompt
from instructgpt.evaluation import inputs
from instructgpt.evaluation.config import CompareConfig
from instructgpt.evaluation.stage import JudgeFor, compare_policies
from instructgpt.label.simulated.audit import checks_outside_the_rubric
from instructgpt.label.simulated.labelers import SimulatedJudge
from instructgpt.label.simulated.rule import Rule
from instructgpt.models.outlook import Outlook
from instructgpt.run.config import Resolved
from instructgpt.run.directory import Run


def evaluate(config: CompareConfig | Resolved[CompareConfig]) -> Run:
    """Compare policies by the judge that `config.judge` names: a reward model's directory,
    `simulated` or `rule`.

    Raises:
        UserError: a model or the prompts cannot be used, or nobody judges.
    """
    resolved: Resolved[CompareConfig] = Resolved.of(config, CompareConfig)
    judge = _named_judge(resolved.config)
    return compare_policies(resolved, judge_for=judge, audit=checks_outside_the_rubric)


def look(config: CompareConfig, outlook: Outlook | None = None) -> inputs.Inputs:
    """Read and check everything.

    Raises:
        UserError: something cannot be used; the sentence names its key.
    """
    judge = _named_judge(config)
    looked = inputs.look(config, outlook, judge_is_model=judge is None)
    if judge:
        judge(looked.prompts)
    return looked


def _named_judge(config: CompareConfig) -> JudgeFor | None:
    """What makes the judge and its name of the prompts' records; None for a reward model."""

    def simulated(prompts: Sequence[Prompt]) -> tuple[SimulatedJudge, str]:
        judge = SimulatedJudge(prompts, seed=config.seed)
        return judge, f"{len(judge.labelers)} held-out simulated labelers"

    if config.judge == "rule":
        return lambda _prompts: (Rule(), Rule.name)
    return simulated if config.judge == "simulated" else None
