"""`TrainingRun` drives a stage: run directory, resume, metrics, checkpoints, signals."""

import json
import math
import secrets
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, NamedTuple, Self

from torch import Tensor

from instructgpt.distributed.directory import open_directory
from instructgpt.distributed.sharding import full_weights
from instructgpt.distributed.world import Stopped, world
from instructgpt.errors import UserError
from instructgpt.models.card import about
from instructgpt.models.network import Network
from instructgpt.run.callbacks import HELD_OUT, Callback, checked, told
from instructgpt.run.config import Resolved, StageConfig
from instructgpt.run.directory import Run
from instructgpt.run.disk import write_atomically
from instructgpt.run.progress import PHASES, SHOWN, StageProgress, say
from instructgpt.run.stopping import leave_terminal
from instructgpt.run.system import HANGUP, STOPPING
from instructgpt.run.trackers import open_tracker
from instructgpt.run.tuning import choose
from instructgpt.training.checkpoint import (
    Checkpoint,
    DamagedCheckpointError,
    forget_after,
    forget_finished,
    latest_checkpoint,
    newest_whole,
    open_checkpoint,
    save_checkpoint,
    saved_states,
)
from instructgpt.training.memory import is_out_of_memory, peak_memory_bytes
from instructgpt.training.optimizer import NotFiniteError, check_finite
from instructgpt.training.state import TrainState


class TrainingRun:
    """One stage at work in its run directory.

    Use as a context manager. `start` begins to write, once all inputs are known to be good;
    `restore` takes the newest whole checkpoint; `after_step` logs a step, writes a checkpoint when
    one is due and stops cleanly after Ctrl-C or SIGTERM; `finish` closes the run.

    Args:
        stage: the stage's name.
        resolved: its configuration with sources.
        callbacks: are told of steps, samples and the end.
    """

    def __init__(
        self, stage: str, resolved: Resolved[Any], callbacks: Sequence[Callback] = ()
    ) -> None:
        self._callbacks = checked(callbacks)
        self.world = world()
        self.config: StageConfig = resolved.config
        self.directory = open_directory(self.config.out, stage, resolved)
        self.run = Run(self.directory.path)
        self.stage = stage
        self._last: _Finished | None = None
        self._tracker = Callback()
        self._begun = False
        self.stopped_early = ""  # why, if a callback has said so
        self._shown: dict[str, float] = {}  # the latest figures beside the progress bar
        self._skipped_in_a_row, self._most_skipped = 0, MOST_SKIPPED
        self._carried: dict[str, float] = {}  # figures of updates left out, for the next line
        self._saved = Saved(0, time.monotonic())
        self._phases: dict[str, float] = {}
        self._unreported = 0.0  # seconds since tokens or episodes were last counted
        self._progress: StageProgress | None = None
        self._handlers: dict[signal.Signals, Any] = {}

    @property
    def is_done(self) -> bool:
        """Whether the run was already finished when it was opened; says so once, and removes what a
        kill while it finished has left of its checkpoints.
        """
        if self.directory.is_done:
            say(f"{self.stage}: {self.directory.path} is already finished; nothing to do")
            self.world.once(self._forget_checkpoints)
        return self.directory.is_done

    def __enter__(self) -> Self:
        return self

    def start(self) -> None:
        """Write `config.yaml` and `run.json`: from here on the directory holds this run."""
        self.world.once(self._start)
        self._begun = True
        choose(0, self.world.once(lambda: self.directory.info["tuning"]), "")
        self._catch_signals()

    def _start(self) -> None:
        """Choose what the hardware decides, as before if the same processes go on."""
        path, kept = self.directory.path, self.directory.info.get("tuning")
        if kept and (before := kept.get("processes", 1)) != self.world.size:
            say(
                f"{self.stage}: {path} was begun with {before} processes and goes on with "
                f"{self.world.size}: from here on its figures differ by float rounding"
            )
            kept = None
        tuning = choose(
            self.config.threads,
            kept,
            str(path),
            processes=self.world.here,
            device=self.config.device,
        )
        self.directory.start(tuning | {"processes": self.world.size})

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._progress:
            self._progress.__exit__(kind, error, trace)
        try:
            if isinstance(error, Stopped | NotFiniteError):  # both are raised in every process
                self._save_last()
        finally:
            for number, handler in self._handlers.items():
                signal.signal(number, handler)
            self.directory.__exit__(kind, error, trace)
            if self._begun and self.world.is_first:
                for callback in (self._tracker, *self._callbacks):
                    callback.end(self.run, self.directory.info["status"])
        if isinstance(error, Stopped) and self._last:
            self._say_stopped(self._last.step)
        if error is not None and is_out_of_memory(error):
            raise RuntimeError(self._memory_advice(error)) from error
        if error is None and self.world.max(self.world.asked_to_stop):
            self.world.forget_stop()
            raise KeyboardInterrupt  # too late for this stage, not for those that follow
        self.world.forget_stop()

    def restore(self, state: TrainState) -> int:
        """Put the newest whole checkpoint into `state` and return its step; 0 for a fresh start."""
        checkpoint = self._checkpoint_to_resume()
        if checkpoint is None:
            self.world.once(lambda: self.directory.cut_back(0))
            self._open_tracker(0)
            return 0
        whose = (checkpoint.path, checkpoint.step, checkpoint.run)
        self.world.once(lambda: self.directory.refuse_foreign(*whose))
        try:
            places = state.places(checkpoint.shapes)
            checkpoint.read(places)
            if lacking := sorted(state.counters.keys() - checkpoint.state.keys()):
                raise ValueError(f"{lacking[0]} is missing")
            state.restore(places, checkpoint.state)
        except (KeyError, ValueError, RuntimeError) as error:
            raise UserError(
                f"{checkpoint.path} does not fit the model ({' '.join(str(error).split())}); "
                "give a checkpoint of this very run, or choose another --out"
            ) from None
        if self.config.resume not in {"auto", "never"}:  # what replaces the later ones is read
            forget_after(self.directory.path / "checkpoints", checkpoint.step)
        self.world.once(lambda: self.directory.cut_back(checkpoint.step, checkpoint.run))
        self._open_tracker(checkpoint.step)
        say(f"{self.stage}: resuming {self.directory.path} after step {checkpoint.step}")
        self._saved = Saved(checkpoint.step, time.monotonic())
        self.stopped_early = state.counters.get("stopped_early", "")
        self._last = _Finished.of(checkpoint.step, state)
        return checkpoint.step

    def _open_tracker(self, step: int) -> None:
        """The first process tells the tracker; what it is told begins after `step`."""

        def open_it() -> None:
            if self.config.report_to == "none":
                return
            run_id = self.directory.info.get("tracker_id") or secrets.token_hex(8)
            self.directory.update({"tracker_id": run_id})
            self._tracker = open_tracker(
                self.config.report_to,
                self.directory.path,
                self.stage,
                settings=self.config.model_dump(mode="json"),
                run_id=run_id,
                step=step,
            )

        self.world.once(open_it)

    def expect(self, total: int, done: int, in_a_round: int, *, cycle: int = 1) -> None:
        """Start the progress display: `total` updates, of which `done` are done, and `in_a_round`
        go through the data (an epoch, an iteration) once; after `cycle` of them the same work comes
        round again.
        """
        self._most_skipped = min(MOST_SKIPPED, max(in_a_round, FEWEST_SKIPPED))
        self._progress = StageProgress(self.stage, total, done, cycle=cycle).__enter__()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the seconds spent inside to `timing/NAME` of the next logged step."""
        start = time.perf_counter()
        if self._progress:
            self._progress.begin(PHASES.get(name, name))
        # Before its validation a step has changed the weights, but has no line in the metrics yet.
        with self.world.to_the_end() if name == "validation" else nullcontext():
            yield
        seconds = time.perf_counter() - start
        self._phases[name] = self._phases.get(name, 0.0) + seconds
        if self._progress and name == "validation":
            self._progress.spent_besides(seconds)

    def after_step(
        self,
        step: int,
        state: TrainState,
        metrics: Mapping[str, float],
        *,
        tokens: int = 0,
        episodes: int = 0,
    ) -> None:
        """Log a finished optimizer step; save if one is due; stop here if the user asked for it.

        An update that was left out has no line of its own: its figures, if it has any, and the
        count stand in the next one.

        Args:
            step: optimizer steps taken; the same as last time after one that was left out.
            state: what a checkpoint holds.
            metrics: the step's figures.
            tokens: of the step, for the throughput.
            episodes: the same.
        """
        if step == (self._last.step if self._last else 0):
            self._after_skip(state, metrics)
            return
        self._skipped_in_a_row = 0
        metrics = {**self._carried, **metrics}
        self._carried = {}
        if skipped := state.counters.get("skipped"):
            metrics = {name: value for name, value in metrics.items() if math.isfinite(value)}
            metrics[f"{self.stage}/skipped_steps"] = skipped
        best = self.config.keep_best and self._is_best(step, state, metrics)
        self.directory.append("metrics.jsonl", {"step": step, "stage": self.stage, **metrics})
        self._log_timings(step, tokens, episodes)
        self._tell(step, metrics)
        if self.stopped_early:
            state.counters["stopped_early"] = self.stopped_early
        if self._progress:
            self._shown |= {key: metrics[key] for key in SHOWN if key in metrics}
            ordered = {key: self._shown[key] for key in SHOWN if key in self._shown}
            self._progress.advance(state.updates, ordered)
        self._last = _Finished.of(step, state)
        stop, minutes, latest, earliest = self.world.maxima(
            [self.world.asked_to_stop, self._is_time_to_save(), step, -step]
        )
        assert latest == -earliest, "the processes are not at the same step"
        steps = self.config.save_every and step % self.config.save_every == 0
        if stop or best or minutes or steps:
            self.save(step, state)
        if stop:
            self._say_stopped(step)
            self.world.forget_stop()
            raise KeyboardInterrupt

    def _tell(self, step: int, metrics: Mapping[str, float]) -> None:
        self._tracker.step(self.run, step, metrics)
        if self._callbacks:
            tell = partial(told, self._callbacks, self.run, step, metrics)
            self.stopped_early = self.world.once(tell) or self.stopped_early

    def _after_skip(self, state: TrainState, metrics: Mapping[str, float]) -> None:
        """The run resumes from the last step that was taken, and leaves the update out again."""
        self._skipped_in_a_row += 1
        self._carried |= metrics
        if self._progress:
            self._progress.advance(state.updates, {})
        if self._skipped_in_a_row == self._most_skipped:
            raise NotFiniteError(
                f"{self._skipped_in_a_row} updates in a row were left out, since a loss or a "
                "gradient was not finite each time: there is nothing to learn from. Mend the "
                "records named above, or take a lower learning rate"
            )
        if self.world.max(self.world.asked_to_stop):
            self._save_last()
            self._say_stopped(self._last.step if self._last else 0)
            self.world.forget_stop()
            raise KeyboardInterrupt

    def _is_best(self, step: int, state: TrainState, metrics: Mapping[str, float]) -> bool:
        """Whether this step has the best held-out figure so far; the state remembers it."""
        figures = [sign * metrics[name] for name, sign in HELD_OUT.items() if name in metrics]
        best = state.counters.get("best_checkpoint")
        if not figures or (best and figures[0] <= best["figure"]):
            return False
        state.counters["best_checkpoint"] = {"step": step, "figure": figures[0]}
        return True

    def _is_time_to_save(self) -> bool:
        minutes = self.config.save_minutes
        return bool(minutes) and time.monotonic() - self._saved.at >= 60 * minutes

    def _say_stopped(self, step: int) -> None:
        say(f"{self.stage}: stopped after step {step}; run the same command again to go on")

    def sample(self, step: int, row: Mapping[str, Any]) -> None:
        """Add one text to `samples.jsonl`."""
        self.directory.append("samples.jsonl", {"step": step, **row})
        for callback in self._callbacks if self.world.is_first else ():
            callback.sample(self.run, step, row)

    def save(self, step: int, state: TrainState) -> Path:
        """Write a checkpoint of `state` now.

        Raises:
            BrokenWeightsError: a weight is not finite.
        """
        start = time.perf_counter()
        if self._progress:
            self._progress.begin("saving")
        tensors = state.to_tensors()
        check_finite(tensors, self.world)
        self.directory.sync()
        best = state.counters.get("best_checkpoint")
        path = save_checkpoint(
            self.directory.path / "checkpoints",
            step,
            tensors,
            state.counters,
            run=self.directory.checkpoint_facts(step),
            keep=self.config.keep_checkpoints,
            best=best and best["step"],
        )
        self._saved = Saved(step, time.monotonic())
        if self._progress:
            self._progress.spent_besides(time.perf_counter() - start)
        return path

    def saved_states(self) -> list[dict[str, Any]]:
        """The counters in the checkpoints, to any of which a resume may go back."""
        folder = self.directory.path / "checkpoints"
        return self.world.once(lambda: saved_states(folder))

    def _save_last(self) -> None:
        """The state after the last finished step: a step that was given up has changed no weight,
        but may have moved counters on.
        """
        if self._last and self._last.step > self._saved.step:
            state = self._last.state
            state.replace(self._last.counters, self._last.tensors)
            self.save(self._last.step, state)

    def save_model(self, network: Network, name: str = "model") -> None:
        """Write a network, whole, to the folder `name` of the run directory.

        Raises:
            BrokenWeightsError: a weight is not finite.
        """
        named = network.model.named_parameters()
        check_finite({f"weight.{name}.{key}": weight for key, weight in named}, self.world)
        network.about = about(name if name == "critic" else self.stage, self.config)
        weights = full_weights(network.model, self.world)
        self.world.once(lambda: network.save(self.directory.path / name, weights))

    def check_finite(self, state: TrainState) -> None:
        """Before the first result is written: the last step may have broken a weight.

        Raises:
            BrokenWeightsError: it has.
        """
        check_finite(state.to_tensors(), self.world)

    def write_json(self, name: str, value: Any) -> None:
        """Write a file of the run directory at once."""
        text = json.dumps(value, indent=1) + "\n"
        self.world.once(lambda: write_atomically(self.directory.path / name, text))

    def finish(self) -> Run:
        """Mark the run as done; then its checkpoints are no longer needed."""
        if self._skipped_in_a_row:
            left_out = {"updates": self._skipped_in_a_row, **self._carried}
            self.world.once(lambda: self.directory.update({"left_out_at_the_end": left_out}))
        if self._last and (best := self._last.counters.get("best_checkpoint")):
            self.world.once(lambda: self.directory.update({"best_checkpoint": best}))
        if self.stopped_early and self._last:
            early = {"step": self._last.step, "reason": self.stopped_early}
            say(f"{self.stage}: stopped early after step {self._last.step}: {self.stopped_early}")
            self.world.once(lambda: self.directory.update({"stopped_early": early}))
        self.world.once(self.directory.finish)
        self.world.once(self._forget_checkpoints)
        return self.run

    def _forget_checkpoints(self) -> None:
        """Of a run that `run.json` calls done, whose model is therefore on the disk."""
        if self.config.keep_finished:
            return
        best = self.directory.info.get("best_checkpoint") if self.config.keep_best else None
        forget_finished(self.directory.path / "checkpoints", best=best and best["step"])

    def _checkpoint_to_resume(self) -> Checkpoint | None:
        if self.config.resume in {"auto", "never"}:
            return latest_checkpoint(self.directory.path / "checkpoints", notice=say)
        try:
            return open_checkpoint(Path(self.config.resume))
        except DamagedCheckpointError as error:
            raise UserError(f"--resume: {error}; give a checkpoint directory, or auto") from None

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
            "timings.jsonl", {"step": step, **row, "memory/peak_bytes": peak_memory_bytes()}
        )
        self._phases.clear()

    def _catch_signals(self) -> None:
        """First Ctrl-C, SIGTERM or closed terminal: finish the step, save, stop. Second: stop at
        once.
        """
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGINT, *STOPPING):
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._handlers[number] = signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if number == HANGUP:
            leave_terminal()
        if not self.world.asked_to_stop:
            self.world.ask_to_stop()
            say("finishing this step and saving; press Ctrl-C again to stop at once")
        elif self.world.size == 1:  # torchrun hands every signal on, to processes that had it too
            raise KeyboardInterrupt

    def _memory_advice(self, error: BaseException) -> str:
        last = newest_whole(self.directory.path / "checkpoints")
        kept = "" if last is None else f"the checkpoint of step {last} is whole; "
        what, *_ = str(error).strip().splitlines() or [type(error).__name__]
        return (
            f"{self.stage}: out of memory ({what[:120]}); {kept}"
            "go on with --activation_checkpointing, or with smaller --micro_batch_tokens or "
            "--rollout_slots"
        )


class Saved(NamedTuple):
    """The last checkpoint: its step, and when it was written (monotonic seconds)."""

    step: int
    at: float


class _Finished(NamedTuple):
    """A finished step, with what the next one replaces before it has changed a weight."""

    step: int
    state: TrainState
    counters: dict[str, Any]
    tensors: dict[str, Tensor]

    @classmethod
    def of(cls, step: int, state: TrainState) -> Self:
        return cls(step, state, dict(state.counters), dict(state.tensors))


MOST_SKIPPED, FEWEST_SKIPPED = 10, 3
"""So many updates left out in a row end a run (`on_nonfinite: skip`), or a whole epoch or iteration
if that is less, but not fewer.
"""
