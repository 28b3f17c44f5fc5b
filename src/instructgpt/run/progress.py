"""What a person sees while a stage runs, on stderr: a bar on a terminal, else plain lines."""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import ClassVar, Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from instructgpt.errors import harmless
from instructgpt.run.pace import Pace, duration

PLAIN_EVERY_SECONDS = 10.0
REFRESHES_PER_SECOND = 2
console = Console(stderr=True, highlight=False)


def silence() -> None:
    """Say and show nothing from now on: another process speaks for this one."""
    console.quiet = True


@contextmanager
def silenced() -> Iterator[None]:
    """Say and show nothing for a while."""
    before, console.quiet = console.quiet, True
    try:
        yield
    finally:
        console.quiet = before


def say(message: str) -> None:
    """One line to the user; nothing in it that a terminal would obey."""
    console.print(harmless(message), markup=False, emoji=False, soft_wrap=True)


def show(text: str = "", *, end: str = "\n") -> None:
    """A result on standard output: as it is in a file or a pipe, and on a terminal without anything
    that this would obey.
    """
    print(harmless(text) if on_terminal() else text, end=end, flush=True)


def on_terminal() -> bool:
    """Whether standard output is a terminal's."""
    return sys.stdout is not None and sys.stdout.isatty()


def say_skipped(sentences: Sequence[str], shown: int = 5, *, count: int = 0) -> None:
    """Name what was left out: the first few, and how many in all (`count`, where that is more than
    there are sentences).
    """
    for sentence in sentences[:shown]:
        say(f"skipped: {sentence}")
    if (number := max(count, len(sentences))) > shown:
        say(f"skipped: {number} in all")


class PipelineProgress:
    """Several stages in a row, and how much time they leave.

    A stage's own estimate says what it will have taken in all; by that, and by what the stages
    before it took, those after it are judged. Without shares nothing is said.

    Args:
        shares: how long each stage takes compared with the others.
    """

    current: "ClassVar[PipelineProgress | None]" = None

    def __init__(self, shares: Sequence[float]) -> None:
        self.shares, self.stage = shares, 0
        self._done = self._seconds = 0.0  # of the stages that ran here: their shares, their time
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        PipelineProgress.current = self
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        PipelineProgress.current = None

    def begin(self, stage: int) -> None:
        """The stage of this number begins; one that ended within a second had been done before."""
        now = time.monotonic()
        if stage and now - self._began > 1:
            self._done += self.shares[stage - 1]
            self._seconds += now - self._began
        self.stage, self._began = stage, now

    def seconds_left(self, here: float, left: float | None) -> float | None:
        """For all stages, when of the current one the part `here` will be the work of this process,
        which will take `left` seconds more; None while unknown.
        """
        own, after = self.shares[self.stage], sum(self.shares[self.stage + 1 :])
        if left is None or not own:
            return None
        seconds = self._seconds + time.monotonic() - self._began + left
        return left + after * seconds / (self._done + here * own)


class StageProgress:
    """Progress of one stage: how many of its steps are done, what is under way, the time it leaves
    and the latest figures.

    Args:
        name: the stage, as shown.
        total: the number of steps.
        done: how many were done before (a resumed run).
        cycle: after so many steps the same work comes round again (a PPO iteration's updates).
        phase: what is under way until another is named.
    """

    current: "ClassVar[StageProgress | None]" = None

    def __init__(
        self, name: str, total: int, done: int = 0, *, cycle: int = 1, phase: str = ""
    ) -> None:
        self.name, self.total, self.done, self.phase = name, total, done, phase
        self._part = ""
        self._figures: dict[str, float] = {}
        self._live: Live | None = None
        self._started = self._last_plain = time.monotonic()
        self._done_before, self._pace = done, Pace(cycle)

    def __enter__(self) -> Self:
        StageProgress.current = self
        if console.is_terminal and not console.quiet:
            self._live = Live(
                console=console,
                get_renderable=self._line,
                refresh_per_second=REFRESHES_PER_SECOND,
                transient=False,
            )
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        StageProgress.current = None
        self.phase = self._part = ""
        if self._live:
            self._live.stop()

    def advance(self, done: int, figures: Mapping[str, float]) -> None:
        """Show that `done` steps are done, with a few figures."""
        self._pace.add(time.monotonic() - self._started, done - self._done_before)
        self.done, self._part = done, ""
        self._figures = {**figures, **{k: v for k, v in self._figures.items() if k not in figures}}
        self._tell(at_once=done == self.total)

    def begin(self, phase: str) -> None:
        """Show what is under way."""
        self.phase, self._part = phase, ""
        self._tell()

    def spent_besides(self, seconds: float) -> None:
        """So much of the time went to what not every step has: a validation, a checkpoint."""
        self._pace.besides(seconds)

    def show_part(self, done: int, total: int) -> None:
        """Show how far what is under way has come."""
        self._part = f"{done}/{total}" if total > 1 else ""
        self._tell()

    # ---------------------------------------------------------------- what is shown

    def _tell(self, *, at_once: bool = False) -> None:
        """Without a terminal: a line now and then."""
        now = time.monotonic()
        if self._live or console.quiet:
            return
        if at_once or now - self._last_plain > PLAIN_EVERY_SECONDS:
            self._last_plain = now
            parts = [f"{self.done}/{self.total}", self._under_way(), *self._times()]
            text = f"{self.name}: {', '.join(part for part in parts if part)}"
            print("  ".join([text, *self._shown_figures()]), file=sys.stderr, flush=True)

    def _line(self) -> Text:
        """The line of a terminal: what matters most comes first, and all stands whole or not at
        all; where there is little room, the bar gives way to the times.
        """
        room = console.width - 1  # in the last column some terminals wrap
        phase = self._under_way().ljust(PHASE)
        done = f" {self.done}/{self.total}  {phase}  "
        elapsed, *left = self._times()
        choices = [", ".join([elapsed, *left[:count]]) for count in range(len(left), -1, -1)]
        choices += left[:1]
        bar, times = next(
            (
                (bar, times)
                for times in choices
                for bar in BARS
                if len(self.name) + 1 + bar + len(done) + len(times) <= room
            ),
            (0, ""),
        )
        filled = round(bar * self.done / self.total) if self.total else bar
        line = Text(f"{self.name} ", no_wrap=True, overflow="ellipsis", end="")
        line.append("━" * filled, "green").append("━" * (bar - filled), "bright_black")
        line.append(f"{done}{times}")
        for figure in self._shown_figures():
            if line.cell_len + 2 + len(figure) <= room:
                line.append(f"  {figure}")
        line.rstrip()
        line.truncate(room, overflow="ellipsis")
        return line

    def _under_way(self) -> str:
        return f"{self.phase} {self._part}".strip() if self.done < self.total else ""

    def _shown_figures(self) -> list[str]:
        return [f"{name} {value:.4g}" for name, value in self._figures.items()]

    def _times(self) -> list[str]:
        """How long it has taken, how much it leaves, and what the pipeline leaves."""
        times = [duration(time.monotonic() - self._started)]
        left = self.seconds_left()
        if left is None:
            return times
        times.append(f"{duration(left)} left")
        if PipelineProgress.current and self.total:
            here = (self.total - self._done_before) / self.total
            whole = PipelineProgress.current.seconds_left(here, left)
            times += [f"{duration(whole)} for the whole"] if whole is not None else []
        return times

    def seconds_left(self) -> float | None:
        """Of this stage; None while unknown, or when it is done."""
        if self.done == self.total or (pace := self._pace.seconds_per_step()) is None:
            return None
        since = time.monotonic() - self._started - self._pace.seconds
        return max((self.total - self.done) * pace - since, 0.0)


BARS = (8, 4)
"""Columns of the bar, where there is room and where there is little."""
PHASE = 14
"""Columns kept for what is under way, so that the times stand still."""


def show_part(done: int, total: int) -> None:
    """Tell the stage under way, if one is shown, how far its present work has come."""
    if StageProgress.current:
        StageProgress.current.show_part(done, total)
