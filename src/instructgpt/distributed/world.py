"""The processes that train together; this version runs in one."""

import os
from dataclasses import dataclass

from torch import Tensor

from instructgpt.errors import UserError


@dataclass(frozen=True)
class World:
    """What a stage may ask of its processes: sums over all of them."""

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum of `tensor` over all processes (the counts that divide a loss, metrics)."""
        return tensor


def world() -> World:
    """The world this process belongs to."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size > 1:
        raise UserError(
            f"started as {size} processes, but this version trains in one; run without torchrun"
        )
    return World()
