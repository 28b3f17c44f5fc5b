"""CNN/Daily Mail: news articles with the points that their editors drew. Hermann et al. 2015."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from instructgpt.evaluation.metrics.rouge import rouge_l
from instructgpt.evaluation.tasks.task import Item, Judged, Metric, Output, Task, rows_of


def _rouge_l(item: Item, output: Output, _judged: Judged) -> float:
    return rouge_l(output.text, item.references)


ROUGE_L = Metric("rouge_l", _rouge_l)
"""A share, as table 14 has it."""


class CnnDm(Task):
    """Appendix D, table 14, where the row of CNN/DM is equal to that of TL;DR: one of them errs."""

    name = "cnndm"
    title = "CNN/DM"
    source = "appendix D; the paper prints no prompt: GPT-2's, Radford et al. 2019, section 3.6"
    files = (
        "cnndm_test.jsonl",
        "cnn_dailymail_test.jsonl",
        "cnndm.jsonl",
        "cnn_dailymail.jsonl",
        "cnndm_factuality.jsonl",
    )
    metrics: ClassVar = (ROUGE_L,)
    max_tokens = 128
    takes_shots = False  # table 14 has one row, and no example fits beside a long article
    needs = ("rouge_score",)

    def read(self, path: Path) -> Iterator[Item]:
        """Rows of the set (`article`, `highlights`) or of BIG-bench (`source`, `true_cnd`).

        The points, a line each, become one line: a model's text ends at the first newline.
        """
        for number, row in enumerate(rows_of(path)):
            article, summary = (
                (row["article"], row["highlights"])
                if "article" in row
                else (row["source"], row["true_cnd"])
            )
            query = f"{article.strip()}\n\nTL;DR:"
            yield Item(str(row.get("id", row.get("idx", number))), query, (_line(summary),))


def _line(text: str) -> str:
    return " ".join(text.split())
