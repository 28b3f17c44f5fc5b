"""What a dry run prints: one aligned block per stage, readable at 80 columns."""

import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from instructgpt.run.directory import read_lines
from instructgpt.run.pace import duration

WIDTH = 80
Row = tuple[str, str]
"""A name and what there is to say of it."""


class Found(Protocol):
    """What a stage's look found."""

    @property
    def steps(self) -> int:
        """How many steps it takes; 0 where none are timed."""
        ...

    def outline(self) -> Iterable[Row]:
        """What there is to do."""
        ...


def of_stage(stage: str, out: str | Path, found: Found) -> str:
    """The block of a stage: what was found, and the time it takes where that is known."""
    rows = list(found.outline())
    if left := time_left(Path(out), found.steps):
        rows.append(("time", left))
    return block(f"{stage} -> {out}", rows)


def time_left(folder: Path, steps: int) -> str:
    """How long the steps that are left take at the pace of those in `timings.jsonl`; the empty
    string where none is.
    """
    lines = read_lines(folder / "timings.jsonl")
    if not (steps and lines):
        return ""
    spent = sum(
        value for line in lines for name, value in line.items() if name.startswith("timing/")
    )
    left = max(0, steps - lines[-1]["step"])
    return f"{duration(spent / len(lines) * left)} for the {counted(left, 'step')} left"


def block(heading: str, rows: Iterable[Row]) -> str:
    """The rows beneath a heading, their values aligned and wrapped.

    >>> print(block("sft", [("steps", "12"), ("data", "3 demonstrations")]))
    sft
      steps  12
      data   3 demonstrations
    """
    rows = list(rows)
    indent = 4 + max((len(name) for name, _ in rows), default=0)
    lines = [heading]
    for name, value in rows:
        lines += textwrap.wrap(
            value,
            WIDTH,
            initial_indent=f"  {name}".ljust(indent),
            subsequent_indent=" " * indent,
            break_on_hyphens=False,
        )
    return "\n".join(lines)


def counted(items: Sequence[object] | int, noun: str) -> str:
    """How many of what there are.

    >>> counted(1200, "prompt"), counted(["one"], "prompt")
    ('1,200 prompts', '1 prompt')
    """
    number = items if isinstance(items, int) else len(items)
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
