"""BLEU from sums is the corpus figure that sacrebleu prints."""

import math

import numpy as np
import pytest

sacrebleu = pytest.importorskip("sacrebleu")

from instructgpt.evaluation.metrics.bleu import bleu, statistics  # noqa: E402

WORDS = ["the", "sea", "is", "very", "blue", ",", "today", "."]


def corpus(seed, sentences):
    random = np.random.default_rng(seed)
    return [" ".join(random.choice(WORDS, random.integers(0, 9))) for _ in range(sentences)]


@pytest.mark.parametrize("seed", range(5))
def test_it_is_sacrebleus_corpus_bleu(seed):
    texts, references, others = (corpus(seed + 10 * i, 7) for i in range(3))
    references = [reference or "sea" for reference in references]
    sums = np.sum([statistics(t, [r]) for t, r in zip(texts, references, strict=True)], axis=0)
    assert bleu(sums) == sacrebleu.corpus_bleu(texts, [references]).score
    both = [statistics(t, two) for t, *two in zip(texts, references, others, strict=True)]
    expected = sacrebleu.corpus_bleu(texts, [references, others]).score
    assert bleu(np.sum(both, axis=0)) == expected


def test_by_hand():
    # 3, 2, 1 of 4, 3, 2 n-grams, none of one 4-gram: 1 / (2 · 1); as long as the reference
    found = statistics("the sea is blue", ["the sea is green"])
    assert found == [4, 4, 3, 2, 1, 0, 4, 3, 2, 1]
    assert bleu(found) == pytest.approx(100 * (3 / 4 * 2 / 3 * 1 / 2 * 1 / 2) ** 0.25)
    short = statistics("the sea is blue", ["the sea is blue today ."])
    assert bleu(short) == pytest.approx(100 * math.exp(1 - 6 / 4))


def test_nothing_written_is_zero():
    assert bleu(statistics("", ["the sea"])) == 0.0
