"""What an `evaluate` stage found: policies against one baseline, by a judge."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from instructgpt.report.read.values import Estimate, Json, as_dict, estimates, is_finite


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
    rate: Estimate
    rates: dict[str, Estimate]
    controls: dict[str, Estimate]
    scores: dict[str, Estimate]
    by_use_case: dict[str, Estimate]
    texts: dict[str, dict[str, float]]
    originals: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, evaluation: Json, originals: Collection[str] = ()) -> "Verdict | None":
        """Read `evaluation.json`; None where no win rate stands.

        `originals` are the models that nothing here trained, besides one called "base".
        """
        rate = Estimate.parse(evaluation.get("win_rate"))
        if rate is None:
            return None
        a, b = (str(evaluation.get(side) or side) for side in "ab")
        rank = dict.fromkeys((*originals, "base"), 0) | {b: 1}
        scores = _sorted(estimates(evaluation.get("scores")), rank)
        texts = _sorted(_text_figures(evaluation), rank)
        order = [*scores, *texts]
        rates = {**estimates(evaluation.get("others")), a: rate}
        if a != b:
            rates.pop(b, None)
        ranked = sorted(rates, key=lambda name: order.index(name) if name in order else len(order))
        return cls(
            a,
            b,
            _judge_name(str(evaluation.get("judge") or "the judge")),
            rate,
            {name: rates[name] for name in ranked},
            estimates(evaluation.get("controls")),
            scores,
            estimates(evaluation.get("by_use_case")),
            texts,
            frozenset({*originals, "base"} - {a, b}),
        )


def _judge_name(text: str) -> str:
    """What to call a judge: by the stage that made it, where the path of a model stands.

    >>> _judge_name("/runs/tiny/06-reward/model"), _judge_name("written rule")
    ('the reward model of reward', 'the written rule')
    """
    found = re.fullmatch(r".*?(?:\d+-)?([^/]+)/(?:model|model-ema)/?", text)
    if found:
        return f"the reward model of {found[1]}"
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


def _sorted(values: dict[str, Any], rank: Mapping[str, int]) -> dict[str, Any]:
    """In the order of the file, but what was there before comes before what it became."""
    return dict(sorted(values.items(), key=lambda item: rank.get(item[0], 2)))
