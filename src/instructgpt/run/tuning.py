"""Hardware choices, made once and kept in `run.json`: float sums depend on them.

On some CPUs torch's default float32 matmul is several times slower than the other library it ships
(`backend` says where), and glibc hands every large tensor back to the kernel. A resumed run takes
over the first start's choices, and the stages of a pipeline share theirs.

What is chosen holds for the whole process, as torch's threads and matmul precision do. Therefore it
is kept in this module (`_chosen`, `_now`, within a pipeline `_Shared.current`), and in no other.
"""

import ctypes
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from torch.utils import deterministic

from instructgpt.errors import UserError
from instructgpt.run.backend import Choice, faster_dtype, faster_matmul, is_gpu
from instructgpt.run.disk import explained, make_folder, write_atomically
from instructgpt.run.files import read_json
from instructgpt.run.products import is_single

DEFAULT_ALLOCATOR = "default"
FIRST_START = "the run's first start"

log = logging.getLogger(__name__)
_now: dict[str, str] = {}
"""What `dtype: auto` means in the stage under way."""
CHOICES = {"matmul": ("highest", "high", "medium"), "dtype": ("float32", "bfloat16")}
"""What may be chosen, by name."""
_chosen: dict[str, Choice] = {}
"""What this process has chosen, by device and name."""


def choose(
    threads: int,
    kept: Mapping[str, Any] | None,
    where: str,
    *,
    processes: int = 1,
    device: str = "auto",
) -> dict[str, Any]:
    """Set threads, matmul backend, allocator and what `dtype: auto` means, found or as `kept`.

    Args:
        threads: as configured; 0 for all cores.
        processes: how many share this machine's cores.
        kept: the choices in `run.json`, if the run is being continued.
        where: names the run in an error.
        device: as configured: `cpu`, `cuda`, `cuda:N` or `auto`.

    Returns:
        The choices, for `run.json`, each with its reason and what said so.

    Raises:
        UserError: `threads` contradicts the first start, which decides how float sums round, or
            what was chosen there is no true float32 here.
    """
    if kept and threads and threads != kept["threads"]:
        raise UserError(
            f"{where} was started with {kept['threads']} threads; continue with --threads "
            f"{kept['threads']}"
        )
    count = kept["threads"] if kept else threads or max(1, available_cores() // processes)
    torch.set_num_threads(count)
    # Attention has no deterministic backward pass on a GPU, and other kernels pay for having one.
    torch.use_deterministic_algorithms(not is_gpu(device), warn_only=True)
    # It would fill every new tensor first: 7 % of a step. Nothing here reads what it did not write.
    deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    allocator = keep_freed_memory()
    matmul = _decided("matmul", faster_matmul, kept, device)
    _check_it_holds(matmul, device, where)
    torch.set_float32_matmul_precision(matmul.value)
    dtype = _decided("dtype", faster_dtype, kept, device)
    _now["dtype"] = dtype.value
    if _Shared.current:
        _Shared.current.add("threads", count)
    because = {
        "threads": _why_threads(threads, kept),
        "matmul": {"reason": matmul.reason, "source": matmul.source},
        "dtype": {"reason": dtype.reason, "source": dtype.source},
    }
    chosen = {
        "threads": count,
        "matmul": matmul.value,
        "dtype": dtype.value,
        "allocator": allocator,
        "because": because,
    }
    log.info("chosen for this hardware: %s", chosen)
    return chosen


def _why_threads(configured: int, kept: Mapping[str, Any] | None) -> dict[str, str]:
    if kept:
        return {"reason": "float sums depend on it", "source": FIRST_START}
    if configured:
        return {"reason": "asked for, or as the stage before", "source": "configured"}
    return {"reason": "the cores that this process may use", "source": "the machine"}


def forward_dtype(configured: str) -> str:
    """`float32` or `bfloat16`: as configured, or where that is `auto` the faster one here."""
    if configured != "auto":
        return configured
    if "dtype" not in _now:
        _now["dtype"] = _decided("dtype", faster_dtype, None, "auto").value
    return _now["dtype"]


def threads_before() -> int:
    """How many threads the pipeline's stage before took, or torch takes."""
    shared = _Shared.current
    return (shared and shared.choices.get("threads")) or torch.get_num_threads()


def available_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _decided(
    name: str, find: Callable[[str], Choice], kept: Mapping[str, Any] | None, device: str
) -> Choice:
    """As the run began, else as its pipeline did, else as this process did, else found now."""
    if kept and name in kept:
        because = kept.get("because", {}).get(name, {})
        source = because.get("source", "").removeprefix(f"{FIRST_START}: ")
        source = f"{FIRST_START}: {source}" if source else FIRST_START
        return Choice(kept[name], because.get("reason", ""), source)
    shared = _Shared.current
    place = f"{'gpu' if is_gpu(device) else 'cpu'}/{name}"
    if shared and place in shared.choices:
        value, reason, source = shared.choices[place]
        return Choice(value, reason, f"{shared.path}: {source}")
    if place not in _chosen:
        _chosen[place] = find(device)
    if shared:
        shared.add(place, _chosen[place])
    return _chosen[place]


def _check_it_holds(matmul: Choice, device: str, where: str) -> None:
    """What was chosen on one processor must be true float32 on this one too."""
    if matmul.value == "medium" and not is_gpu(device) and not is_single("medium"):
        raise UserError(
            f"{where or 'the run'} was begun on a processor on which matmul 'medium' is true "
            "float32 and this one rounds it to bfloat16; continue on a processor like the first, "
            "or choose another --out"
        )


class _Shared:
    """A pipeline's choices, in a file of its directory."""

    current: "_Shared | None" = None

    def __init__(self, path: Path) -> None:
        self.path = path
        self.choices = _read_choices(path) if path.exists() else {}

    def add(self, place: str, choice: Choice | int) -> None:
        if self.choices.get(place) != choice:
            self.choices[place] = choice
            write_atomically(self.path, json.dumps(self.choices, indent=1) + "\n")


def _read_choices(path: Path) -> dict[str, Any]:
    remedy = "restore it, or remove it to choose anew"
    choices = read_json(path, remedy)
    for place, choice in choices.items():
        if place == "threads":
            fits = type(choice) is int and choice > 0
        else:
            fits = isinstance(choice, list) and [type(part) for part in choice] == [str] * 3
            fits = fits and choice[0] in CHOICES.get(place.partition("/")[2], ())
        if not fits:
            raise UserError(f"{path}: '{place}' is not what was written; {remedy}")
    return choices


@contextmanager
def one_choice(folder: Path) -> Iterator[None]:
    """All stages that start inside choose alike, also when they start again in another process."""
    with explained(folder):
        make_folder(folder)
    _Shared.current = _Shared(folder / "tuning.json")
    try:
        yield
    finally:
        _Shared.current = None


def keep_freed_memory() -> str:
    """glibc: keep freed memory instead of unmapping each large tensor; says what came of it."""
    if sys.platform != "linux":
        return DEFAULT_ALLOCATOR
    try:
        libc = ctypes.CDLL("libc.so.6")
        for option, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, NEVER), (M_TOP_PAD, 2**26)):
            if not libc.mallopt(option, value):
                return DEFAULT_ALLOCATOR
    except (OSError, AttributeError):  # another C library: its allocator is left alone
        return DEFAULT_ALLOCATOR
    return "keeps freed memory"


def give_back_memory() -> None:
    """Hand back to the system what `keep_freed_memory` has kept, where other sizes come next.

    From step to step the same sizes come again, and mapping their pages anew costs half a second a
    gigabyte: this is for once in an iteration, and between stages.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").malloc_trim(0)


M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
NEVER = -1
