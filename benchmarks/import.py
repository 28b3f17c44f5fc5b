"""How much memory an import takes, and how fast it is: generated JSON lines of several sizes.

Each size is imported in a process of its own, whose peak is measured. Prints one JSON object.

    python benchmarks/import.py --megabytes 200 1000 --rankings 100000 --out results.json
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Any

WORDS = "the river bread sings under seven quiet lamps and nobody counts them again today".split()
CHILD = """
import json, resource, sys, time
from instructgpt.data.importing.run import import_files
started = time.perf_counter()
found = import_files(sys.argv[1:2], sys.argv[2])
print(json.dumps({
    "rows": found.accounts[0].rows, "kept": found.accounts[0].kept,
    "format": found.accounts[0].format, "seconds": round(time.perf_counter() - started, 1),
    "processor_seconds": round(time.process_time(), 1),
    "peak_megabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6),
}))
"""


def text(rng: Random, words: int) -> str:
    """So many words."""
    return " ".join(rng.choices(WORDS, k=words))


def pair(rng: Random, number: int) -> dict[str, Any]:
    """A pair as TRL has it."""
    return {
        "prompt": f"{number}: {text(rng, 30)}?",
        "chosen": text(rng, 80),
        "rejected": f"{text(rng, 79)}.",
    }


def ranking(rng: Random, number: int) -> dict[str, Any]:
    """A ranking of four as UltraFeedback has it."""
    completions = [
        {"model": f"m{place}", "response": f"{place} {text(rng, 60)}", "overall_score": place}
        for place in range(4)
    ]
    return {"instruction": f"{number}: {text(rng, 20)}?", "completions": completions}


def write(
    path: Path, make: Any, *, size: float = float("inf"), count: float = float("inf")
) -> None:
    """Rows until there are so many bytes or rows."""
    rng, written, number = Random(0), 0, 0
    with path.open("wb") as file:
        while written < size and number < count:
            written += file.write(json.dumps(make(rng, number)).encode() + b"\n")
            number += 1


def measured(path: Path, out: Path) -> dict[str, Any]:
    """An import of one file in a process of its own."""
    size = path.stat().st_size
    done = subprocess.run(
        [sys.executable, "-c", CHILD, path, out], capture_output=True, text=True, check=True
    )
    return {"megabytes": round(size / 1e6), **json.loads(done.stdout)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--megabytes", type=float, nargs="+", default=[200, 1000])
    parser.add_argument("--rankings", type=int, default=100_000)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    found: dict[str, Any] = {"date": time.strftime("%Y-%m-%d"), "python": sys.version.split()[0]}
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder, "rows.jsonl"), Path(folder, "out.jsonl")
        for megabytes in arguments.megabytes:
            write(source, pair, size=megabytes * 1e6)
            found[f"pairs_{megabytes:g}"] = measured(source, out)
        write(source, ranking, count=arguments.rankings)
        found["rankings"] = measured(source, out)
    found["own_peak_megabytes"] = round(
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    )
    print(json.dumps(found, indent=2))
    if arguments.out:
        arguments.out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
