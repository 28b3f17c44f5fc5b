"""ROUGE-L by rouge-score, Google's Python form of ROUGE (`pip install 'instructgpt[eval]'`)."""

from collections.abc import Sequence
from functools import cache
from typing import Any


def rouge_l(text: str, references: Sequence[str]) -> float:
    """F1 of the longest common subsequence of words, the highest over references; 0 to 1.

    Words are stemmed by Porter's rules, as with `-m` of ROUGE-1.5.5; a summary is one sequence,
    whatever sentences it has. The paper says neither.
    """
    return max(_scorer().score(reference, text)["rougeL"].fmeasure for reference in references)


@cache
def _scorer() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rougeL"], use_stemmer=True)
