"""Token F1 and exact match of SQuAD: `evaluate-v2.0.py` of Rajpurkar et al. 2018.

An unanswerable question has a reference like any other, the words that the model is to write
("Not in background."): so the figures of the paper's samples come about. A text that shares a word
with it, such as "in", has a part of its F1.
"""

import re
import string
from collections import Counter
from collections.abc import Iterable, Sequence

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")


def normalized(text: str) -> str:
    """Lower case, without ASCII punctuation, articles and needless whitespace, in this order.

    >>> normalized("The U.S.'s  well-known a-b")
    'uss wellknown ab'
    """
    return without_articles(without_punctuation(text.lower()))


def without_punctuation(text: str) -> str:
    """Without ASCII punctuation, which leaves no gap."""
    return text.translate(_PUNCTUATION)


def without_articles(text: str) -> str:
    """Without a, an, the, and needless whitespace."""
    return " ".join(_ARTICLES.sub(" ", text).split())


def exact_match(text: str, references: Iterable[str]) -> float:
    """Whether the text is one of the references, both normalized.

    >>> exact_match("the North Sea.", ["Baltic", "North sea"])
    1.0
    """
    return float(normalized(text) in {normalized(reference) for reference in references})


def f1(text: str, references: Iterable[str]) -> float:
    """The highest F1 over references, of the words that both have, as often as both have them.

    Where one of them has no words, 1 if neither has any, else 0.

    >>> f1("a big big sea", ["North Sea", "big sea"])  # 2 words of 3 and of 2: 2 · 2 / 5
    0.8
    """
    return max(_f1(normalized(text).split(), normalized(one).split()) for one in references)


def _f1(words: Sequence[str], others: Sequence[str]) -> float:
    if not words or not others:
        return float(not words and not others)
    common = (Counter(words) & Counter(others)).total()
    return 2 * common / (len(words) + len(others))
