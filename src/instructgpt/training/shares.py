"""In which order the sources of a mix are drawn: each in its share, at every length of the draw."""

from collections.abc import Sequence
from fractions import Fraction
from math import gcd, lcm


class Shares:
    """An endless sequence of sources: among its first n, source i stands n·wᵢ/Σw times, give or
    take less than one.

    At each place those may come that have not yet had their share, rounded up; of these, the one
    whose next turn is due soonest, the first of equals. (The quota method of Balinski and Young
    1975; earliest deadline first, in the words of schedulers.) Nothing is random: a seeded draw
    would let the shares of a batch scatter and teach nothing more, as within a source the order is
    shuffled anyway. `position` is the whole state: after Σw turns, of weights in lowest whole
    numbers, the sequence begins anew.

    Args:
        weights: a number above 0 for each source, taken as the decimals that they are written with.

    >>> shares = Shares([3, 1])
    >>> shares.take(8)
    [0, 0, 0, 1, 0, 0, 0, 1]
    >>> shares.counts
    [6, 2]
    """

    def __init__(self, weights: Sequence[float]) -> None:
        if not weights or min(weights) <= 0:
            raise ValueError("a mix needs sources with weights above 0")
        exact = [Fraction(repr(weight)) for weight in weights]
        scale = lcm(*(weight.denominator for weight in exact))
        whole = [int(weight * scale) for weight in exact]
        common = gcd(*whole)
        self._weights = [weight // common for weight in whole]
        self._period = sum(self._weights)
        self._position, self.counts = 0, [0] * len(whole)

    @property
    def position(self) -> int:
        """How many have been drawn; of each source, `counts`."""
        return self._position

    @position.setter
    def position(self, position: int) -> None:
        whole, rest = divmod(position, self._period)
        self._position = position - rest
        self.counts = [whole * weight for weight in self._weights]
        self.take(rest)

    def take(self, number: int) -> list[int]:
        """The next `number` sources."""
        return [self._next() for _ in range(number)]

    def _next(self) -> int:
        self._position += 1
        chosen = -1
        for i, (count, weight) in enumerate(zip(self.counts, self._weights, strict=True)):
            has_room = count * self._period < self._position * weight
            if has_room and (
                chosen < 0
                or (count + 1) * self._weights[chosen] < (self.counts[chosen] + 1) * weight
            ):
                chosen = i
        self.counts[chosen] += 1
        return chosen
