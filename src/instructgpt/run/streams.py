"""The JSON lines that a run writes as it goes, and what a checkpoint says of those before it."""

import hashlib
import json
from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any

from instructgpt.errors import UserError
from instructgpt.run.disk import write_atomically
from instructgpt.run.files import check_text, parse_json

STREAMS = ("metrics.jsonl", "samples.jsonl")
"""Files whose lines carry a step and are cut back to the checkpoint on resume."""


def read_lines(path: Path, *, up_to_a_broken_one: bool = False) -> list[dict[str, Any]]:
    """The JSON lines of a stream; a last line cut short by a crash is left out.

    Args:
        path: the file; there may be none.
        up_to_a_broken_one: for who writes the rest again: where a power cut has left anything in
            the lines that were not synced yet, take those before.

    Raises:
        UserError: a line is none.
    """
    if not path.exists():
        return []
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); make it readable") from None
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            if line:
                rows.append(_object(line))
        except ValueError as error:
            if up_to_a_broken_one:
                break
            if number < len(lines):
                raise UserError(f"{path} line {number}: {error}; remove that line") from None
    return rows


def stream_facts(folder: Path, step: int) -> dict[str, dict[str, Any]]:
    """What a checkpoint keeps of each stream: how many lines there are, and their SHA-256."""
    found = {name: _lines(folder / name, step) for name in STREAMS}
    return {name: {"lines": len(x), "sha256": _sha256(x)} for name, x in found.items()}


def refuse_lost_lines(folder: Path, step: int, facts: Mapping[str, Mapping[str, Any]]) -> None:
    """Every step before a checkpoint has a line in the metrics, and all lines are as they were.

    Raises:
        UserError: lines are lost or changed; nothing has been dropped.
    """
    for name in STREAMS:
        known = facts.get(name, {})
        lines = _lines(folder / name, step, known.get("lines"))
        steps = {json.loads(line)["step"] for line in lines}
        lost = sorted(set(range(1, step + 1)) - steps) if name == "metrics.jsonl" else []
        if not lost and known.get("sha256") in (None, _sha256(lines)):
            continue
        what = f"has no line of step {lost[0]}" if lost else f"has other lines up to step {step}"
        if not (folder / name).exists():
            what = "is missing"
        raise UserError(
            f"{folder / name} {what}, but the checkpoint of step {step} has them behind it; "
            f"restore the file, choose another --out, or remove {folder} to begin anew"
        )


def cut_back(folder: Path, step: int, facts: Mapping[str, Mapping[str, Any]]) -> None:
    """Drop what was written after a checkpoint, and lines cut short by a crash."""
    for name in STREAMS:
        if (folder / name).exists():
            lines = _lines(folder / name, step, facts.get(name, {}).get("lines"))
            write_atomically(folder / name, "".join(lines))
    clock = folder / "timings.jsonl"
    if clock.exists():
        write_atomically(clock, "".join(_lines(clock)))


def _lines(path: Path, step: int | None = None, most: int | None = None) -> list[str]:
    """The whole lines of a stream, up to a step, and not more than a checkpoint had."""
    rows = read_lines(path, up_to_a_broken_one=True)
    if step is not None:  # a line without a step is none that a run writes, nor what follows it
        rows = list(takewhile(lambda row: type(row.get("step")) is int, rows))
    kept = [row for row in rows if step is None or row["step"] <= step]
    return [json.dumps(row, ensure_ascii=False) + "\n" for row in kept[:most]]


def _object(line: bytes) -> dict[str, Any]:
    row = parse_json(line)
    if not isinstance(row, dict):
        raise ValueError("not a JSON object")
    check_text(row, "it")
    return row


def _sha256(lines: list[str]) -> str:
    return hashlib.sha256("".join(lines).encode()).hexdigest()
