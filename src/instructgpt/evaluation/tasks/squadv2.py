"""SQuAD 2.0: a question about a paragraph, which may not have its answer. Rajpurkar et al. 2018."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

from instructgpt.evaluation.metrics.squad import exact_match, f1, normalized
from instructgpt.evaluation.tasks.instructions import SQUADV2
from instructgpt.evaluation.tasks.task import Item, Judged, Metric, Output, Task, rows_of

NOT_THERE = "Not in background."
"""What the paper's models are to write where a question has no answer."""


def paragraph(title: str, text: str, asked: Sequence[tuple[str, str]], question: str) -> str:
    """The paper's layout: a question behind its paragraph and the questions already answered."""
    turns = "".join(f"Q: {query}\n\nA: {answer}\n\n" for query, answer in asked)
    return f"Title: {title}\n\nBackground: {text}\n\n{turns}Q: {question}\n\nA:"


def _f1(item: Item, output: Output, _judged: Judged) -> float:
    return f1(output.text, item.references)


def _exact(item: Item, output: Output, _judged: Judged) -> float:
    return exact_match(output.text, item.references)


F1_AND_EXACT = (Metric("f1", _f1, scale=100), Metric("exact_match", _exact, scale=100))
"""In percent; also of the paper's samples."""


class SquadV2(Task):
    """Appendix D, table 14; each question behind those of its paragraph that come before it."""

    name = "squadv2"
    title = "SQuAD v2"
    source = "appendix D.2, laid out as in the paper's published samples"
    files = ("dev-v2.0.json",)
    opening = SQUADV2
    metrics: ClassVar = F1_AND_EXACT

    def read(self, path: Path) -> Iterator[Item]:
        """The set's own JSON: articles, their paragraphs, their questions with several answers."""
        (content,) = rows_of(path)
        for article in content["data"]:
            for number, part in enumerate(article["paragraphs"]):
                asked: list[tuple[str, str]] = []
                for row in part["qas"]:
                    query = paragraph(article["title"], part["context"], asked, row["question"])
                    answers = [one["text"] for one in row["answers"] if normalized(one["text"])]
                    references = tuple(dict.fromkeys(answers)) or (NOT_THERE,)
                    cluster = f"{article['title']} {number}"
                    yield Item(str(row["id"]), query, references, cluster=cluster)
                    asked.append((row["question"], references[0]))
