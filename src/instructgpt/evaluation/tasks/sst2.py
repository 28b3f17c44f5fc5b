"""SST-2: is a sentence about a film positive? Socher et al. 2013, as GLUE has it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from instructgpt.data.jsonl import open_text
from instructgpt.evaluation.tasks.instructions import SST2
from instructgpt.evaluation.tasks.task import Item, Metric, Task, accuracy, id_of, rows_of

_BRACKETS = (("-lrb- ", "("), (" -rrb-", ")"), ("`` ", '"'), (" ''", '"'))
_SPACED = re.compile(r" (?=[,.;:!?%)]|n't\b|'(?:s|re|ve|ll|d|m)\b)")


def detokenized(sentence: str) -> str:
    """A sentence as one writes it: the set's has a space before every sign, and the paper's example
    of its prompt has none.

    >>> detokenized("it does n't , as they say , sing . ")
    "it doesn't, as they say, sing."
    """
    for token, sign in _BRACKETS:
        sentence = sentence.replace(token, sign)
    return _SPACED.sub("", sentence.strip())


class Sst2(Task):
    """Appendix D.2 and table 14."""

    name = "sst2"
    title = "SST-2"
    source = "appendix D.2; where lines break is ours"
    files = ("sst2_dev.jsonl", "sst2_validation.jsonl", "SST-2/dev.tsv")
    example_files = ("sst2_train.jsonl", "SST-2/train.tsv")
    opening = SST2
    metrics: ClassVar = (Metric("accuracy", accuracy),)

    def read(self, path: Path) -> Iterator[Item]:
        """GLUE's tsv, or JSON Lines: `sentence`, `label` (1 is positive)."""
        for row in _rows(path):
            query = f"Text: {detokenized(row['sentence'])}\nLabel:"
            right = (int(row["label"]),)
            yield Item(id_of(row["sentence"]), query, (), (" negative", " positive"), right)


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    if not path.name.removesuffix(".gz").endswith(".tsv"):
        yield from rows_of(path)
        return
    with open_text(path) as file:  # a quotation mark is a letter here
        columns = next(file, "").rstrip("\r\n").split("\t")
        for line in file:
            yield dict(zip(columns, line.rstrip("\r\n").split("\t"), strict=True))
