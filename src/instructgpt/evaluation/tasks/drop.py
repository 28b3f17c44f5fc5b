"""DROP: questions that need counting and adding over a paragraph. Dua et al. 2019."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from instructgpt.evaluation.metrics.drop import Scores, drop_scores
from instructgpt.evaluation.tasks.instructions import DROP
from instructgpt.evaluation.tasks.task import Item, Judged, Metric, Output, Task, rows_of


def _scores(item: Item, output: Output) -> Scores:
    answers: Sequence[Sequence[str]] = item.fields.get("answers", [[r] for r in item.references])
    return drop_scores(output.text, answers)


def _f1(item: Item, output: Output, _judged: Judged) -> float:
    return _scores(item, output).f1


def _exact(item: Item, output: Output, _judged: Judged) -> float:
    return _scores(item, output).exact


class Drop(Task):
    """Appendix D, table 14; an example with several spans shows them parted by commas."""

    name = "drop"
    title = "DROP"
    source = "appendix D.2; where lines break is ours"
    opening = DROP
    files = ("drop_dataset_dev.json",)
    metrics: ClassVar = (
        Metric("f1", _f1, scale=100),
        Metric("exact_match", _exact, scale=100),
    )

    def read(self, path: Path) -> Iterator[Item]:
        """The set's own JSON: paragraphs by id, each with questions and their validated answers."""
        (content,) = rows_of(path)
        for name, part in content.items():
            for row in part["qa_pairs"]:
                query = f"Passage: {part['passage']}\nQuestion: {row['question']}\nAnswer:"
                given = [row["answer"], *(row.get("validated_answers") or ())]
                answers = [spans_of(one) for one in given]
                texts = dict.fromkeys(", ".join(one) for one in answers)
                references = tuple(text for text in texts if text.strip())
                fields = {"answers": answers}
                yield Item(str(row["query_id"]), query, references, cluster=name, fields=fields)


def spans_of(answer: Mapping[str, Any]) -> list[str]:
    """The spans of an answer as `drop_eval.py` reads them: a number, spans, or a date."""
    if answer.get("number"):
        return [str(answer["number"])]
    if answer.get("spans"):
        return [str(span) for span in answer["spans"]]
    date = answer["date"]
    return [f"{date['day']} {date['month']} {date['year']}"]
