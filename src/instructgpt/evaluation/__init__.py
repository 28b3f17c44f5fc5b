"""How good is it? Win rates, agreement and calibration, with intervals."""

from typing import TYPE_CHECKING

from instructgpt._lazy import lazy

if TYPE_CHECKING:
    from instructgpt.evaluation.benchmark.stage import run_tasks as run_tasks
    from instructgpt.evaluation.compare import win_rate as win_rate
    from instructgpt.evaluation.human import HumanEvaluator as HumanEvaluator

__all__ = [
    "HumanEvaluator",
    "run_tasks",
    "win_rate",
]

__getattr__, __dir__ = lazy(
    __name__,
    {
        "HumanEvaluator": "human",
        "run_tasks": "benchmark.stage",
        "win_rate": "compare",
    },
)
