"""How long an intake takes and how much memory, with its ten steps on; and how that grows.

    python benchmarks/intake.py --prompts 10000 100000 1000000 --near 10000 100000

Prompts are made from sentences of the prose that ships: about 700 characters on average, most of
them short; customers of whom few write much, one in five a duplicate (half of them equal but for
case and blanks, half with another end), one in twenty with an e-mail address or a telephone number,
one in twenty-five in another language. Each size is taken in by a process of its own.
"""

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

from instructgpt.run.processor import this_processor
from instructgpt.run.tuning import available_cores

CHILD = """
import json, resource, sys, time
from instructgpt.intake.rules import Rules
from instructgpt.intake.running import intake
from instructgpt.store import Store

begun = time.perf_counter()
with Store.open("sqlite:///" + sys.argv[2]) as store:
    _, account = intake(store, [sys.argv[1]], Rules(near_duplicates=float(sys.argv[3])))
found = account.as_json()
found["seconds"] = round(time.perf_counter() - begun, 1)
both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
found["cpu_seconds"] = [round(one.ru_utime + one.ru_stime, 1) for one in both]
found["peak_megabytes"] = [round(one.ru_maxrss * 1024 / 1e6) for one in both]
print(json.dumps(found))
"""
ELSEWHERE = (
    "Schreibe bitte einen kurzen Text über das Wetter in den Bergen und warum es oft umschlägt.",
    "Explique en quelques phrases comment on fait du pain avec de la farine, de l'eau et du sel.",
    "Escribe una carta breve a una amiga que vive lejos y que no has visto desde hace años.",
)


def sentences() -> list[str]:
    """Those of the prose that ships."""
    from instructgpt.data import embedded

    prose = Path(embedded.__path__[0], "prose.txt").read_text(encoding="utf-8")
    return [" ".join(one.split()) for one in prose.split(".") if 20 < len(one) < 300]


def prompts(count: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """So many rows."""
    rng, known = Random(seed), sentences()
    words = sorted({word for one in known for word in one.split()})
    recent: list[str] = []
    for number in range(count):
        kind = rng.random()
        if recent and kind < 0.1:
            text = f"  {rng.choice(recent).upper()} \n"
        elif recent and kind < 0.2:
            text = f"{rng.choice(recent)} {rng.choice(words)}."
        else:
            text = _fresh(rng, known, words)
            if len(recent) < 20_000:
                recent.append(text)
            else:
                recent[rng.randrange(20_000)] = text
        user = int(count**0.7 * rng.random() ** 3)
        yield {
            "id": f"r{number:07}",
            "prompt": text,
            "consent": True,
            "user_id": f"u{user}",
            "source": "labeler" if rng.random() < 0.3 else "customer",
            "created": f"202{rng.randrange(6)}-{rng.randrange(1, 13):02}-{rng.randrange(1, 29):02}",
        }


def _fresh(rng: Random, known: list[str], words: list[str]) -> str:
    """A text of its own: sentences with some words changed."""
    length = min(6000, math.exp(rng.gauss(6, 1.1)))
    parts = [f"{rng.choice(words).capitalize()} {rng.choice(words)} {rng.choice(words)}:"]
    size = len(parts[0])
    while size < length:
        part = rng.choice(known).split()
        part[rng.randrange(len(part))] = rng.choice(words)
        parts.append(" ".join(part) + ".")
        size += len(parts[-1]) + 1
    extra = rng.random()
    if extra < 0.03:
        parts.append(f"Write to {rng.choice(words).lower()}{rng.randrange(999)}@mail.org.")
    elif extra < 0.05:
        parts.append(f"Call me at +49 30 {rng.randrange(10**6, 10**7)}.")
    elif extra < 0.09:
        parts = [rng.choice(ELSEWHERE), rng.choice(words)]
    return " ".join(parts)


def measured(count: int, near: float, folder: Path) -> dict[str, Any]:
    """One intake into a new store."""
    source, db = folder / "prompts.jsonl", folder / "store.db"
    characters = 0
    with source.open("w", encoding="utf-8") as file:
        for row in prompts(count):
            characters += len(row["prompt"])
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    done = subprocess.run(
        [sys.executable, "-c", CHILD, source, db, str(near)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout)
    found["dropped"] = {step["step"]: step["dropped"] for step in found.pop("steps")}
    sizes = {"mean_characters": round(characters / count), "megabytes": _mb(source)}
    sizes["store_megabytes"] = sum(_mb(path) for path in folder.glob("store.db*"))
    for path in folder.iterdir():
        path.unlink()
    return {"prompts": count, "near_duplicates": near, **sizes, **found}


def _mb(path: Path) -> int:
    return round(path.stat().st_size / 1e6)


def fitted(points: Sequence[tuple[float, float]]) -> dict[str, float]:
    """Seconds as a constant and so many for each prompt, by least squares of relative errors; the
    exponent of the growth from the smallest to the largest; the largest relative error.
    """
    weights = [(1 / y, x / y) for x, y in points]
    a, b, c = (sum(p[i] * p[j] for p in weights) for i, j in ((0, 0), (0, 1), (1, 1)))
    d, e = (sum(p[i] for p in weights) for i in (0, 1))
    slope = (e * a - d * b) / (a * c - b * b)
    constant = (d - b * slope) / a
    (x0, y0), (x1, y1) = min(points), max(points)
    return {
        "seconds": round(constant, 2),
        "microseconds_per_prompt": round(slope * 1e6, 1),
        "exponent": round(math.log(y1 / y0) / math.log(x1 / x0), 3),
        "largest_error": round(max(abs(constant + slope * x - y) / y for x, y in points), 3),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--prompts", type=int, nargs="*", default=[10_000, 100_000])
    parser.add_argument(
        "--near", type=int, nargs="*", default=[], help="the same, near duplicates on"
    )
    parser.add_argument("--folder", type=Path, help="where stores are made (default: temporary)")
    parser.add_argument("--out", type=Path, help="keep the result here")
    arguments = parser.parse_args()
    cores = available_cores()
    found: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d"),
        "python": sys.version.split()[0],
        "processor": this_processor().name,
        "cores": cores,
        "load_before": round(os.getloadavg()[0], 1),
        "runs": [],
    }
    for near, counts in ((0.0, arguments.prompts), (0.8, arguments.near)):
        for count in counts:
            with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
                found["runs"].append(measured(count, near, Path(folder)))
            print(json.dumps(found["runs"][-1]), file=sys.stderr, flush=True)
        points = [
            (one["prompts"], one["seconds"])
            for one in found["runs"]
            if one["near_duplicates"] == near
        ]
        work = [
            (one["prompts"], sum(one["cpu_seconds"]))
            for one in found["runs"]
            if one["near_duplicates"] == near
        ]
        if len(points) > 1:
            name = "_near" if near else ""
            found |= {f"fit{name}": fitted(points), f"fit_cpu{name}": fitted(work)}
    found["own_peak_megabytes"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)
    print(json.dumps(found, indent=2))
    if arguments.out:
        arguments.out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
