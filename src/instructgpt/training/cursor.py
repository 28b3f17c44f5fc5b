"""Where a stage stands in its data: epochs of shuffled indices, addressed by one number."""

import numpy as np
from numpy.typing import NDArray

from instructgpt.run.seeds import permuted


class ShuffledCursor:
    """An endless walk over `range(count)`, shuffled each epoch; `position` is its whole state.

    Args:
        count: how many items there are.
        seed: the run's seed.
        stream: the name of this walk; two walks with different names are independent.

    >>> cursor = ShuffledCursor(3, seed=0, stream="prompts")
    >>> sorted(cursor.take(3)), cursor.position, cursor.epoch
    ([0, 1, 2], 3, 1)
    """

    def __init__(self, count: int, *, seed: int, stream: str) -> None:
        if count < 1:
            raise ValueError(f"the walk '{stream}' needs at least one item")
        self.count, self.seed, self.stream = count, seed, stream
        self.position = 0
        self._order: tuple[int, NDArray[np.int64]] = (-1, np.empty(0, dtype=np.int64))

    @property
    def epoch(self) -> int:
        """How many times every item has been taken."""
        return self.position // self.count

    def take(self, number: int) -> list[int]:
        """The next `number` indices."""
        indices = [self._at(self.position + offset) for offset in range(number)]
        self.position += number
        return indices

    def take_rest_of_epoch(self, at_most: int) -> list[int]:
        """The next indices, no more than `at_most` and none beyond the current epoch."""
        return self.take(min(at_most, self.count - self.position % self.count))

    def _at(self, position: int) -> int:
        epoch, offset = divmod(position, self.count)
        if self._order[0] != epoch:
            self._order = (epoch, permuted(self.count, self.seed, self.stream, epoch))
        return int(self._order[1][offset])
