"""ROUGE-L against a longest common subsequence by recursion."""

import re
from functools import cache

import pytest

pytest.importorskip("rouge_score")

from instructgpt.evaluation.metrics.rouge import rouge_l


def by_recursion(text, reference):
    own, other = (re.findall(r"[a-z0-9]+", t.lower()) for t in (text, reference))

    @cache
    def longest(i, j):
        if i == len(own) or j == len(other):
            return 0
        if own[i] == other[j]:
            return 1 + longest(i + 1, j + 1)
        return max(longest(i + 1, j), longest(i, j + 1))

    return 2 * longest(0, 0) / (len(own) + len(other))


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("Ann has one cat", "A cat has Ann, one cat."),
        ("Bob ate one .", "Ann had one and Bob ate one ."),
        ("zebra", "Ann"),
    ],
)
def test_rouge_l(text, reference):
    assert rouge_l(text, [reference]) == pytest.approx(by_recursion(text, reference))
    assert rouge_l(text, ["quite else", reference]) == pytest.approx(by_recursion(text, reference))


def test_words_are_stemmed():
    assert rouge_l("Ann eats apples", ["Ann eating apple"]) == 1.0


def test_nothing_written_is_zero():
    assert rouge_l("", ["Ann"]) == 0.0
