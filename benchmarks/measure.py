"""What the speed comparisons share: sides that take turns, and how their rounds become one line.

A side is a function `side(arguments, turn)` that sets up and then works whenever it is given a
turn. Each runs in a process of its own, so that peak memory, threads, matmul backend and allocator
are its own. Only one works at a time, and the order alternates from round to round, so that a slow
moment of the machine hits all of them; the first round warms up and is dropped.
"""

import argparse
import json
import multiprocessing
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from instructgpt.run.tuning import available_cores, faster_matmul
from workload import SHAPES

Facts = dict[str, float]
"""What a side says of one round: its `seconds`, and how much work they bought."""


class Turn:
    """A side's end of the line: wait for the turn, work, say how it went."""

    def __init__(self, pipe: Connection, device: str) -> None:
        self._pipe, self._device, self._start = pipe, torch.device(device), 0.0

    def begin(self) -> None:
        """Wait for the turn and start the clock; ends the process when there is no other."""
        try:
            go_on = self._pipe.recv()
        except EOFError:  # another side has failed
            raise SystemExit from None
        if not go_on:
            self._pipe.send(peak_bytes(self._device))
            raise SystemExit
        synchronize(self._device)
        self._start = time.perf_counter()

    def end(self, **facts: float) -> None:
        """Stop the clock; `facts` is what was done, or other `seconds` than the clock's."""
        synchronize(self._device)
        self._pipe.send({"seconds": time.perf_counter() - self._start} | facts)


SideFunction = Callable[[argparse.Namespace, Turn], object]
"""It never returns: `Turn.begin` ends the process."""


class Side:
    """The process of one side; a call gives it a turn."""

    def __init__(self, name: str, work: SideFunction, arguments: argparse.Namespace) -> None:
        self.name = name
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["workload"])  # its imports, once for all sides
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(work, arguments, theirs), daemon=True)
        self._process.start()
        theirs.close()

    def __call__(self) -> Facts:
        """One turn."""
        return self._ask(True)

    def close(self) -> int:
        """End the process; returns the most bytes it ever held."""
        peak = self._ask(False)
        self._process.join()
        return peak

    def _ask(self, go_on: bool) -> Any:
        try:
            self._pipe.send(go_on)
            return self._pipe.recv()
        except (EOFError, ConnectionError):
            raise SystemExit(f"{self.name} has failed: see above") from None


def _work(work: SideFunction, arguments: argparse.Namespace, pipe: Connection) -> None:
    sys.stdout = sys.stderr  # the one line of output is the parent's
    work(arguments, Turn(pipe, arguments.device))


def parser(
    description: str, sides: Mapping[str, SideFunction], *, if_named: Sequence[str] = ()
) -> argparse.ArgumentParser:
    """The options of every comparison; some sides run only if they are named."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--model", default="", help="directory (default: SmolLM2-135M-Instruct)")
    options.add_argument("--shape", choices=list(SHAPES), default="", help="random weights")
    options.add_argument("--device", default="cpu")
    options.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    options.add_argument("--threads", type=int, default=available_cores())
    options.add_argument("--rounds", type=int, default=5, help="after one that warms up")
    usual = [name for name in sides if name not in if_named]
    options.add_argument("--sides", nargs="+", choices=list(sides), default=usual)
    options.add_argument("--out", type=Path, help="add the lines to this file")
    peer = options.add_mutually_exclusive_group()
    peer.add_argument(
        "--tuned",
        action="store_true",
        default=True,
        help="peers get our matmul backend, allocator and dtype, no gradient checkpointing",
    )
    peer.add_argument(
        "--as-it-comes", dest="tuned", action="store_false", help="peers keep their defaults"
    )
    return options


def compare(
    benchmark: str,
    sides: Mapping[str, SideFunction],
    arguments: argparse.Namespace,
    *,
    needs: Mapping[str, str] | None = None,
    missing: Sequence[str] = (),
    **setting: Any,
) -> None:
    """Let the sides take turns and print the result as a JSON line.

    Args:
        benchmark: its name.
        sides: by name; the ratios are against the first.
        arguments: of `parser`.
        needs: the module without which a side is left out.
        missing: sides that are left out for another reason.
        setting: what sets this line apart; the sides find it among their arguments.
    """
    absent = [name for name, module in (needs or {}).items() if not installed(module)]
    absent += missing
    torch.set_num_threads(arguments.threads)
    shared = argparse.Namespace(
        **vars(arguments) | setting, matmul=faster_matmul(arguments.device).value
    )
    running = [
        Side(name, work, shared)
        for name, work in sides.items()
        if name in arguments.sides and name not in absent
    ]
    if not running:
        raise SystemExit(f"no side is left: {', '.join(absent)} need what is not installed")
    rounds = take_turns({side.name: side for side in running}, arguments.rounds)
    peaks = {side.name: side.close() for side in running}
    line = {
        "benchmark": benchmark,
        **setting,
        "model": arguments.shape or arguments.model or "SmolLM2-135M-Instruct",
        "dtype": arguments.dtype,
        "peers": "tuned" if arguments.tuned else "as they come",
        **machine(arguments.device, arguments.threads),
        "matmul": shared.matmul,
        "rounds": arguments.rounds,
        "absent": absent,
        "sides": {
            name: summary(facts) | {"peak_bytes": peaks[name]} for name, facts in rounds.items()
        },
        f"seconds_over_{running[0].name}": ratios(rounds),
    }
    emit(line, arguments.out)


def take_turns(sides: Mapping[str, Callable[[], Facts]], rounds: int) -> dict[str, list[Facts]]:
    """Every side once a round, in alternating order, after a round that is not counted."""
    found: dict[str, list[Facts]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name in list(sides)[:: -1 if number % 2 else 1]:
            facts = sides[name]()
            if number:
                found[name].append(facts)
            print(f"round {number} {name}: {facts['seconds']:.3f} s", file=sys.stderr, flush=True)
    return found


def summary(rounds: Sequence[Facts]) -> dict[str, Any]:
    """Seconds, and for every other fact its rate per second."""
    seconds = spread([facts["seconds"] for facts in rounds])
    work = {
        f"{name}_per_second": spread([facts[name] / facts["seconds"] for facts in rounds])
        for name in rounds[0]
        if name != "seconds"
    }
    return {"seconds": seconds} | work


def ratios(rounds: Mapping[str, Sequence[Facts]]) -> dict[str, dict[str, float]]:
    """Each side's seconds over those of the first side in the same round."""
    first, *others = rounds
    return {
        name: spread(
            [
                theirs["seconds"] / ours["seconds"]
                for theirs, ours in zip(rounds[name], rounds[first], strict=True)
            ]
        )
        for name in others
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, least and most.

    >>> spread([3.0, 1.0, 2.0])
    {'median': 2.0, 'min': 1.0, 'max': 3.0}
    """
    figures = {"median": statistics.median(values), "min": min(values), "max": max(values)}
    return {name: float(f"{value:.4g}") for name, value in figures.items()}


def emit(line: Mapping[str, Any], out: Path | None) -> None:
    """Print a result; add it to the file, if one is given."""
    text = json.dumps({"date": date.today().isoformat(), **line})
    print(text, flush=True)
    if out:
        with out.open("a") as file:
            file.write(text + "\n")


def machine(device: str, threads: int) -> dict[str, Any]:
    """Where a figure was measured, and with which versions."""
    if torch.device(device).type == "cuda":
        processor = torch.cuda.get_device_name(device)
    else:
        cpuinfo = Path("/proc/cpuinfo")
        lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
        facts = {key.strip(): value.strip() for key, _, value in (x.partition(":") for x in lines)}
        processor = facts.get("model name", platform.processor())
        if "cpu family" in facts:  # the name alone may not tell one generation from another
            processor += f", family {facts['cpu family']}, model {facts['model']}"
    versions = {}
    for package in ("torch", "transformers", "trl"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {"device": device, "processor": processor, "threads": threads, "versions": versions}


def installed(module: str) -> bool:
    """Whether a module can be imported."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of the package around it
        return False


def synchronize(device: torch.device) -> None:
    """Wait for what a GPU still has to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_bytes(device: torch.device) -> int:
    """The most this process ever held: of the GPU's memory, or else of the machine's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
