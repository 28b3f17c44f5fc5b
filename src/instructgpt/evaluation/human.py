"""What people's rankings and ratings say about models: InstructGPT section 4.1 and figure 1."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from instructgpt.data.formats import read_records
from instructgpt.data.jsonl import MEND
from instructgpt.data.records import Ranking, Rating
from instructgpt.errors import UserError
from instructgpt.evaluation import stats
from instructgpt.evaluation.stats import Interval, LabelerRanking

T = TypeVar("T")


class Outcome(NamedTuple):
    """How one comparison of two models went for the first: win 1, tie ½, loss 0."""

    prompt_id: str
    win: float


class HumanEvaluator:
    """Statistics of human feedback, with 95 % intervals clustered by prompt.

    `store` is a JSON-lines file of rankings, or anything that yields Ranking and Rating records.
    Models are told apart by the `model` field of the responses and ratings.

    >>> answers = {"text": "Yes.", "model": "ppo"}, {"text": "No.", "model": "sft"}
    >>> ranks = {"prompt a": (1, 2), "prompt b": (2, 1), "prompt c": (1, 2)}
    >>> store = [Ranking(prompt=p, responses=answers, ranks=r) for p, r in ranks.items()]
    >>> print(HumanEvaluator(store).win_rate("ppo", "sft"))
    0.667 [0.044, 0.989], n = 3
    """

    def __init__(self, store: str | Path | Iterable[Ranking | Rating]):
        is_file = isinstance(store, str | Path)
        records = (
            read_records(Path(store), Ranking, remedy=MEND).records if is_file else tuple(store)
        )
        for record in records:
            if not isinstance(record, Ranking | Rating):
                raise UserError(
                    f"a store holds Ranking and Rating records, found {type(record).__name__}"
                )
        self.rankings = tuple(record for record in records if isinstance(record, Ranking))
        self.ratings = tuple(record for record in records if isinstance(record, Rating))

    @cached_property
    def models(self) -> tuple[str, ...]:
        """The models whose responses were ranked, by name."""
        responses = (response for ranking in self.rankings for response in ranking.responses)
        return tuple(sorted({response.model for response in responses if response.model}))

    def win_rate(self, a: str, b: str) -> Interval:
        """How often a response of model `a` is ranked above one of `b`; a tie is half a win."""
        if not (outcomes := self._outcomes.get((a, b))):
            raise UserError(
                f"{a!r} and {b!r} were never compared; the rankings hold {self._known_models}"
            )
        return stats.clustered_share([o.win for o in outcomes], [o.prompt_id for o in outcomes])

    def win_rates(self, baseline: str) -> dict[str, Interval]:
        """The win rate over `baseline` of every model that was compared with it (figure 1)."""
        rates = {a: self.win_rate(a, b) for a, b in sorted(self._outcomes) if b == baseline}
        if not rates:
            raise UserError(
                f"no model was compared with {baseline!r}; the rankings hold {self._known_models}"
            )
        return rates

    def bradley_terry(self) -> dict[str, float]:
        """One strength per model on the log-odds scale, mean 0: P(a beats b) = σ(s_a − s_b)."""
        if not self._outcomes:
            raise UserError(f"no two models were compared; the rankings hold {self._known_models}")
        index = {model: i for i, model in enumerate(self.models)}
        wins_NN = np.zeros((len(index), len(index)))
        for (a, b), outcomes in self._outcomes.items():
            wins_NN[index[a], index[b]] = sum(outcome.win for outcome in outcomes)
        strengths_N = _for_user(lambda: stats.bradley_terry(wins_NN, names=self.models))
        return dict(zip(self.models, strengths_N.tolist(), strict=True))

    def agreement(self) -> Interval:
        """How often two labelers agree on which of two responses is better (section 3.4)."""
        rankings = [
            LabelerRanking(ranking.labeler_id, ranking.prompt_id, _by_response(ranking))
            for ranking in self.rankings
            if ranking.labeler_id
        ]
        return _for_user(lambda: stats.pairwise_agreement(rankings))

    def likert(self) -> dict[str, Interval]:
        """The mean overall quality, 1 to 7, of each model's rated responses."""
        by_model: defaultdict[str, list[Rating]] = defaultdict(list)
        for rating in self.ratings:
            if rating.model:
                by_model[rating.model].append(rating)
        if not by_model:
            raise UserError(f"none of the {len(self.ratings)} ratings names the model it rates")
        return {model: _mean_likert(ratings) for model, ratings in sorted(by_model.items())}

    def summary(self) -> dict[str, Any]:
        """All of it, ready for JSON. What the records cannot tell is null, and `notes` says why."""
        notes: list[str] = []

        def known(compute: Callable[[], T]) -> T | None:
            try:
                return compute()
            except UserError as error:
                notes.append(str(error))
                return None

        records = (*self.rankings, *self.ratings)
        return {
            "rankings": len(self.rankings),
            "ratings": len(self.ratings),
            "prompts": len({record.prompt_id for record in records}),
            "labelers": len({record.labeler_id for record in records if record.labeler_id}),
            "models": list(self.models),
            "win_rates": {
                a: {b: asdict(self.win_rate(a, b)) for b in self.models if (a, b) in self._outcomes}
                for a in self.models
            },
            "bradley_terry": known(self.bradley_terry),
            "agreement": known(lambda: asdict(self.agreement())),
            "likert": known(lambda: {model: asdict(i) for model, i in self.likert().items()}),
            "notes": notes,
        }

    @cached_property
    def _outcomes(self) -> dict[tuple[str, str], list[Outcome]]:
        """Every comparison of two models, seen from either side."""
        outcomes: defaultdict[tuple[str, str], list[Outcome]] = defaultdict(list)
        for ranking in self.rankings:
            ranked = zip(ranking.responses, ranking.ranks, strict=True)
            for (response_a, rank_a), (response_b, rank_b) in combinations(ranked, 2):
                a, b = response_a.model, response_b.model
                if a and b and a != b:
                    win = 0.5 if rank_a == rank_b else float(rank_a < rank_b)
                    outcomes[a, b].append(Outcome(ranking.prompt_id, win))
                    outcomes[b, a].append(Outcome(ranking.prompt_id, 1 - win))
        return dict(outcomes)

    @property
    def _known_models(self) -> str:
        return ", ".join(map(repr, self.models)) or "no model names"


def _by_response(ranking: Ranking) -> dict[tuple[str, str | None, int], int]:
    """Ranks by text, model, and which copy it is where a model wrote the same text again."""
    copies: Counter[tuple[str, str | None]] = Counter()
    ranks: dict[tuple[str, str | None, int], int] = {}
    for response, rank in zip(ranking.responses, ranking.ranks, strict=True):
        written = response.text, response.model
        copies[written] += 1
        ranks[*written, copies[written]] = rank
    return ranks


def _mean_likert(ratings: list[Rating]) -> Interval:
    """As a share of the way from 1 to 7, whose interval is honest for few or equal ratings too."""
    shares = [(rating.likert - 1) / 6 for rating in ratings]
    share = stats.clustered_share(shares, [rating.prompt_id for rating in ratings])
    return Interval(1 + 6 * share.estimate, 1 + 6 * share.low, 1 + 6 * share.high, share.n)


def _for_user(compute: Callable[[], T]) -> T:
    """What a statistic refuses is the user's to mend: more labels, or other ones."""
    try:
        return compute()
    except ValueError as error:
        raise UserError(str(error)) from error
