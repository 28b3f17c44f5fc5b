"""TL;DR: posts and their writers' own summaries. Völske et al. 2017, Stiennon et al. 2020."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from instructgpt.evaluation.tasks.cnndm import ROUGE_L
from instructgpt.evaluation.tasks.task import Item, Task, rows_of


class TlDr(Task):
    """Appendix D, table 14, where the row of TL;DR is equal to that of CNN/DM: one of them errs."""

    name = "tldr"
    title = "TL;DR"
    source = "appendix D; the paper prints no prompt: that of Stiennon et al. 2020, appendix B.2"
    files = (
        "tldr_test.jsonl",
        "tldr_3_filtered/test.jsonl",
        "tldr_validation.jsonl",
        "tldr_valid.jsonl",
        "tldr.jsonl",
    )
    metrics: ClassVar = (ROUGE_L,)
    takes_shots = False  # table 14 has one row
    needs = ("rouge_score",)

    def read(self, path: Path) -> Iterator[Item]:
        """Rows of the set (`subreddit`, `title`, `post`, `summary`), or ready prompts with a
        `label` or `completion`.
        """
        for number, row in enumerate(rows_of(path)):
            query = row["prompt"].rstrip() if "prompt" in row else _prompt(row)
            summary = next(row[key] for key in ("summary", "label", "completion") if key in row)
            yield Item(str(row.get("id", number)), query, (" ".join(summary.split()),))


def _prompt(row: Mapping[str, Any]) -> str:
    post = row["post"].strip()
    return f"SUBREDDIT: r/{row['subreddit']}\n\nTITLE: {row['title']}\n\nPOST: {post}\n\nTL;DR:"
