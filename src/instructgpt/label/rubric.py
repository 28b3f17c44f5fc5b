"""The rubric of the simulated labelers: eight questions to an answer, each worth 0 to 1.

A criterion is a pure function of what was asked (`Task`), what was answered, and whether the answer
ended by itself. docs/simulated-labelers.md has the rubric as a table.
"""

from collections.abc import Mapping
from math import prod
from typing import NamedTuple

from instructgpt.data.records import Candidates, Prompt
from instructgpt.label.task import Task
from instructgpt.label.text import (
    DEBRIS,
    GREETING,
    REFUSAL,
    RUDE_WORDS,
    WARM_WORDS,
    content,
    copied_share,
    count_items,
    names,
    runs,
    sentences,
    stem,
    words,
)

WEIGHTS = {
    "task": 3.0,
    "complete": 2.0,
    "clean": 1.5,
    "substance": 1.5,
    "topic": 1.0,
    "tone": 1.0,
    "concise": 1.0,
    "direct": 1.0,
}
"""How much each criterion counts; a labeler's taste multiplies these."""


class Quality(NamedTuple):
    """The criteria of the rubric, each 0 to 1, and their gated mean."""

    task: float
    complete: float
    clean: float
    substance: float
    topic: float
    tone: float
    concise: float
    direct: float
    total: float


def quality(prompt: Prompt | Candidates | Task, answer: str, finished: bool = True) -> Quality:
    """How good an answer is, without noise and taste.

    Args:
        prompt: a record; its `checks`, where it has them, say what the task asks for.
        answer: the text.
        finished: whether the model ended it, and not the limit on its length.

    >>> checks = {"items": 2, "keywords": ["trout", "carp"]}
    >>> fish = Prompt.model_validate({"prompt": "Name two fish.", "checks": checks})
    >>> [quality(fish, a).task for a in ("Trout and carp swim there.", "Trout swim.", "Bread!")]
    [1.0, 0.5, 0.25]
    """
    task = prompt if isinstance(prompt, Task) else Task.of(prompt)
    found = words(answer)
    if not found:
        return Quality(*[0.0] * len(Quality._fields))
    criteria = {
        "task": follows_task(task, answer, found),
        "complete": complete(answer, finished),
        "clean": clean(task, answer, found),
        "substance": substance(task, found),
        "topic": on_topic(task, found),
        "tone": tone(task, answer, found),
        "concise": concise(task, found),
        "direct": direct(answer),
    }
    return Quality(**criteria, total=overall(criteria, WEIGHTS))


def overall(criteria: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """The weighted mean, cut by up to half where the task was missed: (1 + task) / 2 · Σ w·c / Σ w.

    An answer that fails the task (0) stays below 0.5, however warm and complete it is.
    """
    mean = sum(weights[name] * criteria[name] for name in weights) / sum(weights.values())
    return mean * (1 + criteria["task"]) / 2


def follows_task(task: Task, answer: str, found: list[str]) -> float:
    """Is it what was asked for? The product of the parts that the task has."""
    checks = task.checks
    parts: list[float] = []
    if checks.keywords:  # a soft hint: the list lacks other good words
        parts.append(1.0 if any(word.startswith(checks.keywords) for word in found) else 0.5)
    if checks.items:
        parts.append(nearness(count_items(answer), checks.items, checks.items))
    if checks.addressee:
        parts.append(addressed(answer, checks.addressee))
    if checks.rewrite_of:
        parts.append(reworded(found, words(checks.rewrite_of)))
    if checks.summary_of:
        source = words(checks.summary_of)
        parts.append(reworded(found, source) * (len(found) < len(source)))
    if checks.labels:
        parts.append([label for label in checks.labels if names(answer, label)] == [checks.answer])
    if checks.contains:
        parts.append(any(names(answer, part) for part in checks.contains))
    if checks.contains_all:
        named = [names(answer, part) for part in checks.contains_all]
        parts.append(sum(named) / len(named))
    if checks.max_words:
        parts.append(max(0.0, 1 - 2 * max(0, len(answer.split()) / checks.max_words - 1)))
    if task.sentences:
        parts.append(nearness(len(sentences(answer)), *task.sentences))
    return float(prod(parts))


def nearness(count: int, low: int, high: int) -> float:
    """1 for a count from `low` to `high`, ½ for one off, else 0."""
    return max(0.0, 1 - 0.5 * max(low - count, count - high, 0))


def addressed(answer: str, name: str) -> float:
    """1 for a message that opens by addressing the person, ½ for one that only names them.

    >>> [addressed(text, "Ivan") for text in ("Hi Ivan, come!", "Tell Ivan to come.", "Come!")]
    [1.0, 0.5, 0.0]
    """
    return 1.0 if GREETING(name).search(answer) else 0.5 * names(answer, name)


def reworded(found: list[str], source: list[str]) -> float:
    """0 for a copy (a shared run of five words, or over half of it in shared runs of three) and for
    a text without a content word of the source; else 1.
    """
    copied = runs(found, 5) & runs(source, 5) or copied_share(found, source, 3) > 0.5
    return float(not copied and bool(content(found) & content(source)))


def complete(answer: str, finished: bool) -> float:
    """Did it end by itself (½), and as a sentence or an item of a list ends (½)?"""
    last = answer.rstrip().rstrip("\"')*").splitlines()[-1]
    ends = last.endswith((".", "!", "?")) or is_item(last)
    return 0.5 * finished + 0.5 * (ends and len(words(sentences(answer)[-1])) > 1)
