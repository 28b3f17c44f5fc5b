"""What is told of a run while it goes on: its steps, its samples and its end.

Trackers are callbacks (`run.trackers`), and so is early stopping.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from instructgpt.errors import UserError
from instructgpt.run.config import HeldOut
from instructgpt.run.directory import Run
from instructgpt.run.progress import say


class Callback:
    """Is told what a run does, by its first process; every method may be left as it is.

    After a resume, what came after the checkpoint is told again.
    """

    def step(self, run: Run, step: int, metrics: Mapping[str, float]) -> str | None:
        """An optimizer step is done and stands in `metrics.jsonl`.

        Args:
            run: the run; `run.metrics` are all lines so far.
            step: optimizer steps taken.
            metrics: the step's figures, as in its line.

        Returns:
            Why the run shall end here, as a finished one; nothing to go on.
        """

    def sample(self, run: Run, step: int, row: Mapping[str, Any]) -> None:
        """A text was sampled and stands in `samples.jsonl`: `prompt`, `response`, and more."""

    def end(self, run: Run, status: str) -> None:
        """The run ends: `done`, `interrupted` or `failed`."""


class EarlyStopping(Callback):
    """Ends a run whose held-out figure has not improved for some validations.

    It reads the run's own metrics, so that a resume changes nothing.

    Args:
        patience: validations without a better figure.
        metric: its name; by default the stage's held-out figure (`Run.held_out`).
        higher_is_better: of another metric than that, whether more is better.
        min_delta: what counts as better must be better by more than this.

    Raises:
        UserError: less than one validation.
    """

    def __init__(
        self,
        patience: int = 3,
        metric: str = "",
        *,
        higher_is_better: bool | None = None,
        min_delta: float = 0.0,
    ) -> None:
        if type(patience) is not int or patience < 1:
            raise UserError(f"patience must be a number of validations from 1 on, got {patience!r}")
        self.patience, self.metric, self.min_delta = patience, metric, min_delta
        self.higher_is_better = higher_is_better

    def step(self, run: Run, step: int, metrics: Mapping[str, float]) -> str | None:  # noqa: ARG002
        """Look at the figures so far, where this step has one."""
        name, higher_is_better = self.figure(run.held_out)
        if name not in metrics:
            return None
        sign = 1 if higher_is_better else -1
        best, waited = None, 0
        for row in run.metrics:
            if (value := row.get(name)) is None:
                continue
            if best is None or sign * (value - best) > self.min_delta:
                best, waited = value, 0
            else:
                waited += 1
        if waited < self.patience:
            return None
        return f"{name} has not been better than {best:.4g} for {waited} validations"

    def end(self, run: Run, status: str) -> None:
        """Say so if there never was a figure to look at."""
        if status == "done" and not any(
            self.figure(run.held_out).name in row for row in run.metrics
        ):
            wanted = self.metric or "held-out figure"
            say(f"early stopping has seen no {wanted}: give eval_data, and eval_every")

    def figure(self, held_out: HeldOut | None) -> HeldOut:
        """What a run is watched by that goes by `held_out`.

        Raises:
            UserError: nothing is known of the metric that was named.
        """
        own = held_out or HeldOut("", True)
        if self.higher_is_better is not None:
            return HeldOut(self.metric or own.name, self.higher_is_better)
        if self.metric not in ("", own.name):
            raise UserError(f"say whether more of {self.metric} is better: give higher_is_better")
        return own


def checked(callbacks: Sequence[Callback], held_out: HeldOut | None) -> list[Callback]:
    """The callbacks of a run that goes by `held_out`, if they are such.

    Raises:
        UserError: one lacks a method, it is a class, or it watches what nothing is known of.
    """
    if not isinstance(callbacks, list | tuple):
        raise UserError(f"callbacks must be a list, found {type(callbacks).__name__}")
    for callback in callbacks:
        calls = [getattr(callback, name, None) for name in ("step", "sample", "end")]
        if isinstance(callback, type) or not all(map(callable, calls)):
            named = callback.__name__ if isinstance(callback, type) else type(callback).__name__
            raise UserError(
                f"a callback is an object with the methods step, sample and end, found {named}; "
                "make it from instructgpt.Callback"
            )
        if isinstance(callback, EarlyStopping):
            callback.figure(held_out)
    return list(callbacks)


def told(
    callbacks: Sequence[Callback], run: Run, step: int, metrics: Mapping[str, float]
) -> str | None:
    """Tell all of a step; the first reason to end here, if any."""
    reasons = [callback.step(run, step, metrics) for callback in callbacks]
    return next(filter(None, reasons), None)
