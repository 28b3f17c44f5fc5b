"""How fast and how exact a way to multiply is, measured so that a busy machine says the same."""

import functools
import time
from collections.abc import Callable

import torch
from torch import Tensor

Product = Callable[[Tensor, Tensor], Tensor]

SIZE = 384
LARGEST_ERROR = 1e-5
"""Relative to a float64 product: what true float32 keeps and a hidden bfloat16 does not."""
LARGEST_BFLOAT16_ERROR = 2e-2
"""The same for bfloat16, whose numbers have 8 bits."""
FASTER = 1.3
"""How much faster a backend or a precision must be to be taken instead of the default."""
MARGIN = 1.15
"""So near to that (as a factor) a measurement decides nothing and is made again."""
ROUNDS, BATCHES = 25, 12


def single(precision: str) -> Product:
    """float32's product at this precision of torch's."""

    def multiply(a: Tensor, b: Tensor) -> Tensor:
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision(precision)
        try:
            return a @ b
        finally:
            torch.set_float32_matmul_precision(before)

    return multiply


def half() -> Product:
    """bfloat16's product; an operand is rounded once for many products, as weights are."""
    rounded = functools.cache(Tensor.bfloat16)
    return lambda a, b: rounded(a) @ rounded(b)


def is_single(precision: str) -> bool:
    """Whether float32's product at this precision is a true float32 on this processor."""
    return _error(single(precision)) < LARGEST_ERROR


def is_half() -> bool:
    """Whether bfloat16's product is as exact as its numbers allow."""
    return _error(half()) < LARGEST_BFLOAT16_ERROR


def compare_precisions() -> tuple[str, str]:
    """`medium` or `highest` for float32's products, and why."""
    a, b = _operands(SIZE)
    highest, medium = single("highest"), single("medium")
    if torch.equal(highest(a, b), medium(a, b)):
        return "highest", "medium is the same product, to the bit"
    if not is_single("medium"):
        return "highest", "medium's products err more than float32's"
    return _faster(("highest", highest), ("medium", medium), SIZE)


def compare_dtypes() -> tuple[str, str]:
    """`bfloat16` or `float32`, as its products are set now, and why."""
    if not is_half():
        return "float32", "bfloat16's products err too much"
    return _faster(("float32", torch.matmul), ("bfloat16", half()), 2 * SIZE)


def _faster(usual: tuple[str, Product], other: tuple[str, Product], size: int) -> tuple[str, str]:
    """The other way's name where two batches of measurements in a row say that it is much faster,
    the usual one's where two say that it is not, or no two in a row agree.
    """
    a, b = _operands(size)
    before: bool | None = None
    for _ in range(BATCHES):
        ratio = _ratio(usual[1], other[1], a, b)
        verdict = None if FASTER / MARGIN < ratio < FASTER * MARGIN else ratio > FASTER
        if verdict is not None and verdict == before:
            name = other[0] if verdict else usual[0]
            return name, f"{other[0]} is {ratio:.2g} times as fast as {usual[0]}"
        before = verdict
    return usual[0], f"no clear difference from {other[0]} in {BATCHES} measurements"


def _ratio(usual: Product, other: Product, a: Tensor, b: Tensor) -> float:
    """How many times as fast the other way is: least times of many short rounds, interleaved, so
    that what disturbs one disturbs both, and no round that was disturbed counts.
    """
    least = [float("inf"), float("inf")]
    for number in range(ROUNDS):
        for index, way in enumerate((usual, other)):
            start = time.perf_counter()
            way(a, b)
            least[index] = min(least[index], time.perf_counter() - start)
        if number >= 2 and least[1] > 4 * least[0]:
            break  # far from faster: an emulated product takes half a second
    return least[0] / least[1]


def _operands(size: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(size, size, generator=generator) for _ in range(2))
    return a, b


def _error(way: Product) -> float:
    """Of a product, relative to the largest number in it."""
    a, b = _operands(SIZE)
    exact = a.double() @ b.double()
    return ((way(a, b).double() - exact).abs().max() / exact.abs().max()).item()
