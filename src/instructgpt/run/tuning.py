"""Hardware choices, made once and kept in `run.json`: float sums depend on them.

On some CPUs torch's default float32 matmul is several times slower than the other library it ships,
and glibc hands every large tensor back to the kernel. Both are measured or set here; a resumed run
takes over the first start's choice.
"""

import ctypes
import os
import statistics
import sys
import time
from collections.abc import Mapping
from typing import Any

import torch
from torch.utils import deterministic

from instructgpt.errors import UserError

SIZE = 384
FASTER = 1.3
"""How much faster a backend must be to be taken instead of the default."""
LARGEST_ERROR = 1e-5
"""Relative to a float64 product: what true float32 keeps and a hidden bfloat16 does not."""


def choose(
    threads: int, kept: Mapping[str, Any] | None, where: str, *, processes: int = 1
) -> dict[str, Any]:
    """Set threads, matmul backend and allocator, measured or as `kept`.

    Args:
        threads: as configured; 0 for all cores.
        processes: how many share this machine's cores.
        kept: the choices in `run.json`, if the run is being continued.
        where: names the run in an error.

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
    keep_freed_memory()
    matmul = kept["matmul"] if kept else faster_matmul()
    torch.set_float32_matmul_precision(matmul)
    return {"threads": count, "matmul": matmul}


def available_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def faster_matmul() -> str:
    """`medium` where it is a faster true float32 on this CPU, else torch's default `highest`.

    On x86 without bfloat16 matrix units, `medium` only moves float32 products from MKL to oneDNN.
    Elsewhere it may round to bfloat16, so the error is measured as well; on a GPU it always rounds.
    """
    if torch.cuda.is_available():
        return "highest"
    before = torch.get_float32_matmul_precision()
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(SIZE, SIZE, generator=generator) for _ in range(2))
    exact = a.double() @ b.double()
    seconds: dict[str, list[float]] = {"highest": [], "medium": []}
    errors: dict[str, float] = {}
    for _ in range(5):  # interleaved, so that a slow moment hits both
        for precision, times in seconds.items():
            torch.set_float32_matmul_precision(precision)
            start = time.perf_counter()
            product = a @ b
            times.append(time.perf_counter() - start)
            errors[precision] = ((product - exact).abs().max() / exact.abs().max()).item()
    torch.set_float32_matmul_precision(before)
    ratio = statistics.median(seconds["highest"]) / statistics.median(seconds["medium"])
    return "medium" if ratio > FASTER and errors["medium"] < LARGEST_ERROR else "highest"


def keep_freed_memory() -> None:
    """glibc: keep freed memory instead of unmapping each large tensor."""
    if sys.platform != "linux":
        return
    try:
        libc = ctypes.CDLL("libc.so.6")
        for option, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 2**26)):
            libc.mallopt(option, value)
    except (OSError, AttributeError):  # another C library: its allocator is left alone
        return


M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
