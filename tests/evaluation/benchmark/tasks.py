"""A task of the tests' own: invented questions, in two formats of metric."""

from typing import ClassVar

from instructgpt.evaluation.tasks.task import Item, Metric, Task, accuracy, rows_of


def matched(item, output, _judged):
    """Numerator and denominator of a corpus figure: letters of the reference that were written."""
    (reference,) = item.references
    return sum(letter in output.text for letter in reference), len(reference)


class Quiz(Task):
    """Rows `{"id", "q", "a", "wrong", "passage"}`; `wrong` is what makes it a choice."""

    name = "quiz"
    source = "the tests'"
    files = ("quiz.jsonl",)
    example_files = ("quiz_train.jsonl",)
    metrics: ClassVar = (
        Metric("accuracy", accuracy),
        Metric("ratio", matched, combine=lambda sums: sums[0] / sums[1], scale=100),
    )

    def read(self, path):
        for row in rows_of(path):
            choices = (f" {row['a']}", f" {row['wrong']}") if "wrong" in row else ()
            yield Item(
                str(row["id"]),
                f"Q: {row['q']}\nA:",
                (row["a"],),
                choices,
                tuple(row.get("right", (0,) if choices else ())),
                row.get("passage", ""),
            )
