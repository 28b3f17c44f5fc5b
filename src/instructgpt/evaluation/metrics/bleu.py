"""BLEU by sacrebleu's defaults, from sums over sentences (`pip install 'instructgpt[eval]'`)."""

from collections.abc import Sequence
from functools import cache
from typing import Any


def statistics(text: str, references: Sequence[str]) -> list[float]:
    """Of one sentence: its length, its reference's, n-grams found and n-grams for n of 1 to 4."""
    score = _bleu().corpus_score([text], [[reference] for reference in references])
    return [float(x) for x in (score.sys_len, score.ref_len, *score.counts, *score.totals)]


def bleu(sums: Sequence[float]) -> float:
    """Of statistics summed over a corpus, between 0 and 100: equal to `sacrebleu.corpus_bleu`."""
    written, wanted, *grams = (int(x) for x in sums)
    return _bleu().compute_bleu(grams[:4], grams[4:], written, wanted, smooth_method="exp").score


@cache
def _bleu() -> Any:
    from sacrebleu.metrics.bleu import BLEU

    return BLEU()
