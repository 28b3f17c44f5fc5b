"""F1 and exact match of DROP, as its official `drop_eval.py` (Dua et al. 2019).

An answer is one or several spans. A span is a bag of words, each once; a number in the reference
must be in the text, or the span counts nothing. Spans are paired so that the sum of F1 is greatest.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from instructgpt.evaluation.metrics.squad import without_articles, without_punctuation

_BETWEEN_SPANS = re.compile(r",\s+(?:and\s+)?|;\s+|\s+and\s+")


class Scores(NamedTuple):
    """How well an answer is met: between 0 and 1."""

    exact: float
    f1: float


def drop_scores(text: str, answers: Sequence[Sequence[str]]) -> Scores:
    """The best over answers, for each of both figures, of a text that a model has written.

    A text is one span where the answer is, and is parted at commas, semicolons and "and" where the
    answer has several. The official script is given spans and says nothing of how to find them.
    An answer whose first span is empty counts for nothing.

    >>> drop_scores("Paris and Rome", [["Rome", "Paris", "Bonn"]])
    Scores(exact=0.0, f1=0.67)
    """
    found = [
        compared(parted(text) if len(answer) > 1 else [text], answer)
        for answer in answers
        if answer and answer[0].strip()
    ]
    return Scores(
        max((one.exact for one in found), default=0.0), max((one.f1 for one in found), default=0.0)
    )


def parted(text: str) -> list[str]:
    """The spans of a list in words.

    >>> parted("1,000 men, a dog, and cats")
    ['1,000 men', 'a dog', 'cats']
    """
    return [part for part in _BETWEEN_SPANS.split(text) if part] or [text]


def compared(predicted: Sequence[str], gold: Sequence[str]) -> Scores:
    """Two lists of spans: the official `get_metrics`; F1 is rounded to two decimals, as there."""
    spans, gold_spans = [_normalized(one) for one in predicted], [_normalized(one) for one in gold]
    exact = set(spans) == set(gold_spans) and len(spans) == len(gold_spans)
    bags = [set(one.split()) for one in spans]
    scores = [[_bag_f1(own, set(one.split())) for own in bags] for one in gold_spans]
    f1 = best_total(scores) / max(len(spans), len(gold_spans))
    return Scores(float(exact), float(np.round(f1, 2)))


def best_total(scores: Sequence[Sequence[float]]) -> float:
    """The greatest sum of scores, one a row and one a column at most (Kuhn 1955).

    Shortest augmenting paths with potentials (Jonker & Volgenant 1987): rows join one by one, each
    by the cheapest change of who is with whom.

    >>> best_total([[0.9, 0.8], [0.8, 0.1]])
    1.6
    """
    costs = -np.asarray(scores, dtype=np.float64)
    costs = costs if costs.shape[0] <= costs.shape[1] else costs.T
    rows, columns = costs.shape
    price_R, price_C = np.zeros(rows), np.zeros(columns)
    row_of = np.full(columns, -1)
    for row in range(rows):
        shortest, reached = np.full(columns, np.inf), np.zeros(columns, dtype=np.bool_)
        before, column, current = np.full(columns, -1), -1, row
        while True:
            start = shortest[column] if column >= 0 else 0.0
            lengths = start + costs[current] - price_R[current] - price_C
            shorter = ~reached & (lengths < shortest)
            shortest[shorter], before[shorter] = lengths[shorter], column
            column = int(np.where(reached, np.inf, shortest).argmin())
            if row_of[column] < 0:
                break
            reached[column], current = True, int(row_of[column])
        length = shortest[column]
        price_R[row] += length
        price_R[row_of[reached]] += length - shortest[reached]
        price_C[reached] -= length - shortest[reached]
        while column >= 0:
            last = int(before[column])
            row_of[column] = row_of[last] if last >= 0 else row
            column = last
    return float(-sum(costs[row_of[c], c] for c in range(columns) if row_of[c] >= 0))


def _bag_f1(own: set[str], gold: set[str]) -> float:
    numbers = {word for word in gold if _is_number(word)}
    if numbers and not numbers & own:
        return 0.0
    common = len(own & gold)
    precision = common / len(own) if own else 1.0
    recall = common / len(gold) if gold else 1.0
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _normalized(span: str) -> str:
    """Words parted at spaces and hyphens; a number keeps its point and becomes a decimal."""
    return " ".join(filter(None, map(_word, re.split("[ -]", span))))


def _word(word: str) -> str:
    word = word.lower()
    bare = word if _is_number(word) else without_punctuation(word)
    return without_articles(str(float(bare)) if _is_number(bare) else bare)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
