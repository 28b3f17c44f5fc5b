"""HellaSwag: which ending goes on with the situation? Zellers et al. 2019."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from instructgpt.evaluation.tasks.task import Item, Metric, Task, accuracy, rows_of


class HellaSwag(Task):
    """Appendix D and table 14; the paper prints no prompt: the text alone, as in the set."""

    name = "hellaswag"
    title = "HellaSwag"
    source = "appendix D, E.5; the context is the prompt"
    files = ("hellaswag_val.jsonl", "hellaswag_validation.jsonl")
    metrics: ClassVar = (Metric("accuracy", accuracy),)

    def read(self, path: Path) -> Iterator[Item]:
        """Rows of the set: `ctx` after `activity_label`, or both as `query`; `endings`; `label`."""
        for number, row in enumerate(rows_of(path)):
            query = row["query"] if "query" in row else f"{row['activity_label']}: {row['ctx']}"
            choices = tuple(f" {ending}" for ending in row["endings"])
            yield Item(str(row.get("ind", number)), query, (), choices, (int(row["label"]),))
