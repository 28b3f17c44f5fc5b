"""The table at the end of a pipeline in the terminal."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from instructgpt.evaluation.stats import Interval
from instructgpt.report.read.load import load
from instructgpt.run.progress import say


def print_summary(out: Path) -> None:
    """What came out, in a dozen lines; the report has the rest."""
    rows = list(summary(out))
    width = max((len(name) for name, _ in rows), default=0)
    for name, value in rows:
        say(f"  {name:<{width}}  {value}")


def summary(out: Path) -> Iterator[tuple[str, str]]:
    """Names and values, as far as the stages of the pipeline in `out` wrote them."""
    runs = {run.name: run for run in load(out).runs}
    evaluation = {name: run.evaluation for name, run in runs.items()}
    for name, found in evaluation.items():
        for group, labelers in found.get("groups", {}).items():
            if labelers.get("agreement"):
                yield f"{name}: {group} labelers agree", _share(labelers["agreement"])
    for name, found in evaluation.items():
        if "accuracy" in found:
            yield f"{name}: accuracy on held-out pairs", _share(found["accuracy"])
    for name, run in runs.items():
        scored = [row for row in run.metrics if "objective/kl" in row]
        if scored:
            first, last = scored[0]["objective/scores"], scored[-1]["objective/scores"]
            kl = scored[-1]["objective/kl"]
            yield f"{name}: score; KL from SFT", f"{first:.2f} → {last:.2f}; {kl:.1f} nats"
    yield from _win_rates(evaluation.get("evaluate", {}))
    if peaks := [peak for run in runs.values() if (peak := run.peak_memory)]:
        yield "peak memory", f"{max(peaks) / 1e9:.1f} GB"


def _win_rates(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if "win_rate" not in found:
        return
    a, b = found["a"], found["b"]
    yield "judged by", found["judge"]
    yield f"{a} preferred to {b}", _share(found["win_rate"])
    for label, rate in {**found.get("others", {}), **found["controls"]}.items():
        yield f"{label} preferred to {b}", _share(rate)
    for label, loss in found.get("prose_loss", {}).items():
        yield f"{label}: loss on held-out prose", f"{loss:.3f} nats per token"


def _share(interval: dict[str, Any]) -> str:
    return str(Interval(**interval))
