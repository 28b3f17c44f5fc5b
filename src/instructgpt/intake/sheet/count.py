"""Prompts and demonstrations counted as the paper's tables count them; pure."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from instructgpt.data.records import Demonstration, Prompt, plain_text
from instructgpt.intake.entry import LABELER
from instructgpt.intake.sheet import paper
from instructgpt.intake.sheet.paper import DATASETS, Lengths

OTHERWISE = "in none"
"""Where prompts stand that have no use or no split."""
WORDS = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|\w+|[^\w\s]")
Length = Callable[[str], int]


def words(text: str) -> int:
    """Words and signs of a text; of Chinese, Japanese and Korean every character.

    >>> words("Don't, 你好!")
    7
    """
    return sum(1 for _ in WORDS.finditer(text))


def count(
    prompts: Iterable[Prompt], demonstrations: Iterable[Demonstration], length: Length, unit: str
) -> dict[str, Any]:
    """The tables, ready for JSON, the paper's figures beside them.

    Args:
        prompts: of all sets; `use` (`sft`, `reward`, `ppo`) and `split` say of which one each is.
        demonstrations: with the ids of their prompts.
        length: of a text.
        unit: what a length counts.

    Returns:
        `unit`, `prompts`, `demonstrations`, and `table_1`, `table_6` to `table_11`.
    """
    counted = _Counted(length)
    for prompt in prompts:
        counted.add(prompt)
    demonstrated, total = _demonstrated(demonstrations, counted.sources, length)
    return {
        "unit": unit,
        "prompts": counted.total,
        "demonstrations": total,
        "languages": dict(counted.languages.most_common()),
        "table_1": _table_1(counted),
        "table_6": {name: dict(counted.sizes[name]) for name in counted.datasets},
        "table_7": _table_7(counted),
        "table_8": {
            name: round(sum(own.values()) / len(own), 4)
            for name in counted.datasets
            if (own := counted.customers[name])
        },
        "table_9": _described(counted.lengths, counted.datasets),
        "table_10": _described(
            counted.by_use_case, _in_order(counted.by_use_case, paper.USE_CASES)
        ),
        "table_11": _described(demonstrated, _in_order(demonstrated, paper.DEMONSTRATED)),
        "paper": {
            "table_1": paper.USE_CASES,
            "table_6": paper.SIZES,
            "table_7": paper.ANNOTATIONS,
            "table_8": paper.PER_CUSTOMER,
            "table_9": {name: row._asdict() for name, row in paper.BY_DATASET.items()},
            "table_10": {name: row._asdict() for name, row in paper.BY_USE_CASE.items()},
            "table_11": {name: row._asdict() for name, row in paper.DEMONSTRATED.items()},
        },
    }


class _Counted:
    """What is kept of the prompts that went by: counts, and a number for each text."""

    def __init__(self, length: Length) -> None:
        self.length = length
        self.total = 0
        self.sizes: dict[str, Counter[str]] = defaultdict(Counter)
        self.customers: dict[str, Counter[str]] = defaultdict(Counter)
        self.lengths: dict[str, list[int]] = defaultdict(list)
        self.by_use_case: dict[str, list[int]] = defaultdict(list)
        self.use_cases: dict[str, Counter[str]] = defaultdict(Counter)
        self.answers: dict[tuple[str, str], Counter[bool]] = defaultdict(Counter)
        self.languages: Counter[str] = Counter()
        self.sources: dict[str, str] = {}

    def add(self, prompt: Prompt) -> None:
        """Count one prompt."""
        own = prompt.model_extra or {}
        name, source = _dataset(prompt), _source(prompt.source)
        size = self.length(plain_text(prompt.prompt))
        self.total += 1
        self.sources[prompt.id] = source
        self.sizes[name][source] += 1
        self.lengths[name].append(size)
        if source == "customer" and prompt.user_id:
            self.customers[name][prompt.user_id] += 1
        if prompt.use_case:
            self.by_use_case[prompt.use_case].append(size)
        self.use_cases[name][prompt.use_case or ""] += 1
        self.languages[prompt.language or "not told"] += 1
        for question in paper.ANNOTATIONS:
            if isinstance(own.get(question), bool):
                self.answers[question, name][own[question]] += 1

    @property
    def datasets(self) -> list[str]:
        """The paper's sets, and that of the prompts in none, if there are any."""
        return [*DATASETS, *([OTHERWISE] if self.lengths.get(OTHERWISE) else [])]


def _dataset(prompt: Prompt) -> str:
    use = (prompt.model_extra or {}).get("use")
    name = "test" if prompt.split == "test" else f"{use} {prompt.split}"
    return name if name in DATASETS else OTHERWISE


def _source(source: str | None) -> str:
    return LABELER if source == LABELER else "customer"


def _table_1(counted: _Counted) -> dict[str, Any]:
    """Shares of the use cases: of the reward model's prompts, as in the paper, if there are any."""
    ranked = [counted.use_cases[name] for name in ("reward train", "reward valid")]
    is_ranked = any(ranked)
    counts = sum(ranked if is_ranked else counted.use_cases.values(), Counter())
    unlabeled = counts.pop("", 0)
    known = counts.total()
    return {
        "of": "reward" if is_ranked else "all",
        "labeled": known,
        "unlabeled": unlabeled,
        "shares": {
            name: round(counts[name] / known, 4) if known else None
            for name in _in_order(counts, paper.USE_CASES)
        },
    }


def _table_7(counted: _Counted) -> dict[str, Any]:
    """By question and set: of how many it was answered, and of which share it is true."""
    return {
        question: {
            name: {"answered": own.total(), "share": round(own[True] / own.total(), 4)}
            for name in counted.datasets
            if (own := counted.answers[question, name])
        }
        for question in paper.ANNOTATIONS
    }


def _demonstrated(
    demonstrations: Iterable[Demonstration], sources: Mapping[str, str], length: Length
) -> tuple[dict[str, list[int]], int]:
    """Lengths of prompts and their demonstrations, by who wrote the prompt; how many there are."""
    lengths: dict[str, list[int]] = defaultdict(list)
    total = 0
    for demonstration in demonstrations:
        total += 1
        own = (demonstration.model_extra or {}).get("source")
        source = sources.get(demonstration.prompt_id) or (_source(own) if own else "unknown")
        lengths[f"{source} prompts"].append(length(plain_text(demonstration.prompt)))
        lengths[f"{source} demonstrations"].append(length(demonstration.response))
    return lengths, total


def _in_order(found: Iterable[str], known: Iterable[str]) -> list[str]:
    """The paper's rows, then those that it lacks by their names."""
    rows = list(known)
    return rows + sorted(set(found) - set(rows))


def _described(lengths: Mapping[str, Sequence[int]], rows: Iterable[str]) -> dict[str, Any]:
    """A row of statistics each; of nothing, no row."""
    return {name: describe(lengths[name])._asdict() for name in rows if lengths.get(name)}


def describe(lengths: Sequence[int]) -> Lengths:
    """Count, mean, sample standard deviation, and the quartiles between the ends.

    >>> describe([1, 2, 3, 10])
    Lengths(count=4, mean=4.0, std=4.08, min=1.0, low=1.75, median=2.5, high=4.75, max=10.0)
    """
    values = np.asarray(lengths, dtype=float)
    ends = (round(float(end), 2) for end in np.quantile(values, (0, 0.25, 0.5, 0.75, 1)))
    std = round(float(values.std(ddof=1)), 2) if len(values) > 1 else None
    return Lengths(len(values), round(float(values.mean()), 2), std, *ends)
