"""A reward model on held-out rankings: accuracy by K, margin and labeler; calibration."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from itertools import combinations
from typing import Any, NamedTuple

import torch
from torch import Tensor

from instructgpt.evaluation.stats import calibration, clustered_share
from instructgpt.reward.data import Comparison


class JudgedPair(NamedTuple):
    """One untied pair: was the better answer scored higher, and what surrounds it."""

    prompt_id: str
    right: float
    k: int
    margin: int
    labeler: str
    probability: float
    """σ(r_first − r_second), for the answer that stands first in the data."""
    first_won: bool


def judge(scores_N: Tensor, comparisons: Sequence[Comparison]) -> list[JudgedPair]:
    """Hold every untied pair of every labeler against the scores of all answers, one after the
    other.
    """
    pairs, offset = [], 0
    for comparison in comparisons:
        count = len(comparison.responses)
        own = scores_N[offset : offset + count]
        offset += count
        for ranks, labeler in zip(comparison.ranks, comparison.labelers, strict=True):
            for i, j in combinations(range(count), 2):
                if ranks[i] == ranks[j]:
                    continue
                first_won = ranks[i] < ranks[j]
                gap = (own[i] - own[j]).item()
                right = 0.5 if gap == 0 else float((gap > 0) == first_won)
                probability = torch.sigmoid(torch.tensor(gap)).item()
                margin = abs(ranks[i] - ranks[j])
                pairs.append(
                    JudgedPair(
                        comparison.prompt_id, right, count, margin, labeler, probability, first_won
                    )
                )
    return pairs


def evaluate(pairs: Sequence[JudgedPair]) -> dict[str, Any]:
    """Accuracy with intervals clustered by prompt, in all and by group; calibration.

    Returns:
        JSON-ready; empty when there is no untied pair.
    """
    if not pairs:
        return {}
    result: dict[str, Any] = {"accuracy": _accuracy(pairs)}
    for name, key in (("by_k", "k"), ("by_margin", "margin"), ("by_labeler", "labeler")):
        groups: dict[Any, list[JudgedPair]] = defaultdict(list)
        for pair in pairs:
            groups[getattr(pair, key)].append(pair)
        result[name] = {str(value): _accuracy(groups[value]) for value in sorted(groups)}
    fit = calibration([pair.probability for pair in pairs], [pair.first_won for pair in pairs])
    bins = [{"predicted": b.predicted, "observed": b.observed, "count": b.n} for b in fit.bins]
    result["calibration"] = {"bins": bins, "ece": fit.error}
    return result


def _accuracy(pairs: Sequence[JudgedPair]) -> dict[str, float]:
    return asdict(
        clustered_share([pair.right for pair in pairs], [pair.prompt_id for pair in pairs])
    )
