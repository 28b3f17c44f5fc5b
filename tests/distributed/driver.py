"""Small runs one after the other, alone or as one of several processes, some with trouble.

`python -m torch.distributed.run --nproc-per-node N driver.py CASES.json` runs a list of cases; the
first process adds a line to `CASES.jsonl` for each. A case is `{name, stage, settings, out,
trouble}`, the trouble a list of `[name in TROUBLES, arguments]`. With `command` it is run as a user
would, and ends the process as the command does.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
import pytest
import torch

from instructgpt.distributed import world as world_module
from instructgpt.distributed.world import World, leave, world
from instructgpt.models import forward
from instructgpt.ppo.step import MinibatchStep
from instructgpt.ppo.trainer import PPOTrainer
from instructgpt.reward.trainer import RewardModelTrainer
from instructgpt.rollout import engine
from instructgpt.sft.trainer import SFTTrainer
from instructgpt.training import run as training
from instructgpt.training.run import TrainingRun
from tests.small_runs import killed_after, one_backend, run_stage

Patch = pytest.MonkeyPatch
PASSES = (
    (SFTTrainer, "_loss_sum"),
    (RewardModelTrainer, "compute_comparison_loss"),
)
"""A forward pass of a trainer: what it returns is a tensor, or begins with one. PPO's is its
collector's, of values.
"""


@contextmanager
def patched(where: Any, name: str, value: Any) -> Iterator[None]:
    """An attribute is another for a while."""
    with Patch.context() as patch:
        patch.setattr(where, name, value)
        yield


@contextmanager
def around_passes(act: Callable[[Any, Any, tuple[Any, ...]], Any]) -> Iterator[None]:
    """Every forward pass of a trainer returns `act(trainer, what it found, its arguments)`."""

    def wrapped(real: Callable[..., Any]) -> Callable[..., Any]:
        return lambda trainer, *args: act(trainer, real(trainer, *args), args)

    def watched(self: PPOTrainer, *args: Any, **kwargs: Any) -> None:
        made(self, *args, **kwargs)
        read = self._collector.values
        self._collector.values = lambda rows: act(self, read(rows), (rows,))

    made = PPOTrainer.__init__
    with Patch.context() as patch:
        for trainer, name in PASSES:
            patch.setattr(trainer, name, wrapped(getattr(trainer, name)))
        patch.setattr(PPOTrainer, "__init__", watched)
        yield


def is_mine(ranks: Sequence[int]) -> bool:
    """Whether this process is one of those; none are all."""
    return not ranks or world().rank in ranks


# -------------------------------------------------------------------- trouble


@contextmanager
def averages_of_averages() -> Iterator[None]:
    """The well-known mistake: each process divides by its own count, and the means are averaged."""
    counts: list[int] = []
    real = World.micro_batches

    def micro_batches(self: World, *args: Any) -> Iterator[Any]:
        own = list(real(self, *args))
        mine = sum(counts[i] for batch in own if batch.weight for i in batch.indices)
        for batch in own:
            factor = sum(counts) / (max(mine, 1) * self.size)
            yield batch._replace(weight=batch.weight * factor)

    def counting(
        where: type, name: str, count: Callable[[Any], list[int]] | None, patch: Patch
    ) -> None:
        method = getattr(where, name)

        def call(trainer: Any, *args: Any) -> Any:
            counts[:] = count(args[0]) if count else trainer.batch.response_length_B.tolist()
            return method(trainer, *args)

        patch.setattr(where, name, call)

    with Patch.context() as patch:
        patch.setattr(World, "micro_batches", micro_batches)
        counting(SFTTrainer, "train_step", lambda b: [len(e.response) for e in b], patch)
        counting(SFTTrainer, "validation_loss", lambda b: [len(e.response) for e in b], patch)
        counting(RewardModelTrainer, "train_step", lambda b: [len(c.ranks) for c in b], patch)
        for name in ("policy_backward", "value_backward"):
            counting(MinibatchStep, name, None, patch)
        counting(MinibatchStep, "pretraining_backward", lambda b: [len(w) - 1 for w in b], patch)
        yield


@contextmanager
def asked_to_stop(
    step: int, place: str = "pass", ranks: Sequence[int] = (), grace: float = 0.0
) -> Iterator[None]:
    """SIGTERM: in a step's pass, rollout or validation, at its end, or when the run is done."""
    sent: list[bool] = []
    latest = [0]

    def send() -> None:
        if not sent and is_mine(ranks):
            sent.append(True)
            os.kill(os.getpid(), signal.SIGTERM)

    def in_pass(trainer: Any, found: Any, _args: Any) -> Any:
        wanted = "pass" if torch.is_grad_enabled() else "validation"
        taken = trainer.step + (wanted == "pass")
        if place == wanted and taken == step:
            send()
        return found

    def add_tokens(*args: Any) -> None:
        add(*args)
        if place == "rollout" and latest[0] + 1 == step:
            send()

    def after_step(run: TrainingRun, number: int, *args: Any, **kwargs: Any) -> None:
        if place == "end" and number == step:
            send()
        latest[0] = number
        after(run, number, *args, **kwargs)

    def finish(run: TrainingRun) -> Any:
        if place == "finish":
            send()
        return finished(run)

    add, after, finished = engine._add_tokens, TrainingRun.after_step, TrainingRun.finish
    with ExitStack() as stack:
        stack.enter_context(patched(TrainingRun, "finish", finish))
        stack.enter_context(patched(world_module, "STEP_GRACE_SECONDS", grace))
        stack.enter_context(patched(engine, "_add_tokens", add_tokens))
        stack.enter_context(patched(TrainingRun, "after_step", after_step))
        stack.enter_context(around_passes(in_pass))
        yield


@contextmanager
def poisoned(updates: Sequence[int], item: str) -> Iterator[None]:
    """In these updates the loss of one prompt is NaN."""

    def holds(trainer: Any, args: tuple[Any, ...]) -> bool:
        if isinstance(trainer, SFTTrainer):
            return any(trainer.policy.text.decode(e.prompt) == item for e in args[0])
        if isinstance(trainer, RewardModelTrainer):
            return any(trainer.reward.text.decode(c.prompt) == item for c in args[0])
        ids = trainer.ppo.policy.text.prompt(item)
        return any(row[: len(ids)] == ids for row in args[0].tokens_BT.tolist())

    def act(trainer: Any, found: Any, args: tuple[Any, ...]) -> Any:
        now = trainer.state.updates + 1
        if not torch.is_grad_enabled() or now not in updates or not holds(trainer, args):
            return found
        nan = float("nan")
        return found * nan if torch.is_tensor(found) else (found[0] * nan, *found[1:])

    with around_passes(act):
        yield


@contextmanager
def failing(
    step: int, error: str, ranks: Sequence[int] = (), within: bool = False
) -> Iterator[None]:
    """A training pass of a step ends with an error, or the process with a signal; or (`within`) it
    fails in the middle of a pass that reads. Under torchrun only the first time.
    """
    real = forward.hidden_states
    latest = [0]

    def fail() -> None:
        if is_mine(ranks) and os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0":
            if error.startswith("SIG"):
                os.kill(os.getpid(), signal.Signals[error])
            else:
                raise ERRORS[error]

    def act(trainer: Any, found: Any, _args: Any) -> Any:
        latest[0] = trainer.step
        if torch.is_grad_enabled() and trainer.step + 1 == step and not within:
            fail()
        return found

    def hidden_states(*args: Any) -> torch.Tensor:
        if within and not torch.is_grad_enabled() and latest[0] + 1 == step:
            fail()
        return real(*args)

    with patched(forward, "hidden_states", hidden_states), around_passes(act):
        yield


ERRORS = {
    "memory": MemoryError(),
    "device": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.\nGPU 0 has"),
    "runtime": RuntimeError("the cat has run over the keyboard"),
    "type": TypeError("no cat has run over the keyboard"),
}


@contextmanager
def clocks(minutes: float, *, wall: bool, ranks: Sequence[int] = ()) -> Iterator[None]:
    """So many minutes go by in each step: on the wall clock, or on the one that counts."""
    passed = [0.0]
    real = time.time, time.monotonic
    after = TrainingRun.after_step

    def after_step(run: TrainingRun, *args: Any, **kwargs: Any) -> None:
        passed[0] += 60 * minutes * is_mine(ranks)
        after(run, *args, **kwargs)

    with Patch.context() as patch:
        patch.setattr(TrainingRun, "after_step", after_step)
        if wall:
            patch.setattr(time, "time", lambda: real[0]() + passed[0])
        else:
            clock = SimpleNamespace(
                monotonic=lambda: real[1]() + passed[0], perf_counter=time.perf_counter
            )
            patch.setattr(training, "time", clock)
        yield


@contextmanager
def slowed(seconds: float) -> Iterator[None]:
    """Every training pass takes so much longer."""

    def act(_trainer: Any, found: Any, _args: Any) -> Any:
        time.sleep(seconds * torch.is_grad_enabled())
        return found

    with around_passes(act):
        yield


@contextmanager
def logits_from_the_model() -> Iterator[None]:
    """As for architectures that scale their logits: the same numbers by the model's own forward."""
    asked: list[Any] = []
    with patched(forward, "head_is_plain", asked.append):  # None: it is not
        yield
    assert asked


TROUBLES: dict[str, Callable[..., Any]] = {
    "averages_of_averages": averages_of_averages,
    "asked_to_stop": asked_to_stop,
    "poisoned": poisoned,
    "failing": failing,
    "clocks": clocks,
    "slowed": slowed,
    "logits_from_the_model": logits_from_the_model,
    "killed_after": killed_after,
}


# -------------------------------------------------------------------- running


@contextmanager
def troubled(case: dict[str, Any]) -> Iterator[None]:
    """The case's trouble, and no choice of a backend by measurement."""
    with ExitStack() as stack:
        stack.enter_context(one_backend())
        for name, arguments in case["trouble"]:
            stack.enter_context(TROUBLES[name](**arguments))
        yield


def run_case(case: dict[str, Any]) -> str:
    """Run it, and say what ended it: an empty string if nothing did."""
    try:
        with troubled(case):
            run_stage(case["stage"], case["settings"], Path(case["out"]))
    except (Exception, KeyboardInterrupt) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def run_command(case: dict[str, Any]) -> None:
    """The stage's command with the case's settings as flags; it ends the process."""
    from instructgpt.cli import main

    flags = {**case["settings"], "out": case["out"], "threads": 1}
    with troubled(case):
        main([case["stage"], *(f"--{key}={value}" for key, value in flags.items())])


def main(path: Path) -> None:
    """Run the cases in the file."""
    torch.set_num_threads(1)
    for case in json.loads(path.read_text()):
        if case.get("command"):
            run_command(case)
            return
        begun = time.monotonic()
        ended = run_case(case)
        if world().is_first:
            line = {"name": case["name"], "ended": ended, "seconds": time.monotonic() - begun}
            with path.with_suffix(".jsonl").open("a") as file:
                file.write(json.dumps(line) + "\n")
    leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
