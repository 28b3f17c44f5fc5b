"""A run that ended without a word: the kernel killed it for memory, or the machine went down."""

import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from instructgpt.run.files import parse_json

GIGABYTE = 1e9
LIKELY = 0.7
"""The share of the memory from which a peak makes us think of a kill for memory: the last reading
is of the step before.
"""
SMALLER = ("micro_batch_tokens", "rollout_slots")
STAT, BOOT = Path("/proc/vmstat"), Path("/proc/sys/kernel/random/boot_id")
INFO, LIMIT = Path("/proc/meminfo"), Path("/sys/fs/cgroup/memory.max")


def kernel_facts() -> dict[str, Any]:
    """What `run.json` keeps at a start, to tell later how the run may have ended: which boot of the
    machine, and how often its kernel had killed for memory. Empty where no kernel says so.
    """
    try:
        counts = dict(line.split() for line in STAT.read_text().splitlines())
        return {"boot": BOOT.read_text().strip(), "memory_kills": int(counts["oom_kill"])}
    except (OSError, ValueError, KeyError):
        return {}


def last_words(path: Path, info: Mapping[str, Any], keys: Collection[str]) -> str:
    """What is known of an attempt whose `run.json` still says `running`, in one sentence.

    Args:
        path: the run's directory.
        info: its `run.json`.
        keys: of the stage's configuration, to name what would take less memory.
    """
    steps = [row["step"] for row in _rows(path / "metrics.jsonl") if type(row.get("step")) is int]
    where = f" after step {steps[-1]}" if steps else ""
    why = _why(path, info)
    remedy = ""
    if "memory" in why:
        flags = [f"smaller --{key}" for key in SMALLER if key in keys]
        if "activation_checkpointing" in keys:
            flags.append("--activation_checkpointing")
        remedy = f"; if it happens again, close other programs, or give {' or '.join(flags)}"
        remedy = remedy if flags else "; if it happens again, close other programs"
    return f"the last attempt ended without a word{where}, {why}{remedy}; going on"


def _why(path: Path, info: Mapping[str, Any]) -> str:
    before, now = info.get("kernel") or {}, kernel_facts()
    if before and now and before.get("boot") != now["boot"]:
        return "the machine was restarted"
    peaks = [row.get("memory/peak_bytes") for row in _rows(path / "timings.jsonl")]
    peak, memory = max((p for p in peaks if isinstance(p, int | float)), default=0), total_memory()
    if memory and peak and not _is_on_gpu(info):
        size = f"peak {peak / GIGABYTE:.1f} of {memory / GIGABYTE:.1f} GB"
        if peak > LIKELY * memory:
            return f"likely killed for memory ({size})"
    if before and now and now["memory_kills"] > before.get("memory_kills", 0):
        return "likely killed for memory (the kernel has killed a program for it since)"
    return "killed or the machine went down"


def total_memory() -> float | None:
    """Bytes that the machine, or the container's limit, has; None if unknown."""
    try:
        line = next(x for x in INFO.read_text().splitlines() if x.startswith("MemTotal:"))
        total = 1024.0 * int(line.split()[1])
    except (OSError, ValueError, StopIteration):
        return None
    try:
        return min(total, float(LIMIT.read_text()))
    except (OSError, ValueError):  # no limit
        return total


def _is_on_gpu(info: Mapping[str, Any]) -> bool:
    """Whether the readings are of a GPU's memory, which the kernel does not kill for."""
    torch = sys.modules.get("torch")
    device = info.get("config", {}).get("device", "cpu")
    return device != "cpu" and torch is not None and torch.cuda.is_available()


def _rows(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a stream."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]
        rows = [parse_json(line) for line in lines if line]
    except (OSError, ValueError):
        return []
    return [row for row in rows if isinstance(row, dict)]
