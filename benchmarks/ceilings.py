"""What a device can do at best: a large matrix product, and a large copy.

    python benchmarks/ceilings.py --device cuda

Utilization of the other programs' `gflop_per_second` is over the product's rate here or the maker's
figure; the line has both where the maker's is known.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from measure import emit, machine, spread, synchronize

SIZE = {"cpu": 512, "cuda": 8192}
REPEATS = 20
STATED = {"H100": 989e3, "H200": 989e3, "A100": 312e3}
"""Dense bfloat16 GFLOP/s in the data sheets of the SXM cards."""


def rates(work: Callable[[], object], amount: float, device: torch.device) -> dict[str, float]:
    """`amount` per second of `work`, after three warm-ups."""
    found = []
    for number in range(REPEATS + 3):
        synchronize(device)
        start = time.perf_counter()
        work()
        synchronize(device)
        if number >= 3:
            found.append(amount / (time.perf_counter() - start))
    return spread(found)


def measure(device: torch.device, dtype: str) -> dict[str, Any]:
    """GFLOP/s of a square product of random numbers, and GB/s of a copy, read and written."""
    size = SIZE[device.type]
    a, b = (torch.randn(size, size, device=device, dtype=getattr(torch, dtype)) for _ in range(2))
    block = torch.empty(size * size, 4, device=device)
    half = len(block) // 2
    line: dict[str, Any] = {
        "gflop_per_second": rates(lambda: a @ b, 2e-9 * size**3, device),
        "copied_gb_per_second": rates(
            lambda: block[:half].copy_(block[half:]), block.nbytes / 1e9, device
        ),
    }
    if device.type == "cuda" and dtype == "bfloat16":
        name = torch.cuda.get_device_name(device)
        stated = [rate for card, rate in STATED.items() if card in name]
        line["stated_gflop_per_second"] = stated[0] if stated else None
    return line


if __name__ == "__main__":
    options = argparse.ArgumentParser(description="Measures a device's ceilings.")
    options.add_argument("--device", default="cpu")
    options.add_argument("--dtype", nargs="+", default=["bfloat16", "float32"])
    options.add_argument("--threads", type=int, default=torch.get_num_threads())
    options.add_argument("--out", type=Path, help="add the lines to this file")
    arguments = options.parse_args()
    torch.set_num_threads(arguments.threads)
    for dtype in arguments.dtype:
        emit(
            {
                "benchmark": "ceilings",
                "dtype": dtype,
                **machine(arguments.device, arguments.threads),
                **measure(torch.device(arguments.device), dtype),
            },
            arguments.out,
        )
