"""What is told of a run's steps: in its streams, on the screen, to trackers and callbacks."""

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from instructgpt.distributed.world import World
from instructgpt.run.callbacks import Callback, told
from instructgpt.run.config import StageConfig
from instructgpt.run.job import Job
from instructgpt.run.progress import StageProgress
from instructgpt.run.trackers import open_tracker
from instructgpt.training.memory import peak_memory_bytes

PHASES = {
    "rollout": "sampling",
    "experience": "reading",
    "train": "updating",
    "validation": "validating",
    "head": "fitting",
}
"""What a phase is called while it lasts."""


class StepLog:
    """Tells of steps, phases and samples.

    Args:
        job: whose they are; its first process writes.
        world: the processes.
        callbacks: are told.
        shown: the metrics beside the progress bar, in this order, as far as there is room.
    """

    def __init__(
        self,
        job: Job[Any],
        world: World,
        callbacks: Sequence[Callback],
        shown: Sequence[str],
    ) -> None:
        self._job, self._world = job, world
        self._callbacks = callbacks
        self._tracker = Callback()
        self._shown, self._latest = shown, {}
        self._phases: dict[str, float] = {}
        self._unreported = 0.0  # seconds since tokens or episodes were last counted
        self._progress: StageProgress | None = None

    def open_tracker(self, step: int) -> None:
        """The first process tells the tracker; what it is told begins after `step`."""
        job: Job[StageConfig] = self._job
        if not job.directory or job.config.report_to == "none":
            return
        run_id = job.directory.info.get("tracker_id") or secrets.token_hex(8)
        job.directory.update({"tracker_id": run_id})
        self._tracker = open_tracker(
            job.config.report_to,
            job.path,
            job.stage,
            settings=job.config.model_dump(mode="json"),
            run_id=run_id,
            step=step,
        )

    def expect(self, total: int, done: int, cycle: int) -> None:
        """Start the progress display."""
        self._progress = StageProgress(self._job.stage, total, done, cycle=cycle).__enter__()

    def stop_progress(self) -> None:
        """The display ends with what it shows."""
        if self._progress:
            self._progress.__exit__(None, None, None)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the seconds spent inside to `timing/NAME` of the next step."""
        start = time.perf_counter()
        self.begin(PHASES.get(name, name))
        yield
        seconds = time.perf_counter() - start
        self._phases[name] = self._phases.get(name, 0.0) + seconds

    @contextmanager
    def besides(self) -> Iterator[None]:
        """What is done inside does not belong to every step: a validation, a checkpoint."""
        start = time.perf_counter()
        yield
        if self._progress:
            self._progress.spent_besides(time.perf_counter() - start)

    def begin(self, what: str) -> None:
        """Show what is under way."""
        if self._progress:
            self._progress.begin(what)

    def advance(self, updates: int, metrics: Mapping[str, float]) -> None:
        """Show that so many updates have been gone through."""
        if self._progress:
            self._latest |= {key: metrics[key] for key in self._shown if key in metrics}
            ordered = {key: self._latest[key] for key in self._shown if key in self._latest}
            self._progress.advance(updates, ordered)

    def step(self, step: int, metrics: Mapping[str, float], tokens: int, episodes: int) -> str:
        """Write a step's lines and tell of it; returns why a callback wants the run to end."""
        job = self._job
        job.append("metrics.jsonl", {"step": step, "stage": job.stage, **metrics})
        self._log_timings(step, tokens, episodes)
        self._tracker.step(job.run, step, metrics)
        tell = partial(told, self._callbacks, job.run, step, metrics)
        return (self._world.once(tell) or "") if self._callbacks else ""

    def sample(self, step: int, row: Mapping[str, Any]) -> None:
        """Add one text to `samples.jsonl`."""
        self._job.append("samples.jsonl", {"step": step, **row})
        for callback in self._callbacks if self._world.is_first else ():
            callback.sample(self._job.run, step, row)

    def end(self, status: str) -> None:
        """Tell of the end; in the first process."""
        for callback in (self._tracker, *self._callbacks):
            callback.end(self._job.run, status)

    def _log_timings(self, step: int, tokens: int, episodes: int) -> None:
        self._unreported += sum(self._phases.values())
        row = {f"timing/{name}": round(value, 4) for name, value in self._phases.items()}
        if tokens and self._unreported:
            row["throughput/tokens_per_second"] = round(tokens / self._unreported, 2)
        if episodes and self._unreported:
            row["throughput/episodes_per_second"] = round(episodes / self._unreported, 4)
        if tokens or episodes:
            self._unreported = 0.0
        row |= {"memory/peak_bytes": peak_memory_bytes()}
        self._job.append("timings.jsonl", {"step": step, **row})
        self._phases.clear()
