"""What the quickstart needs free, asked for before the first stage of those that are left."""

import shutil
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from instructgpt.errors import UserError
from instructgpt.pipeline.order import Stage, stages_of
from instructgpt.run.files import status_of

GIGABYTE = 1e9


class Need(NamedTuple):
    """What a stage of the default run takes, in GB.

    Attributes:
        memory: the most it holds.
        keeps: the disk that its results take.
        writes: the most that it has on the disk at a time: two checkpoints while the newer one is
            written, and in PPO the frozen networks.
    """

    memory: float
    keeps: float = 0.0
    writes: float = 0.0


NEEDS = {
    "sft": Need(4.6, 0.6, 3.3),
    "sample": Need(2.5),
    "rank": Need(1.0),
    "reward": Need(4.6, 0.4, 2.4),
    "ppo": Need(7.0, 1.5, 7.6),
    "evaluate": Need(2.5),
}
"""By kind of stage: the memory of training as measured in float32 (docs/quickstart.md) and some
more, the rest computed from the sizes of what is held and written.
"""


def check_needs(out: Path, *, rounds: int = 1, plain_arm: bool = False) -> None:
    """Refuse before the first stage what would fail in a later one; a finished run needs nothing.

    Raises:
        UserError: too little memory or disk for the stages that are left.
    """
    stages = stages_of(NEEDS, rounds=rounds, plain_arm=plain_arm)
    left = [stage for stage in stages if not _is_done(out, stage)]
    if not left:
        return
    needed = max(NEEDS[stage.kind].memory for stage in left)
    memory = free_memory_gb()
    if memory is not None and memory < needed:
        raise UserError(
            f"quickstart needs {needed:g} GB of free memory and this machine has {memory:.1f}; "
            "close other programs, or try quickstart --tiny"
        )
    needed = _disk_gb(out, left)
    existing = next(folder for folder in (out, *out.absolute().parents) if folder.is_dir())
    disk = shutil.disk_usage(existing).free / GIGABYTE
    if disk < needed:
        raise UserError(
            f"quickstart needs {needed:.1f} GB of free disk and {existing} has {disk:.1f}; "
            "free some, or give --out on another disk"
        )


def _disk_gb(out: Path, left: list[Stage]) -> float:
    """What the stages that are left will have on the disk at most, less what is there already."""
    kept = most = 0.0
    for stage in left:
        need, there = NEEDS[stage.kind], _written_gb(out, stage)
        most = max(most, kept + need.writes - there)
        kept += max(0.0, need.keeps - there)
    return most


def _folders(out: Path, stage: Stage) -> list[Path]:
    """The stage's directory, whatever its number."""
    return list(out.glob(f"[0-9][0-9]-{stage.name}"))


def _is_done(out: Path, stage: Stage) -> bool:
    return any(status_of(folder) == "done" for folder in _folders(out, stage))


def _written_gb(out: Path, stage: Stage) -> float:
    files = (path for folder in _folders(out, stage) for path in folder.rglob("*"))
    return sum(path.stat().st_size for path in files if path.is_file()) / GIGABYTE


def free_memory_gb() -> float | None:
    """Memory that programs may still take, also within a container's limit; None if unknown."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in lines if ":" in line}
    free = kilobytes["MemAvailable"] * 1024 / GIGABYTE
    limit = Path("/sys/fs/cgroup/memory.max")
    used = Path("/sys/fs/cgroup/memory.current")
    with suppress(OSError, ValueError):  # no such limit
        free = min(free, (int(limit.read_text()) - int(used.read_text())) / GIGABYTE)
    return free
