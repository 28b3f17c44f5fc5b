"""What rankings say of those who made them: how well they agree, and how often they tie."""

from collections.abc import Sequence
from dataclasses import asdict
from itertools import combinations
from typing import Any

from instructgpt.data.records import Ranking
from instructgpt.errors import UserError
from instructgpt.evaluation.human import HumanEvaluator
from instructgpt.evaluation.stats import Interval


def agreement_of(rankings: Sequence[Ranking]) -> Interval | None:
    """How often two labelers prefer the same answer; None where no two ranked the same pair."""
    try:
        return HumanEvaluator(rankings).agreement()
    except UserError:
        return None


def tied_share(rankings: Sequence[Ranking]) -> float:
    """The share of pairs of answers that their labeler ranked equal."""
    tied = [a == b for ranking in rankings for a, b in combinations(ranking.ranks, 2)]
    return sum(tied) / len(tied)


def description(rankings: Sequence[Ranking]) -> dict[str, Any]:
    """Who ranked, how much, how well they agree, how often they tie; JSON-ready."""
    agreement = agreement_of(rankings)
    return {
        "labelers": sorted({ranking.labeler_id for ranking in rankings if ranking.labeler_id}),
        "rankings": len(rankings),
        "agreement": asdict(agreement) if agreement else None,
        "tied_pairs": tied_share(rankings),
    }
