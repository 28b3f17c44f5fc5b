"""What an `evaluate` stage found: policies against one baseline, by a judge."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from instructgpt.report.read.load import Interval, Json, as_dict, intervals, is_finite


@dataclass(frozen=True)
class Verdict:
    """Policy `a` and others against the baseline `b`; all but the win rate of `a` may be empty.

    Attributes:
        rates: every policy's win rate over `b`, `a` among them.
        controls: what chance or the decoding alone would give.
        scores: the judge's mean score of each policy.
        originals: the policies that stand for what was there before; they come first.
        texts: figures of each policy's answers that the judge is not asked about.
    """

    a: str
    b: str
    judge: str
    note: str
    rate: Interval
    rates: dict[str, Interval]
    controls: dict[str, Interval]
    scores: dict[str, Interval]
    by_use_case: dict[str, Interval]
    texts: dict[str, dict[str, float]]
    originals: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, evaluation: Json, originals: Collection[str] = ()) -> "Verdict | None":
        """Read `evaluation.json`; None where no win rate stands.

        `originals` are the models that nothing here trained, besides one called "base".
        """
        rate = Interval.parse(evaluation.get("win_rate"))
        if rate is None:
            return None
        a, b = (policy_name(str(evaluation.get(side) or side)) for side in "ab")
        rank = dict.fromkeys((*originals, "base"), 0) | {b: 1}
        scores = _sorted(_named(intervals(evaluation.get("scores")), a, b), rank)
        texts = _sorted(_named(_text_figures(evaluation), a, b), rank)
        order = [*scores, *texts]
        others = intervals(evaluation.get("others"))
        rates = {policy_name(name): value for name, value in others.items() if name != b}
        rates[a] = rate
        ranked = sorted(rates, key=lambda name: order.index(name) if name in order else len(order))
        return cls(
            a,
            b,
            _judge_name(str(evaluation.get("judge") or "the judge")),
            str(evaluation.get("judge_note") or ""),
            rate,
            {name: rates[name] for name in ranked},
            {_with_names(k, a, b): v for k, v in intervals(evaluation.get("controls")).items()},
            scores,
            intervals(evaluation.get("by_use_case")),
            texts,
            frozenset({*originals, "base"} - {a, b}),
        )


def policy_name(text: str) -> str:
    """A policy's short name: what made it, where the path of a run's model stands.

    >>> policy_name("/runs/tiny/07-ppo/model"), policy_name("org/model-name")
    ('ppo', 'org/model-name')
    """
    found = re.fullmatch(r".*?(?:\d+-)?([^/]+)/(?:model|model-ema|best)/?", text)
    return found[1] if found else text


def _judge_name(text: str) -> str:
    name = policy_name(text)
    if name != text:
        return f"the reward model of {name}"
    return "the written rule" if text == "written rule" else text


def _text_figures(evaluation: Json) -> dict[str, dict[str, float]]:
    figures: dict[str, dict[str, float]] = {
        str(name): {str(key): float(v) for key, v in as_dict(raw).items() if is_finite(v)}
        for name, raw in as_dict(evaluation.get("texts")).items()
    }
    for name, loss in as_dict(evaluation.get("prose_loss")).items():
        if is_finite(loss):
            figures.setdefault(str(name), {})["prose_loss"] = float(loss)
    return {name: row for name, row in figures.items() if row}


def _named(values: Mapping[str, Any], a: str, b: str) -> dict[str, Any]:
    """By policy, also where an older file says only "a" and "b"; the baseline before `a` then."""
    if set(values) <= {"a", "b"}:
        return {name: values[side] for side, name in (("b", b), ("a", a)) if side in values}
    return {policy_name(name): value for name, value in values.items()}


def _sorted(values: dict[str, Any], rank: Mapping[str, int]) -> dict[str, Any]:
    """In the order of the file, but what was there before comes before what it became."""
    return dict(sorted(values.items(), key=lambda item: rank.get(item[0], 2)))


def _with_names(text: str, a: str, b: str) -> str:
    """ "greedy decoding of b" → "greedy decoding of sft"."""
    found = re.fullmatch(r"(.* of )([ab])", text, re.DOTALL)
    return found[1] + (a if found[2] == "a" else b) if found else text
