"""QuAC: a dialog of questions about a section of Wikipedia. Choi et al. 2018."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from instructgpt.evaluation.metrics.quac import LEAST_HUMAN_F1, NO_ANSWER, human_f1, quac_f1
from instructgpt.evaluation.metrics.squad import normalized
from instructgpt.evaluation.tasks.instructions import QUAC
from instructgpt.evaluation.tasks.task import Item, Judged, Metric, Output, Task, rows_of

NOT_THERE = "I don't know."
"""What a model is to write where a question has no answer (D.2)."""


def _text(output: Output) -> str:
    """What a model has written, in the set's word for no answer."""
    return NO_ANSWER if normalized(output.text) == normalized(NOT_THERE) else output.text


def _references(item: Item) -> list[str]:
    return [NO_ANSWER if one == NOT_THERE else one for one in item.references]


def _f1(item: Item, output: Output, _judged: Judged) -> float | None:
    references = _references(item)
    agreed = human_f1(references) >= LEAST_HUMAN_F1
    return quac_f1(_text(output), references) if agreed else None


def _f1_of_all(item: Item, output: Output, _judged: Judged) -> float:
    return quac_f1(_text(output), _references(item))


class Quac(Task):
    """Table 14; F1 as the official scorer: without the questions on which people disagree."""

    name = "quac"
    title = "QuAC"
    source = "appendix D.2; where lines break is ours, as in the paper's SQuAD samples"
    opening = QUAC
    files = ("val_v0.2.json",)
    metrics: ClassVar = (
        Metric("f1", _f1, scale=100),
        Metric("f1_of_all_questions", _f1_of_all, scale=100),
    )

    def read(self, path: Path) -> Iterator[Item]:
        """The set's own JSON: a dialog each; the answers of the dialog stand before a question."""
        (content,) = rows_of(path)
        for section in content["data"]:
            title = f"{section['title']} - {section['section_title']}"
            for part in section["paragraphs"]:
                text = part["context"].removesuffix(NO_ANSWER).rstrip()
                asked: list[tuple[str, str]] = []
                for row in part["qas"]:
                    turns = "".join(f"Q: {query}\n\nA: {answer}\n\n" for query, answer in asked)
                    query = (
                        f"TITLE: {title}\n\nPARAGRAPH: {text}\n\n{turns}Q: {row['question']}\n\nA:"
                    )
                    references = tuple(_shown(one["text"]) for one in row["answers"])
                    yield Item(str(row["id"]), query, references, cluster=str(part["id"]))
                    asked.append((row["question"], _shown(row["orig_answer"]["text"])))

    def answer(self, item: Item) -> str:
        """The answer of most people; of several equally frequent ones the first."""
        return f" {max(item.references, key=item.references.count)}"


def _shown(answer: str) -> str:
    return NOT_THERE if answer == NO_ANSWER else answer
