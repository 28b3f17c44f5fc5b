"""Student's t distribution: how much wider an interval is when the spread is known from few."""

from functools import cache
from math import atan, cos, inf, pi, sin, sqrt, tan
from statistics import NormalDist

import numpy as np

MANY = 10_000
"""Degrees of freedom from which the normal quantile is the same to four digits."""


@cache
def t_quantile(level: float, df: int) -> float:
    """t with P(|T| ≤ t) = `level`, for T with `df` degrees of freedom.

    Abramowitz & Stegun 1964, 26.7.3 and 26.7.4: with θ = atan(t / √df), P(|T| ≤ t) is a finite sum
    of powers of cos θ, which a bisection turns round.

    >>> [round(t_quantile(0.95, df), 3) for df in (1, 2, 9, 30)]  # a printed table of t
    [12.706, 4.303, 2.262, 2.042]
    """
    if df < 1:
        return inf
    if df >= MANY:
        return NormalDist().inv_cdf((1 + level) / 2)
    first = 2 + df % 2  # the factors (n - 1) / n: of 2, 4, … df - 2 where df is even, or 3, 5, …
    steps = np.arange(first, df - 1, 2)
    factors = np.concatenate([[1.0], np.cumprod((steps - 1) / steps)])

    def inside(theta: float) -> float:
        if df == 1:
            return 2 * theta / pi
        total = sin(theta) * float(factors @ cos(theta) ** (2.0 * np.arange(len(factors))))
        return 2 / pi * (theta + cos(theta) * total) if df % 2 else total

    low, high = 0.0, atan(inf)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if inside(middle) < level else (low, middle)
    return sqrt(df) * tan(low)
