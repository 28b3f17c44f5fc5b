"""The processes that work together: shares of the work, sums, and one voice to the outside.

Every process holds the same batch and decides the same way; only forward passes are shared out. So
no result depends on how many there are, beyond float rounding, and nothing outside this room knows
a rank.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from instructgpt.distributed.joining import join, whole_number
from instructgpt.distributed.watch import Watch
from instructgpt.errors import UserError
from instructgpt.models.rows import budget_groups
from instructgpt.run import progress

T = TypeVar("T")
R = TypeVar("R")

STEP_GRACE_SECONDS = 5.0
"""How long a step may go on after a signal before it is given up; schedulers grant about 30 s."""


class Stopped(KeyboardInterrupt):
    """Asked to stop, in the middle of a step: the step is given up, what came before it is kept."""


class MicroBatch(NamedTuple):
    """A process's next forward and backward pass.

    Attributes:
        number: among those of all processes, to derive random numbers from.
        indices: the items to forward.
        weight: 1, or 0 for a pass that only keeps step with the other processes.
    """

    number: int
    indices: list[int]
    weight: float


class Gathered(NamedTuple):
    """Networks that each process may read for itself, as often as it likes, without gradient.

    Attributes:
        context: in which that is so.
        in_step: whether every pass is made together: a process that fails in one cannot be waited
            for.
    """

    context: AbstractContextManager[None] = nullcontext()
    in_step: bool = False


@dataclass(eq=False)
class World:
    """All processes of this run; the methods are called by all of them, in the same order."""

    rank: int = 0
    size: int = 1
    watch: Watch | None = None
    _asked_to_stop: float | None = None
    _finishing: bool = False

    @property
    def is_first(self) -> bool:
        """Whether this process speaks and writes for all."""
        return self.rank == 0

    @property
    def here(self) -> int:
        """How many of the processes share this machine."""
        return whole_number("LOCAL_WORLD_SIZE", str(self.size), least=1)

    # ---------------------------------------------------------------- agreement

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum of `tensor` over all processes."""
        return self._reduced(tensor, dist.ReduceOp.SUM)

    def max(self, value: float) -> float:
        """The largest `value` of any process."""
        return self.maxima([value])[0]

    def maxima(self, values: Sequence[float]) -> list[float]:
        """For each of some values, the largest of any process."""
        if self.size == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64)  # on the CPU: no GPU waits for it
        return self._reduced(tensor, dist.ReduceOp.MAX).tolist()

    def once(self, work: Callable[[], T]) -> T:
        """What `work` returns, done by the first process while the others wait.

        Raises:
            Exception: what `work` raised, in every process.
        """
        if self.size == 1:
            return work()
        outcome: list[Any] = [None, None]
        if self.is_first:
            try:
                outcome[0] = work()
            except (Exception, KeyboardInterrupt) as error:
                outcome[1] = error
        raised = outcome[1]
        dist.broadcast_object_list(outcome, src=0)
        if raised or outcome[1]:
            raise raised or outcome[1]
        return outcome[0]

    def gather(self, value: T) -> list[T]:
        """Every process's `value`, in all of them."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    # ---------------------------------------------------------------- shares

    def micro_batches(
        self, lengths: Sequence[int], budget: int, rows: Sequence[int] | None = None
    ) -> Iterator[MicroBatch]:
        """This process's micro-batches of items with these lengths, within `budget` padded tokens.

        Each process gets as many as every other: sharded layers are gathered for a pass by all
        processes together. Between two passes a signal may end the step.

        Raises:
            Stopped: a stop was asked for and the step takes too long to be finished.
        """
        widest = max(map(lambda n, r: n * r, lengths, rows or [1] * len(lengths)))
        total = sum(map(lambda n, r: n * r, lengths, rows or [1] * len(lengths)))
        if self.size > 1:  # enough groups for all, where there are enough items
            budget = max(min(budget, -(-total // self.size)), widest)
        groups = budget_groups(lengths, budget, rows)
        for first in range(0, len(groups), self.size):
            self.stop_if_asked()
            progress.show_part(first, len(groups))
            number = first + self.rank
            if number < len(groups):
                yield MicroBatch(number, groups[number], 1.0)
            else:
                yield MicroBatch(number, [groups[-1][-1]], 0.0)  # the shortest item

    def map_shares(
        self,
        items: Sequence[T],
        work: Callable[[list[T]], Sequence[R]],
        networks: Gathered = Gathered(),  # noqa: B008 - it has no state
    ) -> list[R]:
        """What `work` makes of each item, in the items' order, each process doing a share.

        Args:
            items: the same in every process.
            work: takes some items and returns as many results, which can be pickled.
            networks: those that the work reads (`sharding.gathered`), without which a process
                cannot read a sharded one for itself.

        Raises:
            Exception: what the work raised in any process, in all of them.
        """
        if self.size == 1:
            return list(work(list(items)))
        mine, results, error = list(items[self.rank :: self.size]), [], None
        with networks.context:
            try:
                results = list(work(mine)) if mine else []
            except (Exception, KeyboardInterrupt) as raised:
                if networks.in_step and not isinstance(raised, Stopped):
                    raise  # perhaps in the middle of a pass, in which the others stay
                error = raised
        everything: list[Any] = [None] * len(items)
        for rank, (share, raised) in enumerate(self.gather((results, error))):
            if raised:
                raise error or raised
            everything[rank :: self.size] = share
        return everything

    # ---------------------------------------------------------------- stopping

    def ask_to_stop(self) -> None:
        """Stop at the end of the step, or in its middle if that takes too long."""
        self._asked_to_stop = time.monotonic()

    @property
    def asked_to_stop(self) -> bool:
        """Whether this process was asked to stop."""
        return self._asked_to_stop is not None

    def forget_stop(self) -> None:
        """A new stage begins."""
        self._asked_to_stop = None

    def stop_if_asked(self) -> None:
        """Between two passes that all processes make together.

        Raises:
            Stopped: in every process, if one was asked to stop and waited long enough.
        """
        if self.max(self._is_overdue):
            raise Stopped

    def stop_alone_if_asked(self) -> None:
        """Within `map_shares`, where each process works for itself.

        Raises:
            Stopped: this process was asked to stop and waited long enough.
        """
        if self._is_overdue:
            raise Stopped

    @contextmanager
    def to_the_end(self) -> Iterator[None]:
        """What is done inside is not given up, however long it takes."""
        self._finishing = True
        try:
            yield
        finally:
            self._finishing = False

    @property
    def _is_overdue(self) -> bool:
        asked = self._asked_to_stop
        if asked is None or self._finishing:
            return False
        return time.monotonic() - asked >= STEP_GRACE_SECONDS

    # ---------------------------------------------------------------- inside

    def _reduced(self, tensor: Tensor, operation: Any) -> Tensor:
        if self.size == 1:
            return tensor
        tensor = tensor.clone()
        dist.all_reduce(tensor, operation)
        return tensor


@cache
def world() -> World:
    """The world this process belongs to; under torchrun the first call joins it."""
    size = whole_number("WORLD_SIZE", "1", least=1)
    if size == 1:
        return World()
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        if name not in os.environ:
            raise UserError(
                f"WORLD_SIZE is {size}, but {name} is not set; start with torchrun, or unset "
                "WORLD_SIZE"
            )
    if (rank := whole_number("RANK")) >= size:
        raise UserError(
            f"RANK is {rank}, but WORLD_SIZE is {size}; start with torchrun, or unset both"
        )
    whole_number("MASTER_PORT", least=1)
    return World(rank, size, join(rank, size))


def is_joined() -> bool:
    """Whether this process has joined others."""
    return dist.is_initialized()


def leave() -> None:
    """Take leave of the other processes at the end, if there are any."""
    if is_joined():
        ranks = world()
        dist.barrier()
        if ranks.watch:
            ranks.watch.end()
        dist.destroy_process_group()


def fail(reason: str) -> bool:
    """Let the other processes know why this one ends; false if another says the same."""
    ranks = world() if is_joined() else World()
    return ranks.watch.tell(reason) if ranks.watch else True
