"""Runs `instructgpt quickstart` for several seeds and prints what each reached, a JSON line a seed.

    python benchmarks/quickstart.py --out runs/seeds --seeds 0 1 2

A seed that is already finished in `--out` is only read. Nothing else should keep the cores busy if
the seconds are to mean something.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from instructgpt.report.read.load import load


def main() -> None:
    """Run, then print."""
    parser = argparse.ArgumentParser(description="Runs the quickstart for several seeds.")
    parser.add_argument("--out", type=Path, required=True, help="a folder for the runs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("flags", nargs="*", help="more for the command, after --")
    arguments = parser.parse_args()
    for seed in arguments.seeds:
        out = arguments.out / f"seed-{seed}"
        command = [sys.executable, "-m", "instructgpt", "quickstart", "--out", str(out)]
        subprocess.run([*command, "--seed", str(seed), *arguments.flags], check=True)
        print(json.dumps({"seed": seed, **figures(out)}), flush=True)


def figures(out: Path) -> dict[str, Any]:
    """What a finished quickstart in `out` reached."""
    work = load(out)
    runs = {run.name: run for run in work.runs}
    rank, reward, evaluate = (runs[name].evaluation for name in ("rank", "reward", "evaluate"))
    iterations = [step for step in runs["ppo"].metrics if "objective/kl" in step]
    seconds = {stage.name: stage.seconds or 0.0 for stage in work.stages}
    return {
        "seconds": seconds,
        "total_seconds": sum(seconds.values()),
        "peak_bytes": max(peak for run in runs.values() if (peak := run.peak_memory)),
        "agreement": {name: group["agreement"] for name, group in rank["groups"].items()},
        "reward_accuracy": reward["accuracy"],
        "score": [iterations[0]["objective/scores"], iterations[-1]["objective/scores"]],
        "kl": iterations[-1]["objective/kl"],
        "win_rate": evaluate["win_rate"],
        "greedy": next(iter(evaluate["controls"].values())),
        "others": evaluate["others"],
        "quality": evaluate["scores"],
        "prose_loss": evaluate["prose_loss"],
        "texts": evaluate["texts"],
    }


if __name__ == "__main__":
    main()
