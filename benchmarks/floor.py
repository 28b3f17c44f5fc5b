"""The floor under our times: what the weights' matrix products take, and nothing else; and what
moving an optimizer's bytes takes.

Axes: B rows, O and I a weight's outputs and inputs.
"""

import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers.pytorch_utils import Conv1D

from instructgpt.models.parts import trunk
from instructgpt.rollout.policy import SFTModel
from measure import synchronize

TRAINED = 3
"""A training pass has a product for the forward pass and two for the backward pass."""
ADAM_BYTES = 28
"""Per parameter of a step: float32 weight, gradient and two moments read, all but one written."""
FULL_SPEED = {"cpu": 512, "cuda": 8192}
"""Rows from which on the time grows in proportion."""
REPEATS = 3


class MatmulFloor:
    """Seconds that a policy's matrix products take for a given number of rows, measured.

    Args:
        policy: has the weights.
        dtype: of the products.
    """

    def __init__(self, policy: SFTModel, dtype: str) -> None:
        self.device, self.dtype = policy.device, getattr(torch, dtype)
        self.parameters = sum(weight.numel() for weight in policy.model.parameters())
        layers = [m for m in trunk(policy.model).modules() if isinstance(m, nn.Linear | Conv1D)]
        self.trunk = [self._weight(layer) for layer in layers]
        self.head = self._weight(policy.model.get_output_embeddings())

    def seconds(self, prompt_tokens: int, live_rows: Sequence[int]) -> float:
        """For reading all prompts at full speed, and then a decode step for each of `live_rows`."""
        most = max(live_rows)
        counts = sorted({most, *(2**n for n in range(most.bit_length()))})
        steps = [self._measure([*self.trunk, self.head], count) for count in counts]
        return self.passes(prompt_tokens, 0) + float(np.interp(live_rows, counts, steps).sum())

    def passes(self, tokens: float, logits: float) -> float:
        """For forward passes of so many tokens, with the logits of so many, at full speed."""
        rows = FULL_SPEED[self.device.type]
        trunk, head = (self._measure(weights, rows) for weights in (self.trunk, [self.head]))
        return (trunk * tokens + head * logits) / rows

    def gflop(self, tokens: float, logits: float) -> float:
        """Of those passes: two operations for each weight and token."""
        trunk = sum(weight.numel() for weight in self.trunk)
        return 2e-9 * (trunk * tokens + self.head.numel() * logits)

    def adam_step(self) -> float:
        """For moving the bytes of an optimizer step on the policy."""
        return ADAM_BYTES * self.parameters / self.bandwidth()

    def decoding(self, steps: int) -> float:
        """For reading the weights once in each step of sampling: what a GPU waits for."""
        weights = sum(weight.nbytes for weight in [*self.trunk, self.head])
        return steps * weights / self.bandwidth()

    def bandwidth(self) -> float:
        """Bytes read and written per second by a copy."""
        block = torch.empty(2**28 if self.device.type == "cuda" else 2**26, device=self.device)
        half = len(block) // 2

        def copy() -> None:
            block[:half].copy_(block[half:])

        return block.nbytes / self._timed(copy)  # half of it is read, half written

    def _measure(self, weights_OI: Sequence[Tensor], count: int) -> float:
        widths = {weight.shape[1] for weight in weights_OI}
        x_BI = {i: torch.randn(count, i, dtype=self.dtype, device=self.device) for i in widths}

        def multiply() -> None:
            for weight in weights_OI:
                linear(x_BI[weight.shape[1]], weight)

        return self._timed(multiply)

    def _timed(self, work: Callable[[], object]) -> float:
        times = []
        for _ in range(REPEATS):
            synchronize(self.device)
            start = time.perf_counter()
            work()
            synchronize(self.device)
            times.append(time.perf_counter() - start)
        return statistics.median(times)

    def _weight(self, layer: nn.Module | None) -> Tensor:
        assert isinstance(layer, nn.Linear | Conv1D)
        weight = layer.weight.detach().to(self.dtype)
        return weight.T if isinstance(layer, Conv1D) else weight


def live_rows(lengths: Sequence[int], slots: int) -> list[int]:
    """Rows of each decode step if a slot is refilled at once; the prompt yields the first token.

    >>> live_rows([3, 2, 2], slots=2)
    [2, 2]
    """
    waiting, live, rows = [length - 1 for length in reversed(lengths)], [], []
    while waiting or live:
        while waiting and len(live) < slots:
            live.append(waiting.pop())
        rows.append(len(live))
        live = [left - 1 for left in live if left > 1]
    return rows
