"""Hardware choices, made once and kept in `run.json`: float sums depend on them.

On some CPUs torch's default float32 matmul is several times slower than the other library it ships,
and glibc hands every large tensor back to the kernel. Both are measured or set here; a resumed run
takes over the first start's choice.
"""

import ctypes
import functools
import logging
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils import deterministic

from instructgpt.errors import UserError

SIZE = 384
FASTER = 1.3
"""How much faster a backend or a precision must be to be taken instead of the default."""
LARGEST_ERROR = 1e-5
"""Relative to a float64 product: what true float32 keeps and a hidden bfloat16 does not."""
LARGEST_BFLOAT16_ERROR = 2e-2
"""The same for bfloat16, whose numbers have 8 bits."""

DEFAULT_ALLOCATOR = "default"

log = logging.getLogger(__name__)
_chosen: dict[str, str] = {}
"""What this process has chosen: its hardware stays the same, a probe may not."""


def choose(
    threads: int,
    kept: Mapping[str, Any] | None,
    where: str,
    *,
    processes: int = 1,
    device: str = "auto",
) -> dict[str, Any]:
    """Set threads, matmul backend, allocator and what `dtype: auto` means, measured or as `kept`.

    Args:
        threads: as configured; 0 for all cores.
        processes: how many share this machine's cores.
        kept: the choices in `run.json`, if the run is being continued.
        where: names the run in an error.
        device: as configured: `cpu`, `cuda`, `cuda:N` or `auto`.

    Returns:
        The choices, for `run.json`.

    Raises:
        UserError: `threads` contradicts the first start, which decides how float sums round.
    """
    if kept and threads and threads != kept["threads"]:
        raise UserError(
            f"{where} was started with {kept['threads']} threads; continue with --threads "
            f"{kept['threads']}"
        )
    count = kept["threads"] if kept else threads or max(1, available_cores() // processes)
    torch.set_num_threads(count)
    torch.use_deterministic_algorithms(True, warn_only=True)
    # It would fill every new tensor first: 7 % of a step. Nothing here reads what it did not write.
    deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    allocator = keep_freed_memory()
    known = {**_chosen, **(kept or {})}
    matmul = known.get("matmul") or faster_matmul(device)
    torch.set_float32_matmul_precision(matmul)
    dtype = known.get("dtype") or faster_dtype(device)
    _chosen.update(matmul=matmul, dtype=dtype)
    chosen = {"threads": count, "matmul": matmul, "dtype": dtype, "allocator": allocator}
    log.info("chosen for this hardware: %s", chosen)
    return chosen


def forward_dtype(configured: str) -> str:
    """`float32` or `bfloat16`: as configured, or where that is `auto` the faster one here."""
    if configured != "auto":
        return configured
    if "dtype" not in _chosen:
        _chosen["dtype"] = faster_dtype()
    return _chosen["dtype"]


def available_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def faster_matmul(device: str = "auto") -> str:
    """`medium` where it is a faster true float32 on this CPU, else torch's default `highest`.

    On x86 without bfloat16 matrix units, `medium` only moves float32 products from MKL to oneDNN.
    Elsewhere it may round to bfloat16, so the error is measured as well; on a GPU it always rounds.
    """
    if _is_gpu(device):
        return "highest"
    before = torch.get_float32_matmul_precision()

    def product(precision: str) -> Callable[[Tensor, Tensor], Tensor]:
        def multiply(a: Tensor, b: Tensor) -> Tensor:
            torch.set_float32_matmul_precision(precision)
            return a @ b

        return multiply

    ratio, error = _compare(product("highest"), product("medium"))
    torch.set_float32_matmul_precision(before)
    return "medium" if ratio > FASTER and error < LARGEST_ERROR else "highest"


def faster_dtype(device: str = "auto") -> str:
    """`bfloat16` where its products are faster than float32's as they are set now, else `float32`:
    a processor without bfloat16 units takes several times as long with it.
    """
    if _is_gpu(device):
        has_units = torch.cuda.is_bf16_supported(including_emulation=False)
        return "bfloat16" if has_units else "float32"

    rounded = functools.cache(Tensor.bfloat16)  # weights are rounded once for many products

    def half(a: Tensor, b: Tensor) -> Tensor:
        return rounded(a) @ rounded(b)

    ratio, error = _compare(torch.matmul, half, size=2 * SIZE)
    return "bfloat16" if ratio > FASTER and error < LARGEST_BFLOAT16_ERROR else "float32"


def _is_gpu(device: str) -> bool:
    return device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())


def _compare(
    usual: Callable[[Tensor, Tensor], Tensor],
    other: Callable[[Tensor, Tensor], Tensor],
    *,
    size: int = SIZE,
) -> tuple[float, float]:
    """How many times as fast the other way to multiply is, and its relative error."""
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(size, size, generator=generator) for _ in range(2))
    exact = a.double() @ b.double()
    seconds: dict[Any, list[float]] = {usual: [], other: []}
    for _ in range(7):  # interleaved, so that a slow moment hits both
        for way, times in seconds.items():
            start = time.perf_counter()
            product = way(a, b)
            times.append(time.perf_counter() - start)
    wrong = (product.double() - exact).abs().max()  # the last product is the other's
    error = (wrong / exact.abs().max()).item()
    return statistics.median(seconds[usual]) / statistics.median(seconds[other]), error


def keep_freed_memory() -> str:
    """glibc: keep freed memory instead of unmapping each large tensor; says what came of it."""
    if sys.platform != "linux":
        return DEFAULT_ALLOCATOR
    try:
        libc = ctypes.CDLL("libc.so.6")
        for option, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, NEVER), (M_TOP_PAD, 2**26)):
            if not libc.mallopt(option, value):
                return DEFAULT_ALLOCATOR
    except (OSError, AttributeError):  # another C library: its allocator is left alone
        return DEFAULT_ALLOCATOR
    return "keeps freed memory"


M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
NEVER = -1
