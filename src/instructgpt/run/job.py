"""The prologue of every command that writes a run directory, and its end.

Resolve, open, is it done?, choose what the hardware decides, start; finish.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

from instructgpt.run.config import Config, Resolved
from instructgpt.run.directory import Run, RunDirectory
from instructgpt.run.disk import write_atomically
from instructgpt.run.progress import say
from instructgpt.run.stopping import stoppable

C = TypeVar("C", bound=Config)
T = TypeVar("T")


class Ranks(Protocol):
    """The processes that do a job together (`distributed.world.World` is such)."""

    @property
    def size(self) -> int:
        """How many there are."""
        ...

    def once(self, work: Callable[[], T]) -> T:
        """What `work` returns, done by the first process; what it raises, in every process."""
        ...


class Alone:
    """One process."""

    size = 1

    def once(self, work: Callable[[], T]) -> T:
        """Do it."""
        return work()


class Job(Generic[C]):
    """One command at work in its run directory, which the first process writes.

    Use as a context manager: a run that an error ends after its start is marked as failed or
    interrupted.

    Args:
        stage: what the run is called.
        config: its settings, resolved or made in Python.
        kind: the class of the settings.
        ranks: the processes; they make the job, and call its methods, all together.

    Attributes:
        config: the settings.
        path: the run directory.
        run: the same, as a stage returns it.

    Raises:
        UserError: the settings are not whole, or the directory is in use, holds another run or
            cannot be written.
    """

    def __init__(self, stage: str, config: Any, kind: type[C], ranks: Ranks | None = None) -> None:
        resolved: Resolved[C] = Resolved.of(config, kind)
        self.stage, self.config, self._ranks = stage, resolved.config, ranks or Alone()
        self._out: str = self.config.out  # type: ignore[attr-defined] - each kind has it
        self.path = Path(self._out)
        self.run = Run(self.path)
        self.directory: RunDirectory | None = None  # the first process's
        self._inside = ExitStack()
        self.info: dict[str, Any] = self._ranks.once(lambda: self._open(resolved))

    def _open(self, resolved: Resolved[C]) -> dict[str, Any]:
        self.directory = RunDirectory(self._out, self.stage, resolved)
        return self.directory.info

    def __enter__(self) -> Self:
        inside: AbstractContextManager[object] = self.directory or stoppable()
        self._inside.enter_context(inside)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._inside.__exit__(kind, error, trace)

    @property
    def is_done(self) -> bool:
        """Whether the run had already finished when it was opened; says so."""
        done = self.info.get("status") == "done"
        if done:
            say(f"{self.stage}: {self.path} is already finished; nothing to do")
        return done

    def start(self) -> None:
        """Write `config.yaml` and `run.json`: from here on the directory holds this run."""
        self.write(lambda directory: directory.start())

    def start_computing(
        self,
        device: str,
        *,
        threads: int | None = None,
        share: int = 1,
        anew: bool = False,
        **facts: Any,
    ) -> None:
        """Start, with what the hardware decides chosen as before if the run goes on.

        Args:
            device: as configured.
            threads: as configured; None for as many as the stage before took.
            share: how many processes share this machine's cores.
            anew: choose anew all the same.
            facts: stand in `run.json` beside the choices.

        Raises:
            UserError: the choices cannot be made as before.
        """
        from instructgpt.run.tuning import choose, threads_before  # torch, which not all jobs need

        def start(directory: RunDirectory) -> dict[str, Any]:
            kept = None if anew else directory.info.get("tuning")
            count = threads
            if count is None:
                count = kept["threads"] if kept else threads_before()
            tuning = choose(count, kept, str(self.path), processes=share, device=device) | facts
            directory.start(tuning)
            return tuning

        choose(0, self.write(start), "")  # in every process

    def write(self, work: Callable[[RunDirectory], T]) -> T:
        """What `work` makes of the directory in the first process; what it raises, in all."""

        def in_first() -> T:
            assert self.directory
            return work(self.directory)

        return self._ranks.once(in_first)

    def update(self, facts: Mapping[str, Any]) -> None:
        """Merge facts into `run.json`."""
        self.write(lambda directory: directory.update(facts))

    def append(self, name: str, row: Mapping[str, Any]) -> None:
        """Add one JSON line to a file, where this is the process that writes."""
        if self.directory:
            self.directory.append(name, row)

    def sync(self) -> None:
        """Push the lines to the disk, where this is the process that writes."""
        if self.directory:
            self.directory.sync()

    def write_json(self, name: str, value: Callable[[], Any]) -> None:
        """Write a file of the run directory at once; the first process makes what is in it."""
        path = self.path / name
        self._ranks.once(lambda: write_atomically(path, json.dumps(value(), indent=1) + "\n"))

    def finish(self) -> Run:
        """Mark the run as done."""
        self.write(lambda directory: directory.finish())
        return self.run
