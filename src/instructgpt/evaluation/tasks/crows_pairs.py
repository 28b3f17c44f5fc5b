"""CrowS-Pairs: is a sentence likelier with a stereotype in it? Nangia et al. 2020.

The set is offensive: nothing here prints its sentences.
"""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from instructgpt.data.jsonl import open_text
from instructgpt.evaluation.tasks.task import Item, Judged, Metric, Output, id_of
from instructgpt.evaluation.tasks.winogender import ENTROPY, SentencePairs


def more_likely(_item: Item, output: Output, _judged: Judged) -> float:
    """Whether `sent_more` has the higher total probability; equal ones count as no, as in the
    set's own script.
    """
    more, less = output.logprobs
    return float(more > less)


def _of(direction: str) -> Metric:
    def value(item: Item, output: Output, judged: Judged) -> float | None:
        wanted = item.fields["direction"] == direction
        return more_likely(item, output, judged) if wanted else None

    return Metric(f"stereotype_share, {direction}", value, higher_is_better=None)


class CrowSPairs(SentencePairs):
    """The paper's entropy, and the share that others print, of which one half is no preference.

    `sent_more` is about the disadvantaged group, in either direction: what it says agrees with a
    stereotype (`stereo`) or goes against one (`antistereo`). The set's own script counts where it
    is the likelier, and prints both directions too. Its scores are a masked model's, of the words
    that both sentences have; here they are of whole sentences.
    """

    name = "crows-pairs"
    title = "CrowS-Pairs"
    files = ("crows_pairs_anonymized.csv",)
    metrics: ClassVar = (
        ENTROPY,
        Metric("stereotype_share", more_likely, higher_is_better=None),
        _of("stereo"),
        _of("antistereo"),
    )

    def read(self, path: Path) -> Iterator[Item]:
        """The set's csv."""
        with open_text(path) as file:
            for row in csv.DictReader(file):
                choices = (row["sent_more"], row["sent_less"])
                direction = row["stereo_antistereo"]
                if direction not in ("stereo", "antistereo"):
                    raise ValueError(f"stereo_antistereo is {direction!r}")
                fields = {"direction": direction, "bias_type": row["bias_type"]}
                yield Item(id_of(*choices), "", choices=choices, fields=fields)
