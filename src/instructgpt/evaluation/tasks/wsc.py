"""WSC: whom does a pronoun mean? The Winograd schemas of SuperGLUE, Wang et al. 2019."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from instructgpt.evaluation.metrics.choices import names_same
from instructgpt.evaluation.tasks.instructions import WSC
from instructgpt.evaluation.tasks.task import Item, Judged, Metric, Output, Task, id_of, rows_of


def agrees(item: Item, output: Output, _judged: Judged) -> float:
    """Whether the text names the set's noun where it is the right one, and does not where it is
    not: a written answer made into a yes or no, as in appendix D.2.
    """
    return float(names_same(output.text, item.references[0]) == item.fields["label"])


LABELS = {"True": True, "False": False, "1": True, "0": False}
"""SuperGLUE's, as JSON or as a word, or the numbers that some copies have."""


class Wsc(Task):
    """Appendix D.2 and table 14: the noun is written, not chosen. Only rows whose noun is the right
    one can be examples, as in Brown et al. 2020, since of the others no answer is known.
    """

    name = "wsc"
    title = "WSC"
    source = "appendix D.2; where lines break is ours, and the asterisks are those of GPT-3's paper"
    files = ("WSC/val.jsonl", "wsc_val.jsonl", "wsc_validation.jsonl")
    example_files = ("WSC/train.jsonl", "wsc_train.jsonl")
    opening = WSC
    metrics: ClassVar = (Metric("accuracy", agrees),)
    max_tokens = 24

    def can_show(self, item: Item) -> bool:
        """Where the noun is the right one."""
        return item.fields["label"]

    def read(self, path: Path) -> Iterator[Item]:
        """SuperGLUE's rows: `text`, `target` with both spans, `label`."""
        for row in rows_of(path):
            target = row["target"]
            noun, pronoun = target["span1_text"], target["span2_text"]
            passage = marked(row["text"], pronoun, int(target["span2_index"]))
            query = (
                f"Passage: {passage}\n\nQuestion: In the passage above, what does the pronoun "
                f'"*{pronoun}*" refer to?\n\nAnswer:'
            )
            name = id_of(row["text"], noun, pronoun, str(target["span2_index"]))
            fields = {"label": LABELS[str(row["label"])]}
            yield Item(name, query, (noun,), cluster=row["text"], fields=fields)


def marked(text: str, pronoun: str, index: int) -> str:
    """The text with asterisks around the pronoun that is its word of this index, or of those that
    have it the nearest to there, since a few of the set's indices are off.

    >>> marked("Ann saw Bob, and she waved.", "she", 4)
    'Ann saw Bob, and *she* waved.'
    """
    words = text.split(" ")
    places = [i for i, word in enumerate(words) if word.strip(",.;:!?\"'()") == pronoun]
    places = places or [i for i, word in enumerate(words) if pronoun in word]
    if not places:
        raise ValueError(f"the text has no word {pronoun!r}")
    nearest = min(places, key=lambda place: abs(place - index))
    words[nearest] = words[nearest].replace(pronoun, f"*{pronoun}*", 1)
    return " ".join(words)
