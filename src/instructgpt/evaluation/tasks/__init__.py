"""Benchmark tasks, one class and one file each. A new one is a file and a line here."""

from collections.abc import Sequence
from importlib import import_module

from instructgpt.errors import UserError
from instructgpt.evaluation.tasks.task import Task
from instructgpt.run.presets import nearest

TASKS = {
    "winogender": "winogender:Winogender",
    "crows-pairs": "crows_pairs:CrowSPairs",
    "realtoxicityprompts": "toxicity:RealToxicityPrompts",
    "truthfulqa": "truthfulness:TruthfulQA",
    "truthfulqa-mc": "truthfulness:TruthfulQAChoices",
    "hellaswag": "hellaswag:HellaSwag",
    "wsc": "wsc:Wsc",
    "rte": "rte:Rte",
    "sst2": "sst2:Sst2",
    "quac": "quac:Quac",
    "squadv2": "squadv2:SquadV2",
    "drop": "drop:Drop",
    "wmt15-fr-en": "wmt15_fr_en:Wmt15FrEn",
    "cnndm": "cnndm:CnnDm",
    "tldr": "tldr:TlDr",
    "paper-toxicity": "toxicity:PaperToxicity",
    "paper-truthfulqa": "truthfulness:PaperTruthfulQA",
    "paper-squadv2": "paper_squadv2:PaperSquadV2",
    "paper-fr-en": "paper_fr_en:PaperFrEn",
}
"""By name, in the order of table 14: `module:class` in this folder."""


def task_of(name: str) -> Task:
    """The task of this name.

    Raises:
        UserError: there is none.
    """
    if name not in TASKS:
        raise UserError(
            f"tasks: there is no {name!r}{nearest(name, TASKS)}; give some of "
            f"{', '.join(TASKS)}, or all"
        )
    module, cls = TASKS[name].split(":")
    return getattr(import_module(f"{__name__}.{module}"), cls)()


def tasks_of(names: Sequence[str]) -> list[Task]:
    """The tasks of these names, each once, in the order of table 14; `all` means all of them."""
    wanted = dict.fromkeys(name for given in names for name in given.split(",") if name)
    if "all" in wanted:
        wanted = wanted | dict.fromkeys(TASKS)
        del wanted["all"]
    order = [*TASKS]
    return [
        task_of(name) for name in sorted(wanted, key=lambda n: order.index(n) if n in TASKS else 0)
    ]
