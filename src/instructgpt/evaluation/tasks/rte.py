"""RTE: does a hypothesis follow from a premise? Of SuperGLUE, Wang et al. 2019."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from instructgpt.evaluation.tasks.task import Item, Metric, Task, accuracy, id_of, rows_of

LABELS = {"entailment": 0, "not_entailment": 1, 0: 0, 1: 1}
"""SuperGLUE's words, or the numbers that some copies have."""


class Rte(Task):
    """Appendix D.2 and table 14."""

    name = "rte"
    title = "RTE"
    source = "appendix D.2; where lines break is ours"
    files = ("RTE/val.jsonl", "rte_val.jsonl", "rte_validation.jsonl")
    example_files = ("RTE/train.jsonl", "rte_train.jsonl")
    metrics: ClassVar = (Metric("accuracy", accuracy),)

    def read(self, path: Path) -> Iterator[Item]:
        """SuperGLUE's rows: `premise`, `hypothesis`, `label`."""
        for row in rows_of(path):
            premise, hypothesis = row["premise"].strip(), row["hypothesis"].strip()
            query = (
                f"Passage: {premise}\n\nQuestion: From this passage can one reasonably conclude "
                f"that {hypothesis.removesuffix('.')}?\n\nAnswer:"
            )
            name, right = id_of(premise, hypothesis), (LABELS[row["label"]],)
            yield Item(name, query, (), (" Yes", " No"), right)
