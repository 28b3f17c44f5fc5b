"""HellaSwag: which ending goes on with the situation? Zellers et al. 2019."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from instructgpt.evaluation.tasks.instructions import HELLASWAG
from instructgpt.evaluation.tasks.task import Item, Metric, Task, accuracy, id_of, rows_of


class HellaSwag(Task):
    """Appendix D.2 and table 14. Situations out of one video or text are a cluster."""

    name = "hellaswag"
    title = "HellaSwag"
    source = "appendix D.2; where lines break is ours"
    files = ("hellaswag_val.jsonl", "hellaswag_validation.jsonl")
    example_files = ("hellaswag_train.jsonl",)
    opening = HELLASWAG
    metrics: ClassVar = (Metric("accuracy", accuracy),)

    def read(self, path: Path) -> Iterator[Item]:
        """Rows of the set, or with `query` in place of what it is made of; `endings`; `label`."""
        for row in rows_of(path):
            query = cleaned(_situation(row))
            choices = tuple(f" {cleaned(ending)}" for ending in row["endings"])
            name = str(row["ind"]) if "ind" in row else id_of(query, *choices)
            cluster = row.get("source_id", "")
            yield Item(name, query, (), choices, (int(row["label"]),), cluster)


def _situation(row: Mapping[str, Any]) -> str:
    """As the paper's example has it: the activity, then both halves, the second with a capital."""
    if "query" in row:
        return row["query"]
    halves = "ctx_a" in row
    situation = f"{row['ctx_a']} {row['ctx_b'].capitalize()}" if halves else row["ctx"]
    return f"{row['activity_label']}: {situation}"


def cleaned(text: str) -> str:
    """Without the marks that WikiHow's headings and steps left, as lm-evaluation-harness does.

    >>> cleaned("How to bake [title] Preheat. [step] Set it  to 200 degrees.")
    'How to bake. Preheat. Set it to 200 degrees.'
    """
    text = re.sub(r"\[.*?\]", "", text.strip().replace(" [title]", ". "))
    return re.sub(" {2,}", " ", text).strip()
