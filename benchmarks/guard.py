"""Guards our speed: how much faster than the plain way each stage is, against what was accepted.

    python benchmarks/guard.py            # exit status 1 if a stage has lost 15 % beyond noise
    python benchmarks/guard.py --accept   # keep the ratios of this machine from now on

On a machine of which nothing is accepted, no stage may be slower than the plain way.
A small model, both ways in one process, turn by turn: times drift on a busy machine, ratios hardly.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from instructgpt.run.tuning import available_cores, faster_matmul
from measure import Facts, emit, machine, spread, synchronize, take_turns
from pairs import STAGES, Ways

RESULTS = Path(__file__).parent / "results" / "guard.json"
ALLOWED = 0.85
"""Of the accepted ratio."""
ALLOWED_UNKNOWN = 1.0
"""The least ratio on a machine for which none is accepted: no stage is slower than the plain way.
"""
ATTEMPTS = 3


def measure(ways: Ways, arguments: argparse.Namespace) -> list[float]:
    """How many times as fast we are, in each round."""

    def timed(work: Callable[[], object]) -> Facts:
        synchronize(torch.device(arguments.device))
        start = time.perf_counter()
        work()
        synchronize(torch.device(arguments.device))
        return {"seconds": time.perf_counter() - start}

    ours, plain_way = ways
    rounds = take_turns(
        {"ours": lambda: timed(ours), "plain": lambda: timed(plain_way)}, arguments.rounds
    )
    return [
        theirs["seconds"] / own["seconds"]
        for own, theirs in zip(rounds["ours"], rounds["plain"], strict=True)
    ]


def is_slower(ratios: list[float], accepted: float | None) -> bool:
    """Whether even the upper quartile of the rounds falls short."""
    least = ALLOWED_UNKNOWN if accepted is None else ALLOWED * accepted
    return statistics.quantiles(ratios, n=4, method="inclusive")[2] < least


def main() -> int:
    """Measure every stage, again if it seems slower; compare, or accept."""
    options = argparse.ArgumentParser(description="Guards the speed of each stage.")
    options.add_argument("--accept", action="store_true", help="write what is measured")
    options.add_argument("--results", type=Path, default=RESULTS, help="the accepted ratios")
    options.add_argument("--shape", default="small")
    options.add_argument("--device", default="cpu")
    options.add_argument("--threads", type=int, default=available_cores())
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--out", type=Path, help="add the line to this file")
    arguments = options.parse_args()
    arguments.model, arguments.matmul = "", faster_matmul(arguments.device).value

    kept: dict[str, dict[str, float]] = {}
    if arguments.results.exists():
        kept = json.loads(arguments.results.read_text())
    where = machine(arguments.device, arguments.threads)
    key = f"{where['processor']}, {arguments.threads} threads, {arguments.shape}"
    accepted = {} if arguments.accept else kept.get(key, {})
    line: dict[str, Any] = {"benchmark": "guard", "shape": arguments.shape, **where, "stages": {}}
    slower = []
    for name, make in STAGES.items():
        ways = make(arguments)
        ratios: list[float] = []
        for _ in range(ATTEMPTS):
            ratios = measure(ways, arguments)
            if arguments.accept or not is_slower(ratios, accepted.get(name)):
                break
        else:
            slower.append(name)
        line["stages"][name] = spread(ratios) | {"accepted": accepted.get(name)}
    emit(line | {"slower": slower}, arguments.out)
    if arguments.accept:
        kept[key] = {name: found["median"] for name, found in line["stages"].items()}
        arguments.results.parent.mkdir(exist_ok=True)
        arguments.results.write_text(json.dumps(kept, indent=2) + "\n")
    elif not accepted:
        print(f"{key}: not a known machine; --accept keeps these ratios", file=sys.stderr)
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
