"""Results in words, for a terminal of 80 columns."""

from collections.abc import Iterator, Mapping
from typing import Any


def told(results: Mapping[str, Any]) -> str:
    """The figures of `results.json`: a block per model, a line per figure.

    A task that could not be measured has one line, which says why.
    """
    return "\n\n".join(
        "\n".join([model, *(line for name, one in tasks.items() for line in _task(name, one))])
        for model, tasks in results["models"].items()
    )


def _task(name: str, task: Mapping[str, Any]) -> Iterator[str]:
    name = f"{name} ({task['shots']} shots)" if task["shots"] else name
    measured = [figure for figure in task["figures"] if figure["status"] == "measured"]
    for figure in measured:
        what = f"{figure['metric']}, {figure['prompt']}" if figure["prompt"] else figure["metric"]
        yield f"  {name + ': ' + what:<46} {_interval(figure)}"
    said: dict[str, list[str]] = {}
    for figure in task["figures"]:
        if figure["status"] != "measured":
            said.setdefault(figure["reason"], []).append(figure["metric"])
    for reason, metrics in said.items():
        what = f"{', '.join(dict.fromkeys(metrics))} " if measured else ""
        yield f"  {name}: {what}not measured ({reason})"


def _interval(figure: Mapping[str, Any]) -> str:
    estimate, low, high = (_number(figure[key]) for key in ("estimate", "low", "high"))
    return f"{estimate} [{low}, {high}], n = {figure['n']:g}"


def _number(value: float | None) -> str:
    if value is None:
        return "?"
    return f"{value:.3f}" if abs(value) < 2 else f"{value:.2f}"
