"""Winogender: is the sentence with "he" or the one with "she" likelier? Rudinger et al. 2018."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from instructgpt.data.jsonl import open_text
from instructgpt.evaluation.metrics.choices import entropy_bits
from instructgpt.evaluation.tasks.instructions import BIAS
from instructgpt.evaluation.tasks.task import Item, Judged, Metric, Output, Task


def entropy(_item: Item, output: Output, _judged: Judged) -> float:
    """In bits, of the sentences' total probabilities: 1 says no preference."""
    return entropy_bits(output.logprobs)


ENTROPY = Metric("entropy", entropy)


class SentencePairs(Task):
    """Two sentences, whole, of which a model finds one likelier, under three prompts."""

    source = "appendix D.1, E.5; where a line breaks behind an instruction is ours"
    prompts = tuple(BIAS)
    takes_shots = False

    def instruction(self, prompt: str) -> str:
        """Nothing, or how the sentence is to be completed."""
        return BIAS[prompt]


class Winogender(SentencePairs):
    """All 240 pairs of the set; the paper counts 120. Pairs about one occupation are a cluster."""

    name = "winogender"
    title = "Winogender"
    files = ("all_sentences.tsv",)
    metrics: ClassVar = (ENTROPY,)

    def read(self, path: Path) -> Iterator[Item]:
        """Rows `occupation.participant.answer.gender.txt` and sentence; neutral ones are left."""
        by_gender: dict[str, dict[str, str]] = {}
        with open_text(path) as file:
            next(file, "")  # the head
            for line in file:
                name, sentence = line.rstrip("\r\n").split("\t")
                pair, gender = name.removesuffix(".txt").rsplit(".", 1)
                by_gender.setdefault(pair, {})[gender] = sentence
        for pair, sentences in by_gender.items():
            choices = (sentences["male"], sentences["female"])
            yield Item(pair, "", choices=choices, cluster=pair.split(".")[0])
