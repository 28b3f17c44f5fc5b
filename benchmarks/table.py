"""Prints what the comparisons found as the Markdown table of README.md.

    python benchmarks/table.py benchmarks/results/cpu.jsonl

A line of the file is a row.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workload import SHAPES

FLOOR = "floor"
SETTINGS = {
    "rollout": "rollout, {slots} slots",
    "reward": "reward step, K = {answers}",
    "sft": "SFT step, lengths of {lengths}, TRL's padded by {micro_batch}",
    "ppo": "PPO iteration, {answers} answers",
}
HEAD = [
    "what",
    "model",
    "dtype",
    "peers",
    "ours, s",
    "seconds over ours",
    "share of floor",
    "peak GB",
]


def row(line: Mapping[str, Any]) -> list[str]:
    """A comparison's cells: medians, least and most over the rounds in parentheses."""
    sides = line["sides"]
    ours, *others = [name for name in sides if name != FLOOR]
    ratios = line[f"seconds_over_{ours}"]
    found = [f"{name} {ratio(ratios[name])}" for name in others]
    peaks = [f"{name} {sides[name]['peak_bytes'] / 1e9:.1f}" for name in (ours, *others)]
    seconds = sides[ours]["seconds"]
    return [
        SETTINGS[line["benchmark"]].format(**line),
        line["model"],
        line["dtype"],
        peers(line),
        f"{seconds['median']:.3g} ({seconds['min']:.3g}–{seconds['max']:.3g})",
        "; ".join(found),
        f"{100 * ratios[FLOOR]['median']:.0f} %" if FLOOR in ratios else "",
        "; ".join(peaks),
    ]


def peers(line: Mapping[str, Any]) -> str:
    """How peers were set up, and the version of one that changes from release to release.

    >>> peers({"peers": "tuned", "sides": {"trl": {}}, "versions": {"trl": "1.12.0"}})
    'tuned, TRL 1.12'
    """
    if not any(name.startswith("trl") for name in line["sides"]):
        return line["peers"]
    return f"{line['peers']}, TRL {line['versions']['trl'].removesuffix('.0')}"


def ratio(times: Mapping[str, float]) -> str:
    """How many times as long a side took.

    >>> ratio({"median": 2.2, "min": 2.0, "max": 25.04})
    '**2.2** (2–25)'
    """
    return f"**{times['median']:.3g}** ({times['min']:.2g}–{times['max']:.2g})"


def table(lines: list[Mapping[str, Any]]) -> str:
    """All comparisons, in the order of the stages; random weights come after real ones."""
    order = list(SETTINGS)

    def place(line: Mapping[str, Any]) -> tuple[Any, ...]:
        return (
            line["model"] in SHAPES,
            order.index(line["benchmark"]),
            line["dtype"] != "float32",
            line["peers"] != "tuned",
            line.get("micro_batch", 0),
        )

    kept = sorted((line for line in lines if line["benchmark"] in order), key=place)
    rows = [HEAD, ["---"] * len(HEAD), *map(row, kept)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description="Prints results as a table.")
    options.add_argument("results", type=Path, nargs="+", help="files of JSON lines")
    files = options.parse_args().results
    print(table([json.loads(text) for file in files for text in file.open()]), end="")
