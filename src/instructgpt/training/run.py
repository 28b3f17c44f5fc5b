"""`TrainingRun` drives a stage: resume, steps, checkpoints, a stop in order."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

from instructgpt.distributed.sharding import full_weights
from instructgpt.distributed.world import Stopped, world
from instructgpt.errors import UserError
from instructgpt.models.card import about
from instructgpt.models.network import Network
from instructgpt.run.callbacks import Callback, checked
from instructgpt.run.config import Resolved, StageConfig
from instructgpt.run.directory import Run
from instructgpt.run.job import Job
from instructgpt.run.progress import say
from instructgpt.training.checkpoint import (
    Checkpoint,
    DamagedCheckpointError,
    forget_after,
    forget_finished,
    latest_checkpoint,
    newest_whole,
    open_checkpoint,
    save_checkpoint,
)
from instructgpt.training.log import StepLog
from instructgpt.training.memory import is_out_of_memory
from instructgpt.training.optimizer import NotFiniteError, check_finite
from instructgpt.training.signals import StopSignals
from instructgpt.training.state import TrainState

S = TypeVar("S", bound=StageConfig)


class TrainingRun(Job[S]):
    """One stage at work in its run directory.

    Use as a context manager. `start` begins to write, once all inputs are known to be good;
    `restore` takes the newest whole checkpoint; `after_step` logs a step, writes a checkpoint when
    one is due and stops cleanly after Ctrl-C or SIGTERM; `finish` closes the run.

    Args:
        stage: the stage's name.
        config: its settings, resolved or made in Python.
        kind: the class of the settings.
        callbacks: are told of steps, samples and the end.
        shown: the metrics beside the progress bar, in this order.
    """

    def __init__(
        self,
        stage: str,
        config: Any,
        kind: type[S],
        callbacks: Sequence[Callback] = (),
        *,
        shown: Sequence[str] = (),
    ) -> None:
        resolved: Resolved[S] = Resolved.of(config, kind)
        held_out = resolved.config.held_out(stage)
        callbacks = checked(callbacks, held_out)
        self.world = world()
        super().__init__(stage, resolved, kind, self.world)
        self.run = Run(self.path, held_out)
        self.log = StepLog(self, self.world, callbacks, shown)
        self.stopped_early = ""  # why, if a callback has said so
        self._signals = StopSignals(self.world)
        self._begun = False
        self._last: _Finished | None = None
        self._saved = Saved(0, time.monotonic())
        self._skipped_in_a_row, self._most_skipped = 0, MOST_SKIPPED
        self._carried: dict[str, float] = {}  # figures of updates left out, for the next line

    @property
    def is_done(self) -> bool:
        """Whether the run was already finished when it was opened; says so once, and removes what a
        kill while it finished has left of its checkpoints.
        """
        done = super().is_done
        if done:
            self.world.once(self._forget_checkpoints)
        return done

    def start(self) -> None:
        """Write `config.yaml` and `run.json`: from here on the directory holds this run."""
        kept, size = self.info.get("tuning"), self.world.size
        before = kept.get("processes", 1) if kept else size
        if before != size:
            say(
                f"{self.stage}: {self.path} was begun with {before} processes and goes on with "
                f"{size}: from here on its figures differ by float rounding"
            )
        self.start_computing(
            self.config.device,
            threads=self.config.threads,
            share=self.world.here,
            anew=before != size,
            processes=size,
        )
        self._begun = True
        self._signals.catch()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.log.stop_progress()
        try:
            if isinstance(error, Stopped | NotFiniteError):  # both are raised in every process
                self._save_last()
        finally:
            self._signals.release()
            super().__exit__(kind, error, trace)
            if self._begun and self.directory:
                self.log.end(self.directory.info["status"])
        if isinstance(error, Stopped) and self._last:
            self._say_stopped(self._last.step)
        if error is not None and is_out_of_memory(error):
            raise RuntimeError(self._memory_advice(error)) from error
        if error is None and self.world.max(self.world.asked_to_stop):
            self.world.forget_stop()
            raise KeyboardInterrupt  # too late for this stage, not for those that follow
        self.world.forget_stop()

    # ---------------------------------------------------------------- going on

    def restore(self, state: TrainState) -> int:
        """Put the newest whole checkpoint into `state` and return its step; 0 for a fresh start."""
        checkpoint = self._checkpoint_to_resume()
        if checkpoint is None:
            self.write(lambda directory: directory.cut_back(0))
            self.world.once(lambda: self.log.open_tracker(0))
            return 0
        path, step, facts = checkpoint.path, checkpoint.step, checkpoint.run
        self.write(lambda directory: directory.refuse_foreign(path, step, facts))
        try:
            places = state.places(checkpoint.shapes)
            checkpoint.read(places)
            if lacking := sorted(state.counters.keys() - checkpoint.state.keys()):
                raise ValueError(f"{lacking[0]} is missing")
            state.restore(places, checkpoint.state)
        except (KeyError, ValueError, RuntimeError) as error:
            raise UserError(
                f"{path} does not fit the model ({' '.join(str(error).split())}); "
                "give a checkpoint of this very run, or choose another --out"
            ) from None
        if self.config.resume not in {"auto", "never"}:  # what replaces the later ones is read
            forget_after(self._checkpoints, step)
        self.write(lambda directory: directory.cut_back(step, facts))
        self.world.once(lambda: self.log.open_tracker(step))
        say(f"{self.stage}: resuming {self.path} after step {step}")
        self._saved = Saved(step, time.monotonic())
        self.stopped_early = state.counters.get("stopped_early", "")
        self._last = _Finished.of(step, state)
        best = state.counters.get("best_checkpoint")
        if best and best["step"] == step and path.parent.resolve() != self._checkpoints.resolve():
            self.save(step, state)  # a checkpoint from elsewhere is the best one: it stays with us
        if self.config.chooses_best:
            self._best(state)  # what will be needed at the end
        return step

    def _checkpoint_to_resume(self) -> Checkpoint | None:
        if self.config.resume in {"auto", "never"}:
            return latest_checkpoint(self._checkpoints, notice=say)
        try:
            return open_checkpoint(Path(self.config.resume))
        except DamagedCheckpointError as error:
            raise UserError(f"--resume: {error}; give a checkpoint directory, or auto") from None

    # ---------------------------------------------------------------- steps

    def expect(self, total: int, done: int, in_a_round: int, *, cycle: int = 1) -> None:
        """Start the progress display: `total` updates, of which `done` are done, and `in_a_round`
        go through the data (an epoch, an iteration) once; after `cycle` of them the same work comes
        round again.
        """
        self._most_skipped = min(MOST_SKIPPED, max(in_a_round, FEWEST_SKIPPED))
        self.log.expect(total, done, cycle)

    @contextmanager
    def validating(self) -> Iterator[None]:
        """A validation. It is not given up: the step before it has changed the weights, but has no
        line in the metrics yet.
        """
        with self.world.to_the_end(), self.log.besides(), self.log.phase("validation"):
            yield

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
        best = self._is_best(step, state, metrics)  # by its own figures, not by what is carried
        metrics = {**self._carried, **metrics}
        self._carried = {}
        if skipped := state.counters.get("skipped"):
            metrics = {name: value for name, value in metrics.items() if math.isfinite(value)}
            metrics[f"{self.stage}/skipped_steps"] = skipped
        self.stopped_early = self.log.step(step, metrics, tokens, episodes) or self.stopped_early
        if self.stopped_early:
            state.counters["stopped_early"] = self.stopped_early
        self.log.advance(state.updates, metrics)
        self._last = _Finished.of(step, state)
        stop, minutes, latest, earliest = self.world.maxima(
            [self.world.asked_to_stop, self._is_time_to_save(), step, -step]
        )
        assert latest == -earliest, "the processes are not at the same step"
        steps = self.config.save_every and step % self.config.save_every == 0
        if stop or best or minutes or steps:
            self.save(step, state)
        if stop:
            self._stop(step)

    def _after_skip(self, state: TrainState, metrics: Mapping[str, float]) -> None:
        """The run resumes from the last step that was taken, and leaves the update out again."""
        self._skipped_in_a_row += 1
        self._carried |= metrics
        self.log.advance(state.updates, {})
        if self._skipped_in_a_row == self._most_skipped:
            raise NotFiniteError(
                f"{self._skipped_in_a_row} updates in a row were left out, since a loss or a "
                "gradient was not finite each time: there is nothing to learn from. Mend the "
                "records named above, or take a lower learning rate"
            )
        if self.world.max(self.world.asked_to_stop):
            self._save_last()
            self._stop(self._last.step if self._last else 0)

    def _stop(self, step: int) -> None:
        self._say_stopped(step)
        self.world.forget_stop()
        raise KeyboardInterrupt

    def _say_stopped(self, step: int) -> None:
        say(f"{self.stage}: stopped after step {step}; run the same command again to go on")

    def _is_best(self, step: int, state: TrainState, metrics: Mapping[str, float]) -> bool:
        """Whether this step is to be kept, as that of the best held-out figure so far; the state
        remembers it.
        """
        watched, best = self.run.held_out, state.counters.get("best_checkpoint")
        if not (self.config.keep_best or self.config.chooses_best) or not watched:
            return False
        figure = metrics.get(watched.name, math.nan) * (1 if watched.higher_is_better else -1)
        if not math.isfinite(figure) or (best and figure <= best["figure"]):
            return False
        state.counters["best_checkpoint"] = {"step": step, "figure": figure}
        return True

    # ---------------------------------------------------------------- writing

    @property
    def _checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def _is_time_to_save(self) -> bool:
        minutes = self.config.save_minutes
        return bool(minutes) and time.monotonic() - self._saved.at >= 60 * minutes

    def save(self, step: int, state: TrainState) -> Path:
        """Write a checkpoint of `state` now.

        Raises:
            BrokenWeightsError: a weight is not finite.
        """
        with self.log.besides():
            self.log.begin("saving")
            tensors = state.to_tensors()
            check_finite(tensors, self.world)
            self.sync()
            path = save_checkpoint(
                self._checkpoints,
                step,
                tensors,
                state.counters,
                run=self.directory.checkpoint_facts(step) if self.directory else {},
                keep=self.config.keep_checkpoints,
            )
        self._saved = Saved(step, time.monotonic())
        return path

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
        self.world.once(lambda: network.save(self.path / name, weights))

    def take_best(self, state: TrainState) -> int | None:
        """Put the weights of the best step into the networks; returns which it was.

        Raises:
            UserError: its checkpoint is damaged.
        """
        if not (best := self._best(state)):
            return None
        places = state.places(best.shapes)
        best.read({key: place for key, place in places.items() if key.startswith("weight.")})
        return best.step

    def _best(self, state: TrainState) -> Checkpoint | None:
        """The best step's checkpoint, every byte checked.

        Raises:
            UserError: it is damaged.
        """
        if not (best := state.counters.get("best_checkpoint")):
            return None
        try:
            return open_checkpoint(self._checkpoints / f"step-{best['step']}")
        except DamagedCheckpointError as error:
            raise UserError(
                f"{error}, and it is the best step's; begin again with another --out"
            ) from None

    def check_finite(self, state: TrainState) -> None:
        """Before the first result is written: the last step may have broken a weight.

        Raises:
            BrokenWeightsError: it has.
        """
        check_finite(state.to_tensors(), self.world)

    def finish(self) -> Run:
        """Mark the run as done; then its checkpoints are no longer needed."""
        if self._skipped_in_a_row:
            left_out = {"updates": self._skipped_in_a_row, **self._carried}
            self.update({"left_out_at_the_end": left_out})
        best = self._last and self._last.counters.get("best_checkpoint")
        if best and self.config.keep_best:
            self.update({"best_checkpoint": best})
        if self.stopped_early and self._last:
            early = {"step": self._last.step, "reason": self.stopped_early}
            say(f"{self.stage}: stopped early after step {self._last.step}: {self.stopped_early}")
            self.update({"stopped_early": early})
        super().finish()
        self.world.once(self._forget_checkpoints)
        return self.run

    def _forget_checkpoints(self) -> None:
        """Of a run that `run.json` calls done, whose model is therefore on the disk."""
        if self.config.keep_finished or not self.directory:
            return
        best = self.directory.info.get("best_checkpoint") if self.config.keep_best else None
        forget_finished(self._checkpoints, best=best and best["step"])

    def _memory_advice(self, error: BaseException) -> str:
        last = newest_whole(self._checkpoints)
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
    tensors: dict[str, Any]

    @classmethod
    def of(cls, step: int, state: TrainState) -> Self:
        return cls(step, state, dict(state.counters), dict(state.tensors))


MOST_SKIPPED, FEWEST_SKIPPED = 10, 3
"""So many updates left out in a row end a run (`on_nonfinite: skip`), or a whole epoch or iteration
if that is less, but not fewer.
"""
