"""Where a command's memory goes, stage by stage and phase by phase, a JSON line each.

    python benchmarks/memory.py --out lines.jsonl -- quickstart --out runs/loop

Runs the command in this process. A thread reads every few milliseconds how much is resident (pages
of files left out) and, on Linux with glibc, how much of it is allocated; the difference is what the
allocator keeps. Where a phase ends, the tensors of the networks are counted by what they are.
Megabytes.
"""

import argparse
import ctypes
import functools
import gc
import json
import pkgutil
import re
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor
from transformers import PreTrainedModel

from instructgpt import cli
from instructgpt.rollout.cache import SlotCache
from instructgpt.training.state import TrainState

EVERY_SECONDS = 0.05
PHASES = {
    "instructgpt.models.load:_load": "load",
    "instructgpt.rollout.policy:SFTModel.sample": "sample",
    "instructgpt.sft.trainer:SFTTrainer.train_step": "train_step",
    "instructgpt.reward.stage:fit_head": "fit_head",
    "instructgpt.reward.stage:_set_shift": "shift",
    "instructgpt.reward.stage:_write_evaluation": "evaluation",
    "instructgpt.reward.stage:_check_saved_head": "check",
    "instructgpt.reward.trainer:RewardModelTrainer.train_step": "train_step",
    "instructgpt.ppo.model:PPOModel.__init__": "copies",
    "instructgpt.ppo.trainer:PPOTrainer.__init__": "prepare",
    "instructgpt.ppo.collect:Collector.read": "read",
    "instructgpt.ppo.step:MinibatchStep.policy_backward": "policy",
    "instructgpt.ppo.step:MinibatchStep.pretraining_backward": "pretraining",
    "instructgpt.ppo.step:MinibatchStep.value_backward": "value",
    "instructgpt.ppo.step:MinibatchStep.optimize": "optimize",
    "instructgpt.evaluation.stage:language_model_loss": "prose",
    "instructgpt.training.run:TrainingRun.save": "checkpoint",
    "instructgpt.training.run:TrainingRun.save_model": "save_model",
}
"""What is called a phase, by its function. A phase within another interrupts it."""
MEGABYTE = 1e6
T = TypeVar("T")


class Meter:
    """The most that each phase held, and what of it is known."""

    def __init__(self) -> None:
        self.stage, self.phase = "start", "between"
        self.most: dict[tuple[str, str], dict[str, float]] = defaultdict(lambda: defaultdict(float))
        self.known: dict[tuple[str, str], dict[str, float]] = {}
        self.seconds: dict[tuple[str, str], float] = defaultdict(float)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._over.wait(EVERY_SECONDS):
            self.look()

    def look(self) -> None:
        """Take the reading of this moment."""
        resident, allocated = resident_bytes(), allocated_bytes()
        most = self.most[self.stage, self.phase]
        most["resident"] = max(most["resident"], resident)
        if allocated is not None:
            most["allocated"] = max(most["allocated"], allocated)
            most["kept_free"] = max(most["kept_free"], resident - allocated)

    @contextmanager
    def within(self, phase: str) -> Iterator[None]:
        """A phase; the one around it goes on afterwards."""
        before, self.phase = self.phase, phase
        began = time.perf_counter()
        try:
            yield
        finally:
            self.look()
            self.seconds[self.stage, phase] += time.perf_counter() - began
            found = census()
            known = self.known.setdefault((self.stage, phase), found)
            if sum(found.values()) > sum(known.values()):
                self.known[self.stage, phase] = found
            self.phase = before

    def enter(self, stage: str) -> None:
        """The stage of this name begins."""
        self.look()
        self.stage, self.phase = stage, "between"

    def lines(self) -> Iterator[dict[str, Any]]:
        """What was found, in the order in which it happened."""
        self._over.set()
        self._thread.join()
        for (stage, phase), most in self.most.items():
            known = self.known.get((stage, phase), {})
            yield {
                "stage": stage,
                "phase": phase,
                "seconds": round(self.seconds[stage, phase], 1),
                **{name: megabytes(value) for name, value in most.items()},
                "known": {name: megabytes(value) for name, value in known.items()},
                "other": megabytes(most["allocated"] - sum(known.values())),
            }


def census() -> dict[str, float]:
    """Bytes of the tensors that belong to networks, by what they are; each counted once."""
    seen: set[int] = set()

    def size(tensors: Iterable[Tensor | None]) -> float:
        total = 0.0
        for tensor in tensors:
            if tensor is None or tensor.untyped_storage().data_ptr() in seen:
                continue
            seen.add(tensor.untyped_storage().data_ptr())
            total += tensor.untyped_storage().nbytes()
        return total

    found: dict[str, float] = defaultdict(float)
    objects = gc.get_objects()

    def instances(kind: type[T]) -> list[T]:
        # By its type: `isinstance` would ask lazy modules, which import what they stand for.
        return [found for found in objects if issubclass(type(found), kind)]

    for state in instances(TrainState):
        for name, module in state.modules.items():
            found[f"{name}_weights"] += size(module.parameters())
            found[f"{name}_gradients"] += size(p.grad for p in module.parameters())
        for name, optimizer in state.optimizers.items():
            values = [v for entry in optimizer.state.values() for v in entry.values()]
            found[f"{name}_moments"] += size(v for v in values if isinstance(v, Tensor))
        for name, average in state.averages.items():
            found[f"{name}_average"] += size(average.values())
        found["batch"] += size(state.tensors.values())
    for model in instances(PreTrainedModel):
        found[f"other_{type(model).__name__}"] += size(model.parameters())
    for cache in instances(SlotCache):
        found["keys_and_values"] += size(cache._buffers())
    return {name: value for name, value in found.items() if value >= MEGABYTE}


def resident_bytes() -> float:
    """What is in memory of this process but for pages of files."""
    _, resident, shared, *_ = map(int, Path("/proc/self/statm").read_text().split())
    return (resident - shared) * 4096.0


class _Mallinfo2(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd",
        "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
    )]  # fmt: skip


@functools.cache
def _mallinfo2() -> Callable[[], Any] | None:
    with suppress(OSError, AttributeError):
        function = ctypes.CDLL("libc.so.6").mallinfo2
        function.restype = _Mallinfo2
        return function
    return None


def allocated_bytes() -> float | None:
    """What the program holds of the allocator's memory; None where that cannot be asked."""
    info = _mallinfo2()
    if info is None:
        return None
    found = info()
    return float(found.uordblks + found.hblkhd)


def megabytes(value: float) -> int:
    """Rounded."""
    return round(value / MEGABYTE)


def watch(meter: Meter) -> None:
    """Have the meter told where each phase begins and ends."""
    for target, phase in PHASES.items():
        holder, name = re.split(r"[.:](?=\w+$)", target)
        owner = pkgutil.resolve_name(holder)
        setattr(owner, name, _measured(getattr(owner, name), meter, phase))
    from instructgpt.pipeline.order import Stage

    run = Stage.run

    def entered(stage: Stage, config: Any) -> Any:
        meter.enter(stage.name)
        return run(stage, config)

    Stage.run = entered  # type: ignore[method-assign]


def _measured(function: Callable[..., Any], meter: Meter, phase: str) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with meter.within(phase):
            return function(*args, **kwargs)

    return call


def main() -> None:
    """Run the command and print what it held."""
    parser = argparse.ArgumentParser(description="Where a command's memory goes.")
    parser.add_argument("--out", type=Path, help="add the lines to this file")
    parser.add_argument("command", nargs="+", help="an instructgpt command, after --")
    arguments = parser.parse_args()
    torch.set_num_threads(torch.get_num_threads())  # before the thread: OpenMP is then set up here
    meter = Meter()
    watch(meter)
    sys.argv = ["instructgpt", *arguments.command]
    try:
        cli.main(arguments.command)
    except SystemExit as ended:
        if ended.code:
            raise
    finally:
        text = "".join(json.dumps(line) + "\n" for line in meter.lines())
        print(text, end="")
        if arguments.out:
            with arguments.out.open("a") as file:
                file.write(text)


if __name__ == "__main__":
    main()
