"""How sure a comparison is, how strong the models are, how well labelers agree: pure functions.

Axes: C clusters, N players, V distinct values, O observers, U units.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import fsum
from statistics import NormalDist
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from instructgpt.evaluation.student import t_quantile

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """An estimate, its confidence interval, and the number of observations behind it."""

    estimate: float
    low: float
    high: float
    n: float

    def __str__(self) -> str:
        return f"{self.estimate:.3f} [{self.low:.3f}, {self.high:.3f}], n = {self.n:.12g}"


def wilson(successes: float, n: float, level: float = 0.95) -> Interval:
    """Score interval of a share p = successes / n; z is the normal quantile of `level`.

    (p + z²/2n ± z √(p(1 − p)/n + z²/4n²)) / (1 + z²/n)

    Wilson 1927, "Probable inference"; method 3 of Newcombe 1998. A tie may count as half a success.

    >>> print(wilson(81, 263))  # Newcombe 1998, table I
    0.308 [0.255, 0.366], n = 263
    """
    if not 0 <= successes <= n or n == 0:
        raise ValueError(f"a share needs 0 <= successes <= n and n > 0, not {successes} of {n}")
    _check_level(level)
    return _score_interval(successes / n, n, NormalDist().inv_cdf((1 + level) / 2), n)


def _score_interval(share: float, trials: float, z: float, n: float) -> Interval:
    """Wilson's interval of a share as sure as that of so many trials."""
    scale = 1 + z**2 / trials
    centre = (share + z**2 / (2 * trials)) / scale
    half = z * (share * (1 - share) / trials + z**2 / (4 * trials**2)) ** 0.5 / scale
    # Rounding alone could put the bounds beyond 0 and 1, or short of a share that is 0 or 1.
    low, high = max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))
    return Interval(share, low, high, n)


def clustered_mean(values: ArrayLike, clusters: ArrayLike, level: float = 0.95) -> Interval:
    """t interval of the mean of values that come in clusters.

    x̄ ± t_{C−1} · se,   se² = C/(C − 1) · Σ_c (Σ_{i in c} (x_i − x̄))² / n²

    The linearized variance of a ratio of two totals (Cochran 1977, section 11.7), and Student's t,
    since C clusters tell its size as C values would. Values that depend on each other share a
    cluster, as the comparisons of one prompt do. A single cluster cannot show how clusters differ:
    bounds are nan.

    >>> print(clustered_mean([1, 2, 3, 6], ["a", "b", "c", "d"]))  # 3 ± 3.182 · 2.160 / √4
    3.000 [-0.437, 6.437], n = 4
    """
    mean, error, many, count = _linearized(values, clusters, level)
    if many == 1:
        return Interval(mean, np.nan, np.nan, count)
    half = t_quantile(level, many - 1) * error
    return Interval(mean, mean - half, mean + half, count)


def clustered_share(values: ArrayLike, clusters: ArrayLike, level: float = 0.95) -> Interval:
    """Interval of the mean of values in [0, 1] (win 1, tie ½, loss 0) that come in clusters.

    Wilson's interval with t_{C−1} for z and p(1 − p) / se² for n: as many independent values as
    would be equally sure (se as in `clustered_mean`). Where all clusters have the same mean, each
    is one trial. It has a width always, lies within 0 and 1, and covers as it says from 3 prompts
    on (docs/paper-map.md has the simulation). A single cluster says nothing: 0 to 1.

    Korn & Graubard 1998 and Franco et al. 2019, "Comparative study of confidence intervals for
    proportions in complex sample surveys".

    >>> print(clustered_share([1, 1, 1, 1], ["a", "a", "b", "c"]))  # t_2 = 4.303: 3 / (3 + 18.5)
    1.000 [0.139, 1.000], n = 4
    """
    share, error, many, count = _linearized(values, clusters, level)
    share = min(max(share, 0.0), 1.0)  # rounding alone could put it beyond
    if many == 1:
        return Interval(share, 0.0, 1.0, count)
    trials = share * (1 - share) / error**2 if error > 1e-12 else float(many)
    return _score_interval(share, trials, t_quantile(level, many - 1), count)


class _Linearized(NamedTuple):
    mean: float
    error: float
    """The standard error; nan of a single cluster."""
    clusters: int
    rows: int


def _linearized(values: ArrayLike, clusters: ArrayLike, level: float) -> _Linearized:
    """The mean of clustered values and its standard error (see `clustered_mean`)."""
    _check_level(level)
    rows, labels = np.asarray(values, dtype=np.float64), np.asarray(clusters)
    if not len(rows) or labels.shape != rows.shape:
        raise ValueError(f"{len(rows)} values and {len(labels)} clusters: need as many, and some")
    codes = np.unique(labels, return_inverse=True)[1]
    count, mean = len(rows), float(rows.mean())
    deviations_C = np.bincount(codes, weights=rows) - mean * np.bincount(codes)
    many = len(deviations_C)
    if many == 1:
        return _Linearized(mean, np.nan, many, count)
    # Summed without rounding, so that the clusters' names and order do not matter.
    variance = many / (many - 1) * fsum(deviations_C**2) / count**2
    return _Linearized(mean, variance**0.5, many, count)


def bradley_terry(
    wins: ArrayLike, *, names: Sequence[str] | None = None, max_iterations: int = 100_000
) -> FloatArray:
    """Maximum-likelihood strengths on the log scale, with mean 0, from wins[i, j] = times i beat j.

    P(i beats j) = σ(s_i − s_j);   p_i ← Σ_j w_ij / Σ_j (w_ij + w_ji)/(p_i + p_j),   s = log p

    Bradley & Terry 1952; the MM algorithm of Hunter 2004, eq. 3. A tie is half a win for both. The
    estimate exists if and only if a chain of wins leads from every player to every other (Ford
    1957); if not, the error says which `names` stand apart.

    >>> bradley_terry([[0, 3], [1, 0]]).round(3)  # ± log(3) / 2
    array([ 0.549, -0.549])
    """
    wins_NN = np.asarray(wins, dtype=np.float64)
    players = len(wins_NN)
    if wins_NN.shape != (players, players) or not np.all((wins_NN >= 0) & (wins_NN < np.inf)):
        raise ValueError(f"wins must be a square matrix of counts, not of shape {wins_NN.shape}")
    if np.diagonal(wins_NN).any():
        raise ValueError("the diagonal of wins must be 0: no player meets itself")
    _check_connected(wins_NN, names or [f"player {i}" for i in range(players)])
    games_NN, wins_N = wins_NN + wins_NN.T, wins_NN.sum(1)
    logs_N = np.zeros(players)
    if players == 1:
        return logs_N
    for _ in range(max_iterations):
        p_N = np.exp(logs_N)
        expected_N = (games_NN * (p_N[:, None] / (p_N[:, None] + p_N))).sum(1)
        step_N = np.log(wins_N / expected_N)  # 0 where a player wins as often as the model says
        logs_N = logs_N + step_N
        logs_N -= logs_N.mean()
        if np.abs(step_N).max() < 1e-12:
            return logs_N
    raise ValueError(f"no convergence in {max_iterations} iterations: some pairs are too one-sided")


class LabelerRanking(NamedTuple):
    """One labeler's ranks of responses to a prompt, by response: 1 is best, equal is a tie."""

    labeler: str
    prompt: str
    ranks: Mapping[Any, float]


def pairwise_agreement(rankings: Iterable[LabelerRanking], level: float = 0.95) -> Interval:
    """How often two labelers prefer the same one of two responses: InstructGPT section 3.4, 72.6 %.

    #(same preference) / #(preferences): over any two rankings of a prompt by different labelers,
    and any two responses that are in both and tied in neither. The interval is clustered by prompt.

    >>> ann = LabelerRanking("ann", "p1", {"x": 1, "y": 2, "z": 3})
    >>> bob = LabelerRanking("bob", "p1", {"x": 1, "y": 3, "z": 2})
    >>> print(pairwise_agreement([ann, bob]))  # x>y and x>z, but not y>z
    0.667 [0.000, 1.000], n = 3
    """
    by_prompt: defaultdict[str, list[LabelerRanking]] = defaultdict(list)
    for ranking in rankings:
        by_prompt[ranking.prompt].append(ranking)
    agreed: list[bool] = []
    prompts: list[str] = []
    for prompt, group in by_prompt.items():
        for (labeler, _, ranks), (other_labeler, _, other_ranks) in combinations(group, 2):
            if labeler == other_labeler:
                continue
            for x, y in combinations(ranks.keys() & other_ranks.keys(), 2):
                product = (ranks[x] - ranks[y]) * (other_ranks[x] - other_ranks[y])
                if product != 0:
                    agreed.append(product > 0)
                    prompts.append(prompt)
    if not agreed:
        raise ValueError("no two labelers ranked the same two responses without a tie")
    return clustered_share(agreed, prompts, level)


def krippendorff_alpha(
    ratings: ArrayLike, metric: Literal["nominal", "ordinal", "interval"] = "ordinal"
) -> float:
    """Agreement beyond chance of ratings[observer, unit]: 1 is perfect, 0 chance; nan is missing.

    α = 1 − (n − 1) Σ_ck o_ck δ²_ck / Σ_ck n_c n_k δ²_ck,   n_c = Σ_k o_ck,   n = Σ_c n_c

    with o_ck = Σ_u (ordered pairs c, k of ratings of unit u) / (ratings of u − 1) and δ² =
    1 for c ≠ k (nominal), (c − k)² (interval) or (Σ_{g=c…k} n_g − (n_c + n_k)/2)² (ordinal).
    Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", part D.

    >>> round(krippendorff_alpha([[1, 2, 3, 3], [1, 2, 3, 4], [None, 2, 3, 4]]), 3)
    0.92
    """
    ratings_OU = np.asarray(ratings, dtype=np.float64)
    if ratings_OU.ndim != 2:
        raise ValueError(f"ratings must be observers × units, not of shape {ratings_OU.shape}")
    levels_V = np.unique(ratings_OU[~np.isnan(ratings_OU)])
    counts_UV = (ratings_OU[:, :, None] == levels_V).sum(0, dtype=np.float64)
    counts_UV = counts_UV[counts_UV.sum(1) >= 2]
    if not len(counts_UV):
        raise ValueError("no unit was rated twice: agreement needs two ratings of the same unit")
    weighted_UV = counts_UV / (counts_UV.sum(1, keepdims=True) - 1)
    observed_VV = weighted_UV.T @ counts_UV  # but for the diagonal, where delta is 0
    counts_V = counts_UV.sum(0)
    if metric == "nominal":
        delta_VV = 1 - np.eye(len(levels_V))
    elif metric == "interval":
        delta_VV = np.subtract.outer(levels_V, levels_V) ** 2
    elif metric == "ordinal":
        midranks_V = np.cumsum(counts_V) - counts_V / 2
        delta_VV = np.subtract.outer(midranks_V, midranks_V) ** 2
    else:
        raise ValueError(f'metric must be "nominal", "ordinal" or "interval", not {metric!r}')
    by_chance = float(counts_V @ delta_VV @ counts_V)
    if by_chance == 0:
        raise ValueError("all ratings are equal: alpha is not defined without variation")
    return 1 - (float(counts_V.sum()) - 1) * float((observed_VV * delta_VV).sum()) / by_chance


class CalibrationBin(NamedTuple):
    """The n predictions with low <= probability < high: their mean, the share that came true."""

    low: float
    high: float
    predicted: float
    observed: float
    n: int


class Calibration(NamedTuple):
    """The bins that are not empty, and the expected calibration error."""

    bins: tuple[CalibrationBin, ...]
    error: float


def calibration(probabilities: ArrayLike, outcomes: ArrayLike, bins: int = 10) -> Calibration:
    """Whether what is said to happen with probability p happens in a share p of cases.

    ECE = Σ_b (n_b / n) |observed_b − predicted_b| over bins of equal width; the last includes 1

    Guo et al. 2017, "On Calibration of Modern Neural Networks", eq. 3. For a reward model:
    σ(r_x − r_y) against whether the labeler preferred x (½ for a tie).

    >>> calibration([0.0, 0.25, 0.5, 0.75], [0, 1, 1, 1], bins=2).error  # ½ |½ − ⅛| + ½ |1 − ⅝|
    0.375
    """
    p, y = np.asarray(probabilities, dtype=np.float64), np.asarray(outcomes, dtype=np.float64)
    if p.ndim != 1 or p.shape != y.shape or not len(p):
        raise ValueError(f"need as many outcomes as probabilities, not {p.shape} and {y.shape}")
    if not np.all((p >= 0) & (p <= 1) & (y >= 0) & (y <= 1)):
        raise ValueError("probabilities and outcomes must lie between 0 and 1")
    edges = np.arange(bins + 1) / bins  # linspace would miss decimal edges by a rounding: 57/100
    bin_of = np.minimum(np.searchsorted(edges, p, side="right") - 1, bins - 1)
    filled = [
        CalibrationBin(
            low=float(edges[b]),
            high=float(edges[b + 1]),
            predicted=float(p[bin_of == b].mean()),
            observed=float(y[bin_of == b].mean()),
            n=int((bin_of == b).sum()),
        )
        for b in np.unique(bin_of)
    ]
    error = sum(b.n * abs(b.observed - b.predicted) for b in filled) / len(p)
    return Calibration(tuple(filled), error)


def auc(
    scores: ArrayLike, labels: ArrayLike, clusters: ArrayLike | None = None, level: float = 0.95
) -> Interval:
    """Area under the ROC curve: P(a positive's score > a negative's), a tie counting ½.

    A = Σ_ij ψ(x_i, y_j) / mn;  per positive V_i = Σ_j ψ(x_i, y_j) / n, per negative W_j likewise
    A ± z · se,  se² = Σ_i (V_i − A)² / m(m − 1) + Σ_j (W_j − A)² / n(n − 1)

    DeLong et al. 1988. With clusters, whose values depend on each other, the deviations are summed
    within each first, and a cluster's two sums have a covariance (Obuchowski 1997, eq. 3); where
    every value is its own cluster that is DeLong's. Cut at 0 and 1. Bounds are nan where they
    cannot be known: one positive, one negative, or classes that the scores part entirely.

    >>> print(auc([0.9, 0.8, 0.3, 0.7, 0.1], [1, 1, 1, 0, 0]))  # 5 of 6; se² = 1/36 + 1/36
    0.833 [0.371, 1.000], n = 5
    """
    _check_level(level)
    scores_N, is_yes_N = np.asarray(scores, dtype=np.float64), np.asarray(labels).astype(bool)
    if scores_N.ndim != 1 or scores_N.shape != is_yes_N.shape or np.isnan(scores_N).any():
        raise ValueError(f"need a label for each of {scores_N.size} scores, and numbers")
    many = (int(is_yes_N.sum()), int((~is_yes_N).sum()))
    if not all(many):
        raise ValueError("an AUC needs positives and negatives")
    codes_N = np.arange(len(scores_N)) if clusters is None else _codes(clusters)
    yes, no = np.sort(scores_N[is_yes_N]), np.sort(scores_N[~is_yes_N])
    shares = (_share_below(no, scores_N[is_yes_N]), 1 - _share_below(yes, scores_N[~is_yes_N]))
    area = float(shares[0].mean())
    sums: list[FloatArray] = []
    counts: list[int] = []
    for share, mine in zip(shares, (is_yes_N, ~is_yes_N), strict=True):
        sums.append(np.bincount(codes_N[mine], share - area, codes_N.max() + 1) / len(share))
        counts.append(len(np.unique(codes_N[mine])))
    both = int(codes_N.max()) + 1
    if min(counts) < 2:
        return Interval(area, np.nan, np.nan, len(scores_N))
    variance = sum(c / (c - 1) * float(x @ x) for c, x in zip(counts, sums, strict=True))
    variance += 2 * both / (both - 1) * float(sums[0] @ sums[1])
    if variance <= 0:
        return Interval(area, np.nan, np.nan, len(scores_N))
    half = NormalDist().inv_cdf((1 + level) / 2) * variance**0.5
    return Interval(area, max(0.0, area - half), min(1.0, area + half), len(scores_N))


def _share_below(sorted_values: FloatArray, values: FloatArray) -> FloatArray:
    """Of each value, the share of the sorted ones that are smaller; equal ones count ½."""
    below = np.searchsorted(sorted_values, values, "left")
    up_to = np.searchsorted(sorted_values, values, "right")
    return (below + up_to) / (2 * len(sorted_values))


def _codes(clusters: ArrayLike) -> NDArray[np.intp]:
    return np.unique(np.asarray(clusters), return_inverse=True)[1]


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1 (0.95 for 95 %), not {level}")


def _check_connected(wins_NN: FloatArray, names: Sequence[str]) -> None:
    """Raise unless a chain of wins leads from every player to every other; say who stands apart."""

    def name(players: NDArray[np.bool_]) -> str:
        return "[" + ", ".join(n for n, is_in in zip(names, players, strict=True) if is_in) + "]"

    together_NN = _reachable(wins_NN + wins_NN.T)
    if not together_NN.all():
        groups = " and ".join(name(group) for group in np.unique(together_NN, axis=0)[::-1])
        raise ValueError(f"strengths of players that never met cannot be compared: {groups}")
    beats_NN = _reachable(wins_NN)
    if not beats_NN.all():
        # Whoever the fewest reach by a chain of wins: those few never lost to anybody else.
        best = beats_NN[:, beats_NN.sum(0).argmin()]
        raise ValueError(f"strengths are infinite: {name(best)} never lost to {name(~best)}")


def _reachable(links_NN: FloatArray) -> NDArray[np.bool_]:
    """Whether a chain of links leads from the row to the column (Warshall 1962)."""
    reach_NN = (links_NN > 0) | np.eye(len(links_NN), dtype=np.bool_)
    for k in range(len(links_NN)):
        reach_NN |= reach_NN[:, k : k + 1] & reach_NN[k]
    return reach_NN
