"""Benchmark tasks, one class and one file each. A new one is a file and a line here, or a file of
the user's own.
"""

from collections import Counter
from collections.abc import Sequence
from importlib import import_module

from instructgpt.errors import UserError
from instructgpt.evaluation.tasks.task import Task
from instructgpt.run.plugin import load_function
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
    """The task of this name; of `module:class`, a user's own, found as `run.plugin` says.

    Raises:
        UserError: there is none, or it is no task.
    """
    if ":" in name:
        found = load_function(name)
        if not isinstance(found, Task):
            raise UserError(
                f"tasks: {name} is no task; give a class that extends "
                "instructgpt.evaluation.tasks.task.Task"
            )
        return found
    if name not in TASKS:
        raise UserError(
            f"tasks: there is no {name!r}{nearest(name, TASKS)}; give some of "
            f"{', '.join(TASKS)}, all, or module:class of your own"
        )
    module, cls = TASKS[name].split(":")
    return getattr(import_module(f"{__name__}.{module}"), cls)()


def tasks_of(wanted: str | Sequence[str | Task]) -> list[Task]:
    """Tasks by their names or as they are, each once, in the order of table 14 and behind it the
    user's own; `all` means all of that table.

    Raises:
        UserError: there is no such task, or two are called alike.
    """
    given = [wanted] if isinstance(wanted, str) else wanted
    own = dict.fromkeys(task for task in given if isinstance(task, Task))
    names = dict.fromkeys(n for one in given if isinstance(one, str) for n in one.split(",") if n)
    if "all" in names:
        names |= dict.fromkeys(TASKS)
        del names["all"]
    order = {name: place for place, name in enumerate(TASKS)}
    ordered = sorted(names, key=lambda name: order.get(name, len(order)))
    tasks = [*(task_of(name) for name in ordered), *own]
    called = Counter(task.name for task in tasks)
    if twice := [name for name, count in called.items() if count > 1]:
        raise UserError(f"tasks: two are called {twice[0]!r}; give one of them another name")
    return tasks
