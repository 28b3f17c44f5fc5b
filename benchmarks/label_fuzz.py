"""A hundred thousand requests of any kind at the labelers' app: none fails, hangs or becomes a part
of a page.

    python -m benchmarks.label_fuzz --seed 1 --json benchmarks/results/label_fuzz.json
"""

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.label.app.fuzz import Fuzzed, fuzz


def main() -> None:
    """Ask, and keep what came of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, Fuzzed(Path(folder)) as fuzzed:
        for number in range(0, arguments.requests, 5_000):
            fuzz(fuzzed, min(5_000, arguments.requests - number), arguments.seed + number)
            print(f"{number + 5_000:,}", dict(fuzzed.counts), file=sys.stderr, flush=True)
        result = {
            "requests": fuzzed.counts.total(),
            "seed": arguments.seed,
            "failures": sum(n for status, n in fuzzed.counts.items() if status >= 500),
            "statuses": dict(sorted(fuzzed.counts.items())),
            "slowest_seconds": round(fuzzed.slowest, 3),
            "seconds": round(time.monotonic() - begun),
        }
    print(json.dumps(result))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
