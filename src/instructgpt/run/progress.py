"""What a person sees while a stage runs, on stderr: a bar on a terminal, else plain lines."""

import sys
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

PLAIN_EVERY_SECONDS = 10.0
console = Console(stderr=True, highlight=False)


def silence() -> None:
    """Say and show nothing from now on: another process speaks for this one."""
    console.quiet = True


def say(message: str) -> None:
    """One line to the user."""
    console.print(message, markup=False, emoji=False, soft_wrap=True)


def say_skipped(sentences: Sequence[str], shown: int = 5) -> None:
    """Name what was left out: the first few, and how many in all."""
    for sentence in sentences[:shown]:
        say(f"skipped: {sentence}")
    if len(sentences) > shown:
        say(f"skipped: {len(sentences)} in all")


class Whole:
    """Several stages in a row, and how much time they leave.

    What is left is judged by the share of the whole that is done and the time it took. Without
    shares nothing is said.

    Args:
        shares: how long each stage takes compared with the others.
    """

    current: "Whole | None" = None

    def __init__(self, shares: Sequence[float]) -> None:
        self.shares, self.stage = shares, 0
        self._done = 0.0  # the shares of the stages that ran here
        self._started = self._began = time.monotonic()

    def __enter__(self) -> Self:
        Whole.current = self
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        Whole.current = None

    def begin(self, stage: int) -> None:
        """The stage of this number begins; one that ended within a second had been done before."""
        now = time.monotonic()
        if stage and now - self._began > 1:
            self._done += self.shares[stage - 1]
        self.stage, self._began = stage, now

    def seconds_left(self, here: float, left: float) -> float | None:
        """For all stages, when of the current one the part `here` was done in this process and the
        part `left` is to be done; None while unknown.
        """
        own, after = self.shares[self.stage], sum(self.shares[self.stage + 1 :])
        done = self._done + here * own
        elapsed = time.monotonic() - self._started
        return elapsed / done * (left * own + after) if done > 0 and elapsed > 10 else None


class StageProgress:
    """Progress of one stage: how many of its steps are done, and the latest figures.

    Args:
        name: the stage, as shown.
        total: the number of steps.
        done: how many were done before (a resumed run).
    """

    def __init__(self, name: str, total: int, done: int = 0) -> None:
        self.name, self.total, self.done = name, total, done
        self._bar: Progress | None = None
        self._last_plain = -float("inf")
        self._started, self._done_before = time.monotonic(), done

    def __enter__(self) -> Self:
        if console.is_terminal and not console.quiet:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=30),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[figures]}"),
                console=console,
            )
            self._task = self._bar.add_task(
                self.name, total=self.total, completed=self.done, figures=""
            )
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar:
            self._bar.stop()

    def advance(self, done: int, figures: Mapping[str, float]) -> None:
        """Show that `done` steps are done, with a few figures."""
        self.done = done
        text = "  ".join(f"{name} {value:.4g}" for name, value in figures.items())
        if self._bar:
            self._bar.update(self._task, completed=done, figures=text + self._whole_left())
        elif not console.quiet and (
            time.monotonic() - self._last_plain > PLAIN_EVERY_SECONDS or done == self.total
        ):
            self._last_plain = time.monotonic()
            print(
                f"{self.name}: {done}/{self.total}{self._time_left()}  {text}",
                file=sys.stderr,
                flush=True,
            )

    def _time_left(self) -> str:
        left = self._seconds_left()
        return f", {_time(left)} left{self._whole_left()}" if left else ""

    def _seconds_left(self) -> float | None:
        """Of this stage; None while unknown."""
        since, to_do = self.done - self._done_before, self.total - self.done
        return (time.monotonic() - self._started) / since * to_do if since else None

    def _whole_left(self) -> str:
        """Of the pipeline that this stage is part of: no less than this stage's own."""
        if Whole.current is None:
            return ""
        here, left = self.done - self._done_before, self.total - self.done
        seconds = Whole.current.seconds_left(here / self.total, left / self.total)
        if seconds is None:
            return ""
        return f" ({_time(max(seconds, self._seconds_left() or 0.0))} for the whole)"


def _time(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds > 90 else f"{seconds:.0f} s"
