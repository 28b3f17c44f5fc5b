"""Makes the runs of a list, alone or by several processes, and tells how each of them ended."""

import fcntl
import json
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from instructgpt.run.streams import read_lines
from tests.distributed import driver
from tests.preloaded import Program

DRIVER = str(Path(driver.__file__))


@dataclass(frozen=True)
class Case:
    """A run of a stage: alone, or by several processes.

    Attributes:
        name: what the tests ask for.
        stage: one of the three.
        settings: its configuration.
        trouble: what happens on the way (`driver.TROUBLES`).
        goes_on: the run in the same batch, or (batch, run), that it resumes.
        torchrun: of a story, whether it is played under torchrun.
    """

    name: str
    stage: str
    settings: dict[str, Any]
    trouble: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    goes_on: str | tuple[str, str] = ""
    torchrun: bool = False


class Batch(NamedTuple):
    """Runs one after the other, and what makes them: it writes a line for each."""

    run: Callable[[list[dict[str, Any]], Path], None]
    cases: list[Case]


class Runs:
    """Makes a batch of runs when one of them is asked for; all test workers share them."""

    def __init__(self, folder: Path, batches: Callable[[Path], dict[str, Batch]]) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        with self._locked("inputs"):
            self.batches = batches(folder / "inputs")

    def case(self, batch: str, name: str) -> Case:
        """What was to be run."""
        return next(case for case in self.batches[batch].cases if case.name == name)

    def out(self, batch: str, name: str) -> Path:
        """Where a run is, or will be."""
        before = self.case(batch, name).goes_on
        name = before if isinstance(before, str) and before else name
        return self.folder / batch / name

    def __call__(self, batch: str, name: str) -> Path:
        """The directory of a run that nothing ended."""
        out, ended = self.ended(batch, name)
        assert ended == "", ended
        return out

    def ended(self, batch: str, name: str) -> tuple[Path, str]:
        """The directory of a run, and what ended it."""
        return self.out(batch, name), self.line(batch, name)["ended"]

    def line(self, batch: str, name: str) -> dict[str, Any]:
        """What was written of a run: its `name` and what `ended` it, at least."""
        results = self.folder / f"{batch}.jsonl"
        with self._locked(batch):
            if not results.exists():
                run, cases = self.batches[batch]
                run([self._prepared(batch, case) for case in cases], results)
        return next(line for line in read_lines(results) if line["name"] == name)

    def _prepared(self, batch: str, case: Case) -> dict[str, Any]:
        """For the driver; a run that goes on from another batch begins with a copy."""
        out = self.out(batch, case.name)
        if isinstance(case.goes_on, tuple):
            before, _ = self.ended(*case.goes_on)
            shutil.copytree(before, out)
        return asdict(case) | {"out": str(out)}

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """By one test worker at a time."""
        with (self.folder / f"{name}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def write_lines(results: Path, lines: list[dict[str, Any]]) -> None:
    results.write_text("".join(json.dumps(line) + "\n" for line in lines))


def run_here(cases: list[dict[str, Any]], results: Path) -> None:
    """In this process, one after the other."""
    write_lines(results, [{"name": c["name"], "ended": driver.run_case(c)} for c in cases])


def launch(size: int, cases: list[dict[str, Any]], results: Path) -> None:
    """By several processes; a case in which they die is named, and the others still run."""
    path = results.with_suffix(".cases.json")
    written = path.with_suffix(".jsonl")
    lines: list[dict[str, Any]] = []
    while cases:
        path.write_text(json.dumps(cases))
        written.unlink(missing_ok=True)
        programs = [start(path, place) for place in by_hand(size)]
        wait_until(partial(have_ended, programs), 400)
        for program in programs:
            program.kill()
        heard = "; ".join(f"exit {p.wait()}: {p.complained[-3000:]}" for p in programs)
        done = read_lines(written)
        cases = cases[len(done) :]
        lines += done
        if cases:
            lines.append({"name": cases.pop(0)["name"], "ended": heard})
    write_lines(results, lines)


def play(cases: list[dict[str, Any]], results: Path) -> None:
    """Each as a user would start it, all at the same time: most of it is waiting."""
    with ThreadPoolExecutor(len(cases)) as pool:
        write_lines(results, list(pool.map(partial(tell, results.parent), cases)))


def tell(folder: Path, case: dict[str, Any]) -> dict[str, Any]:
    """Start the processes of a run and wait for the end of the first of them, or of torchrun.

    Returns:
        Its exit code and what it said; the seconds since another had failed, or it was told.
    """
    path = folder / f"{case['name']}.json"
    path.write_text(json.dumps([case | {"command": True}]))
    places = [{}] if case["torchrun"] else by_hand(2)
    first, *others = [start(path, place, case["torchrun"]) for place in places]
    metrics = Path(case["out"]) / "metrics.jsonl"
    wait_until(lambda: is_gone(first) or metrics.exists())
    if "slowed" in dict(case["trouble"]):
        first.send_signal(signal.SIGTERM)
    elif others:
        wait_until(lambda: is_gone(first) or is_gone(others[0]))
    begun = time.monotonic()
    wait_until(lambda: is_gone(first))
    seconds = time.monotonic() - begun
    for process in (first, *others):
        process.kill()
        process.wait()
    said = "".join(process.complained for process in (first, *others))
    return {"name": case["name"], "ended": said, "code": first.returncode, "seconds": seconds}


def start(path: Path, place: dict[str, str], torchrun: bool = False) -> Program:
    """The driver, as one of several processes; or two of them under torchrun."""
    flags = ["--standalone", "--nproc-per-node", "2", "--max-restarts", "1"]
    under = ["-m", "torch.distributed.run", *flags] if torchrun else []
    return Program([*under, DRIVER, str(path)], environment=os.environ | place)


def wait_until(is_so: Callable[[], bool], seconds: float = 180) -> None:
    """Or until so many seconds have gone by."""
    begun = time.monotonic()
    while not is_so() and time.monotonic() - begun < seconds:
        time.sleep(0.05)


def by_hand(size: int) -> list[dict[str, str]]:
    """What torchrun would set in each process."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        together = {
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(found.getsockname()[1]),
            "WORLD_SIZE": str(size),
            "LOCAL_WORLD_SIZE": str(size),
        }
    return [together | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(size)]


def have_ended(programs: Sequence[Program]) -> bool:
    """Whether all have, or one has failed, after which torchrun would end the others."""
    codes = [program.poll() for program in programs]
    return any(codes) or None not in codes


def is_gone(process: Program) -> bool:
    """Whether it has ended, or stands still."""
    try:
        stat = Path(f"/proc/{process.pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return process.poll() is not None or stat.rpartition(")")[2].split()[0] == "T"
