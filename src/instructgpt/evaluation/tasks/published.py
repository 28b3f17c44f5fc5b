"""The outputs that were published with the paper: csv files of twelve models' texts.

Their contexts are tasks of their own, each context once, so that any model can stand beside the
twelve; `instructgpt eval samples` scores the texts themselves.
"""

import csv
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from instructgpt.data.jsonl import open_text
from instructgpt.evaluation.tasks.task import Item, Task


def csv_rows(path: Path) -> Iterator[dict[str, str]]:
    """The rows of a csv file with a head, gzipped or not; a field may have several lines.

    Raises:
        ValueError: a row has too few or too many fields.
    """
    with open_text(path) as file:
        reader = csv.DictReader(file, strict=True)
        try:
            for row in reader:
                if None in row or None in row.values():
                    raise ValueError(f"line {reader.line_num}: not as many fields as the head has")
                yield row
        except csv.Error as error:
            raise ValueError(f"line {reader.line_num}: {error}") from None


def context_id(context: str) -> str:
    """Tells a context from others, whatever the file's order."""
    return hashlib.sha256(context.encode()).hexdigest()[:12]


class PublishedContexts(Task):
    """The distinct contexts of a file with `context` and `ref_text`.

    Attributes:
        context: the column that has what a model was asked.
    """

    context: ClassVar[str] = "context"

    def read(self, path: Path) -> Iterator[Item]:
        """Each context once, with its references, which the file parts at `|`."""
        seen = set[str]()
        for row in csv_rows(path):
            if row[self.context] not in seen:
                seen.add(row[self.context])
                yield self.item(row)

    def item(self, row: Mapping[str, str]) -> Item:
        """What a row's text was written for."""
        context, references = row["context"], tuple(row["ref_text"].split("|"))
        return Item(context_id(context), context, references, cluster=self.cluster(context))

    def cluster(self, context: str) -> str:  # noqa: ARG002 - of the tasks that have one
        """What contexts that depend on each other share; empty: none do."""
        return ""
