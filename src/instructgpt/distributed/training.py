"""`TrainingRun` drives a stage: run directory, resume, metrics, checkpoints, signals."""

import resource
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from instructgpt.distributed.checkpoint import (
    Checkpoint,
    DamagedCheckpointError,
    forget_after,
    latest_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from instructgpt.distributed.state import TrainState
from instructgpt.distributed.world import world
from instructgpt.errors import UserError
from instructgpt.run.config import Resolved, StageConfig
from instructgpt.run.directory import Run, RunDirectory
from instructgpt.run.progress import StageProgress, say
from instructgpt.run.trackers import open_tracker
from instructgpt.run.tuning import choose


class TrainingRun:
    """One stage at work in its run directory.

    Use as a context manager. `restore` takes the newest whole checkpoint; `after_step` logs a step,
    writes a checkpoint when one is due and stops cleanly after Ctrl-C or SIGTERM; `finish` closes
    the run.

    Args:
        stage: the stage's name.
        resolved: its configuration with sources.
        facts: what `run.json` shall say besides (data hashes, parents).
    """

    def __init__(self, stage: str, resolved: Resolved[Any], facts: Mapping[str, Any]) -> None:
        world()  # refuse torchrun before anything is written
        self.config: StageConfig = resolved.config
        self.directory = RunDirectory(self.config.out, stage, resolved)
        self.run = Run(self.directory.path)
        self.stage = stage
        self._facts = facts
        self._interrupted: signal.Signals | None = None
        self._phases: dict[str, float] = {}
        self._unreported = 0.0  # seconds since tokens or episodes were last counted
        self._progress: StageProgress | None = None
        self._handlers: dict[signal.Signals, Any] = {}

    @property
    def is_done(self) -> bool:
        """Whether the run was already finished when it was opened; says so once."""
        if self.directory.is_done:
            say(f"{self.stage}: {self.directory.path} is already finished; nothing to do")
        return self.directory.is_done

    def __enter__(self) -> Self:
        if not self.directory.is_done:
            kept = self.directory.info.get("tuning")
            try:
                tuning = choose(self.config.threads, kept, str(self.directory.path))
                self.directory.start({**self._facts, "tuning": tuning})
                self._tracker = open_tracker(self.config.report_to, self.directory.path, self.stage)
            except UserError:
                self.directory.close()
                raise
            self._catch_signals()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if self._progress:
            self._progress.__exit__(kind, error, trace)
        self.directory.__exit__(kind, error, trace)
        if self._interrupted and error is None:
            raise KeyboardInterrupt  # too late for this stage, not for those that follow

    def restore(self, state: TrainState) -> int:
        """Put the newest whole checkpoint into `state` and return its step; 0 for a fresh start."""
        checkpoint = self._checkpoint_to_resume()
        if checkpoint is None:
            self.directory.cut_back(-1)
            return 0
        try:
            state.restore(checkpoint.tensors, checkpoint.state)
        except (KeyError, RuntimeError) as error:
            raise UserError(
                f"{checkpoint.path} does not fit the model ({' '.join(str(error).split())}); "
                "give a checkpoint of this very run, or choose another --out"
            ) from None
        self.directory.cut_back(checkpoint.step)
        say(f"{self.stage}: resuming {self.directory.path} after step {checkpoint.step}")
        return checkpoint.step

    def expect(self, total: int, done: int) -> None:
        """Start the progress display: `total` optimizer steps, of which `done` are done."""
        self._progress = StageProgress(self.stage, total, done).__enter__()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the seconds spent inside to `timing/NAME` of the next logged step."""
        start = time.perf_counter()
        yield
        self._phases[name] = self._phases.get(name, 0.0) + time.perf_counter() - start

    def after_step(
        self,
        step: int,
        state: TrainState,
        metrics: Mapping[str, float],
        *,
        tokens: int = 0,
        episodes: int = 0,
    ) -> None:
        """Log a finished optimizer step; save if one is due; stop here if the user asked for it."""
        self.directory.append("metrics.jsonl", {"step": step, "stage": self.stage, **metrics})
        self._log_timings(step, tokens, episodes)
        self._tracker.log(step, metrics)
        if self._progress:
            shown = {key.split("/")[-1]: value for key, value in metrics.items() if key in SHOWN}
            self._progress.advance(step, shown)
        if self._interrupted or (self.config.save_every and step % self.config.save_every == 0):
            self.save(step, state)
        if self._interrupted:
            say(f"{self.stage}: stopped after step {step}; run the same command again to go on")
            raise KeyboardInterrupt

    def sample(self, step: int, row: Mapping[str, Any]) -> None:
        """Add one text to `samples.jsonl`."""
        self.directory.append("samples.jsonl", {"step": step, **row})

    def save(self, step: int, state: TrainState) -> Path:
        """Write a checkpoint of `state` now."""
        self.directory.sync()
        return save_checkpoint(
            self.directory.path / "checkpoints",
            step,
            state.to_tensors(),
            state.counters,
            keep=self.config.keep_checkpoints,
        )

    def finish(self) -> Run:
        """Mark the run as done."""
        self.directory.finish()
        self._tracker.close()
        return self.run

    def _checkpoint_to_resume(self) -> Checkpoint | None:
        if self.config.resume in {"auto", "never"}:
            return latest_checkpoint(self.directory.path / "checkpoints", notice=say)
        try:
            checkpoint = load_checkpoint(Path(self.config.resume))
        except DamagedCheckpointError as error:
            raise UserError(f"--resume: {error}; give a checkpoint directory, or auto") from None
        forget_after(self.directory.path / "checkpoints", checkpoint.step)
        return checkpoint

    def _log_timings(self, step: int, tokens: int, episodes: int) -> None:
        self._unreported += sum(self._phases.values())
        row: dict[str, float] = {
            f"timing/{name}": round(value, 4) for name, value in self._phases.items()
        }
        if tokens and self._unreported:
            row["throughput/tokens_per_second"] = round(tokens / self._unreported, 2)
        if episodes and self._unreported:
            row["throughput/episodes_per_second"] = round(episodes / self._unreported, 4)
        if tokens or episodes:
            self._unreported = 0.0
        self.directory.append(
            "timings.jsonl", {"step": step, **row, "memory/peak_bytes": _peak_memory_bytes()}
        )
        self._phases.clear()

    def _catch_signals(self) -> None:
        """First Ctrl-C or SIGTERM: finish the step, save, stop. Second: stop at once."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGINT, signal.SIGTERM):
            self._handlers[number] = signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._interrupted:
            raise KeyboardInterrupt
        self._interrupted = signal.Signals(number)
        say("finishing this step and saving; press Ctrl-C again to stop at once")


SHOWN = frozenset(
    {
        "pretrain/loss",
        "sft/loss",
        "sft/validation_loss",
        "reward/loss",
        "reward/accuracy",
        "objective/scores",
        "objective/kl",
        "ppo/loss/value",
        "ptx/loss",
    }
)
"""The metrics shown beside the progress bar."""


def _peak_memory_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
