"""A written rule that ranks answers where no labeler does, in the tiny pipeline.

It is not a model of a person. It asks six things of an answer, each worth 0 to 1, and adds them up
with weights:

| question | weight |
|---|---|
| did it end by itself? | 2 |
| does it end like a sentence (. ! or ?)? | 1 |
| how many of its words are words of the shipped prose? | 2 |
| does it speak of the prompt (share of up to three of its content words)? | 2 |
| does it avoid repeating itself (share of distinct word pairs)? | 1 |
| is it 4 to 30 words long? | 1 |

Sums are rounded to steps of 0.25, so that answers of about the same quality tie.
"""

import re
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Any

from instructgpt.data.embedded import prose_documents
from instructgpt.data.records import Candidates, PromptText, Ranking, plain_text

STEP = 0.25
COMMON = frozenset(
    """
    a an the of to in on at is are was were be been it its this that and or but for with from by as
    not no do does did has have had i you he she we they me him her us them my your his their our
    what which who why how when where one two three short write list name give tell sentence please
    can could would should will
    """.split()
)
"""Words that say nothing about a prompt's topic."""


class Rule:
    """The rule as a judge: `score(prompts, responses, finished=...)`."""

    name = "written rule"

    def score(
        self, prompts: Sequence[PromptText], responses: Sequence[str], *, finished: Sequence[bool]
    ) -> list[float]:
        """One number per answer, 0 to 9."""
        triples = zip(prompts, responses, finished, strict=True)
        return [
            rule_score(plain_text(prompt), response, ended) for prompt, response, ended in triples
        ]


def rule_score(prompt: str, response: str, finished: bool) -> float:
    """The sum of the six questions, rounded to `STEP`.

    >>> rule_score("Why do people like the sea?", "People like the sea because it is calm.", True)
    9.0
    >>> rule_score("Why do people like the sea?", "", True)
    2.0
    """
    words = _words(response)
    total = 2.0 * finished
    if words:
        total += 1.0 * response.rstrip().endswith((".", "!", "?"))
        total += 2.0 * sum(word in _vocabulary() for word in words) / len(words)
        total += 2.0 * _on_topic(prompt, words)
        total += 1.0 * _distinct_pairs(words)
        total += 1.0 * (4 <= len(words) <= 30)
    return round(total / STEP) * STEP


def rank(candidates: Candidates, *, labeler: str = "written rule") -> Ranking:
    """Rank the answers to one prompt; equal scores tie (1, 2, 2, 4 …)."""
    prompt = plain_text(candidates.prompt)
    scores = [
        rule_score(prompt, response.text, response.finished) for response in candidates.responses
    ]
    ranks = tuple(1 + sum(other > score for other in scores) for score in scores)
    fields: dict[str, Any] = {"ranks": ranks, "labeler_id": labeler}
    return Ranking.model_validate(candidates.model_dump(exclude_none=True) | fields)


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


def _on_topic(prompt: str, words: Sequence[str]) -> float:
    content = {_stem(word) for word in _words(prompt)} - {_stem(word) for word in COMMON}
    shared = content & {_stem(word) for word in words}
    return len(shared) / min(3, len(content)) if content and len(shared) < 3 else 1.0


def _distinct_pairs(words: Sequence[str]) -> float:
    pairs = list(pairwise(words))
    return len(set(pairs)) / len(pairs) if pairs else 1.0


def _stem(word: str) -> str:
    return re.sub(r"(ing|ed|es|s)$", "", word) if len(word) > 4 else word


@cache
def _vocabulary() -> frozenset[str]:
    return frozenset(word for document in prose_documents() for word in _words(document))
