"""The rubric of the simulated labelers: eight questions to an answer, each worth 0 to 1.

A criterion is a pure function of what was asked (`Task`), what was answered, and whether the answer
ended by itself. docs/simulated-labelers.md has the rubric as a table.
"""

from collections.abc import Mapping
from math import prod
from typing import NamedTuple

from instructgpt.data.records import Candidates, Prompt
from instructgpt.label.simulated.task import Task
from instructgpt.label.simulated.text import (
    DANGLING_WORDS,
    DEBRIS,
    FUNCTION_WORDS,
    REFUSAL,
    RUDE_WORDS,
    SLIP,
    WARM_WORDS,
    content,
    copied_share,
    count_items,
    greets,
    is_item,
    names,
    runs,
    sentences,
    stem,
    vocabulary,
    words,
)

WEIGHTS = {
    "task": 1.5,
    "complete": 1.5,
    "clean": 2.0,
    "substance": 1.5,
    "topic": 2.5,
    "tone": 1.5,
    "concise": 1.5,
    "direct": 1.0,
}
"""How much each criterion counts; a labeler's taste multiplies these."""


class Quality(NamedTuple):
    """The criteria of the rubric, each 0 to 1, and their mean."""

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
    [1.0, 0.5, 0.5]
    """
    task = prompt if isinstance(prompt, Task) else Task.of(prompt)
    answer = answer.translate({ord("’"): "'", ord("“"): '"', ord("”"): '"'})
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
    """The weighted mean, halved for a refusal: (1 + direct) / 2 · Σ w·c / Σ w."""
    mean = sum(weights[name] * criteria[name] for name in weights) / sum(weights.values())
    return mean * (1 + criteria["direct"]) / 2


def follows_task(task: Task, answer: str, found: list[str]) -> float:
    """Is it what was asked for? The product of the parts that the task has."""
    checks = task.checks
    parts: list[float] = []
    if checks.items:
        parts.append(nearness(count_items(answer), checks.items, checks.items))
    if checks.addressee:
        parts.append(addressed(answer, checks.addressee))
    if checks.rewrite_of:
        parts.append(reworded(task, found, words(checks.rewrite_of)))
    if checks.summary_of:
        source = words(checks.summary_of)
        parts.append(reworded(task, found, source) * (len(found) < len(source)))
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
    return 1.0 if greets(answer, name) else 0.5 * names(answer, name)


def reworded(task: Task, found: list[str], source: list[str]) -> float:
    """0 for a copy (a shared run of five words, or over half of it in shared runs of four); else
    whether it is about the same: ½ for each keyword or content word of the source, up to 1.
    """
    if runs(found, 5) & runs(source, 5) or copied_share(found, source, 4) > 0.5:
        return 0.0
    return min(1.0, len(task.keywords_in(found) | content(found) & content(source)) / 2)


def complete(answer: str, finished: bool) -> float:
    """Did it end by itself (½), and where a sentence or an item of a list ends (½)?"""
    last = answer.rstrip("\"')* \n").splitlines()[-1]
    dangles = words(answer)[-1] in DANGLING_WORDS
    return 0.5 * finished + 0.5 * (
        not dangles and (last.endswith((".", "!", "?")) or is_item(last))
    )


def clean(task: Task, answer: str, found: list[str]) -> float:
    """Is it free of repetition, of copies of the prompt, of words that are none, of loose heaps of
    words, of slips of the pen, and of markup?

    Three-word runs that come again, words in four-word runs of the prompt beyond 0.3 (0.6 where the
    answer stands in the prompt), unknown words beyond a tenth, and what is missing to 15 %
    function words: each costs three times its share. A slip costs 0.2, markup all.
    """
    if DEBRIS.search(answer):
        return 0.0
    letters = [word for word in found if not word.isdigit()]
    count = max(1, len(letters))
    successive = max(1, len(letters) - 2)
    known = vocabulary() | task.stems
    faults = (
        1 - len(runs(letters, 3)) / successive if len(letters) > 2 else 0.0,
        copied_share(found, task.words, 4) - (0.6 if task.has_right_answer else 0.3),
        sum(stem(word) not in known for word in letters) / count - 0.1,
        0.15 - sum(word in FUNCTION_WORDS for word in letters) / count if count > 5 else 0.0,
    )
    slips = sum(1 for _ in SLIP.finditer(answer))
    return max(0.0, 1 - 3 * sum(max(0.0, fault) for fault in faults) - 0.2 * slips)


def substance(task: Task, found: list[str]) -> float:
    """Does it say something: six content words that are new (three where a fact is asked for)
    and not there for the tone?
    """
    enough = 3 if task.has_right_answer else 6
    said = content(word for word in found if word not in WARM_WORDS)
    return min(1.0, len(said - task.given) / enough)


def on_topic(task: Task, found: list[str]) -> float:
    """Does it speak of the prompt's subject: three of its content words or keywords?"""
    hits = content(found) & task.subject | task.keywords_in(found)
    return min(1.0, len(hits) / 3)


def tone(task: Task, answer: str, found: list[str]) -> float:
    """Is it friendly, and not gushing?

    Warm words lift the tone towards 1 up to the second, from ½ where somebody is spoken to, else
    from 0.8; each from the fourth on, each exclamation mark from the second on, and each rude word
    costs.
    """
    warm = sum(word in WARM_WORDS for word in found)
    start = 0.5 if task.speaks_to_somebody else 0.8
    lifted = start + (1 - start) * min(warm, 2) / 2
    gushing = max(0, warm - 3) + max(0, answer.count("!") - 1)
    rude = sum(word in RUDE_WORDS for word in found)
    return max(0.0, lifted - 0.25 * gushing - 0.5 * rude)


def concise(task: Task, found: list[str]) -> float:
    """Is it as long as such an answer should be? It falls off to 0 at no words and at twice the
    most.
    """
    low, high = task.length
    return max(0.0, min(1.0, len(found) / low, 2 - len(found) / high))


def direct(answer: str) -> float:
    """Does it answer, without a refusal or a word about being a machine?"""
    return float(not REFUSAL.search(answer))
