"""What distribution costs: state, memory, bytes sent, time, checkpoints, of 1, 2 and 4 processes.

    python benchmarks/scaling.py --rounds 3 --out benchmarks/results/scaling.json

Each stage trains a small Llama with random weights under torchrun. `4/2` is four processes of which
two share a copy of the weights (`shard_size: 2`). A micro-batch is a single sequence, so that the
number of passes is known beforehand and what is sent can be held against theory (`pass_bytes`).
The program ends with 1 if a process's state does not fall with the processes that share it, if the
bytes sent or a checkpoint's size are not those of theory, or if the kernel saw others.

How bytes are counted: torch dispatches every collective, whoever asks for it (FSDP, DTensor, our
own sums); a mode sees it with its tensors, and a ring sends what follows from their sizes. With
gloo on Linux the bytes that the process writes confirm it, except that gloo makes a reduce-scatter
of an all-reduce: there they are twice the ring's.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import _resolve_process_group
from torch.distributed.tensor import DTensor
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import PreTrainedModel

from instructgpt.distributed.world import leave, world
from instructgpt.ppo import PPOConfig, PPOModel, PPOTrainer
from instructgpt.reward import RewardConfig, RewardModel, RewardModelTrainer
from instructgpt.reward.data import Comparison
from instructgpt.run.tuning import available_cores, faster_matmul
from instructgpt.sft import Example, SFTConfig, SFTModel, SFTTrainer
from instructgpt.training.checkpoint import Checkpoint, latest_checkpoint, save_checkpoint
from instructgpt.training.state import TrainState
from measure import emit, machine, peak_bytes, synchronize
from workload import SETTINGS, SHAPES, as_text, draw_tokens, load

SEQUENCES = 8
"""In a step; the number of processes divides it."""
PROMPT, ANSWER = 32, 32
"""Tokens of each."""
RANKED = 4
"""Answers to a prompt of the reward model."""
SAVES = 3
"""Checkpoints written and read back; their median counts."""

STATE_TOLERANCE, SENT_TOLERANCE = 0.05, 0.10
UNDIVIDED = 2**16
"""Bytes that every process may hold besides its share: rows that cannot be divided, headers."""


class Layout(NamedTuple):
    """How many processes, and how many of them share one copy of the weights."""

    processes: int
    shards: int

    @classmethod
    def parse(cls, text: str) -> "Layout":
        """`4` or `4/2`."""
        processes, _, shards = text.partition("/")
        layout = cls(int(processes), int(shards or processes))
        if SEQUENCES % layout.processes or layout.processes % layout.shards:
            raise ValueError(text)
        return layout

    def __str__(self) -> str:
        return str(self.processes) + f"/{self.shards}" * (self.shards < self.processes)


LAYOUTS = [Layout(1, 1), Layout(2, 2), Layout(4, 4), Layout(4, 2)]


# -------------------------------------------------------------------- theory


def gather_bytes(parameters: int, layout: Layout, dtype: str) -> float:
    """What each process sends to make a network whole once, in the forward's dtype.

    >>> gather_bytes(1000, Layout(4, 4), "bfloat16")
    1500.0
    """
    width = 2 if dtype == "bfloat16" else 4
    return (layout.shards - 1) / layout.shards * width * parameters


def pass_bytes(parameters: int, layout: Layout, dtype: str) -> float:
    """What each process sends in a forward and a backward pass.

    The network is gathered for both, and the gradient's float32 parts are summed where they belong;
    where each part has replicas, these are summed as well.

    >>> pass_bytes(1000, Layout(4, 4), "float32"), pass_bytes(1000, Layout(4, 2), "float32")
    (9000.0, 8000.0)
    """
    replicas = layout.processes // layout.shards
    scattered = (layout.shards - 1) / layout.shards * 4 * parameters
    reduced = 2 * (replicas - 1) / replicas * 4 * parameters / layout.shards
    return 2 * gather_bytes(parameters, layout, dtype) + scattered + reduced


def state_bytes(parameters: Mapping[str, int]) -> int:
    """Of all processes: float32 weights, gradients and two moments of what trains, 16 a parameter;
    4 each for a running average and for what is frozen.
    """
    return 16 * parameters["trained"] + 4 * parameters["averaged"] + 4 * parameters["frozen"]


def checkpoint_bytes(parameters: Mapping[str, int]) -> int:
    """Weights and moments of what trains, and running averages."""
    return 12 * parameters["trained"] + 4 * parameters["averaged"]


# -------------------------------------------------------------------- the stages


class Phase(NamedTuple):
    """A part of a step, and the bytes that each process should send in it."""

    run: Callable[[], object]
    theory: float


@dataclass(frozen=True)
class Work:
    """A stage that is ready to train: its phases, in order, are a step."""

    state: TrainState
    frozen: Sequence[PreTrainedModel]
    phases: Mapping[str, Phase]

    def tensors(self) -> dict[str, list[Tensor]]:
        """The weights that train, their running averages, and the weights that do not."""
        trained, averages = self.state.modules.values(), self.state.averages.values()
        return {
            "trained": [p for module in trained for p in module.parameters()],
            "averaged": [tensor for named in averages for tensor in named.values()],
            "frozen": [p for model in self.frozen for p in model.parameters()],
        }


def sft(policy: SFTModel, layout: Layout, settings: dict[str, Any]) -> Work:
    """A step on `SEQUENCES` demonstrations."""
    texts = draw_tokens([PROMPT + ANSWER] * SEQUENCES, policy, seed=1)
    batch = [Example(text[:PROMPT], text[PROMPT:]) for text in texts]
    trainer = SFTTrainer(policy, SFTConfig(**settings, dropout=0.0))
    return _training(trainer, policy.model, batch, layout)


def reward(policy: SFTModel, layout: Layout, settings: dict[str, Any]) -> Work:
    """A step on `SEQUENCES` prompts with `RANKED` answers each."""
    batch, ranks = [], list(range(1, RANKED + 1))
    for number in range(SEQUENCES):
        prompt, *answers = draw_tokens([PROMPT] + [ANSWER] * RANKED, policy, seed=number)
        batch.append(Comparison(str(number), prompt, answers, [ranks], ["a"]))
    scorer = RewardModel(policy)
    trainer = RewardModelTrainer(scorer, RewardConfig(**settings))
    return _training(trainer, scorer.model, batch, layout)


def _training(
    trainer: SFTTrainer | RewardModelTrainer, model: PreTrainedModel, batch: Any, layout: Layout
) -> Work:
    sent = pass_bytes(count(model.parameters()), layout, trainer.config.dtype)
    passes = SEQUENCES // layout.processes
    return Work(
        trainer.state, [], {"step": Phase(lambda: trainer.train_step(batch), passes * sent)}
    )


def ppo(policy: SFTModel, layout: Layout, settings: dict[str, Any]) -> Work:
    """An iteration of `SEQUENCES` episodes, one update, and as many pretraining windows; and its
    experience once more without gathering whole networks (`gather_weights: false`).
    """
    options: dict[str, Any] = {"reward_model": "-", "pretrain_data": "-", "old_logprobs": "trainer"}
    options |= {"batch_size": SEQUENCES, "num_mini_batches": 1, "response_length": ANSWER}
    config = PPOConfig(**settings, **options, ptx_ratio=1, grad_ratio_every=10**6)
    prompts = [as_text(text) for text in draw_tokens([PROMPT] * SEQUENCES, policy, seed=1)]
    windows = draw_tokens([PROMPT + ANSWER] * SEQUENCES, policy, seed=2)
    networks = PPOModel(policy, RewardModel(policy))
    trainer = PPOTrainer(networks, config)

    def experience_by_layer() -> None:
        by_layer = config.model_copy(update={"gather_weights": False})
        with mock.patch.object(trainer._collector, "config", by_layer):
            trainer.make_experience(prompts, range(SEQUENCES))

    actor, critic, *frozen = (
        count(network.model.parameters())
        for network in (policy, networks.critic, networks.reference, networks.reward_model)
    )
    passes, everyone = SEQUENCES // layout.processes, actor + critic + sum(frozen)
    # All are gathered once to be read, the policy before that to sample; or each in every pass.
    gathered = gather_bytes(actor + everyone, layout, config.dtype)
    by_layer = gather_bytes(ANSWER * actor + passes * everyone, layout, config.dtype)
    trained = passes * pass_bytes(2 * actor + critic, layout, config.dtype)  # twice: with windows
    phases = {
        "experience": Phase(lambda: trainer.collect(prompts), gathered),
        "update": Phase(lambda: trainer.update(windows), trained),
        "experience_by_layer": Phase(experience_by_layer, by_layer),
    }
    return Work(trainer.state, [networks.reference.model, networks.reward_model.model], phases)


STAGES = {"sft": sft, "reward": reward, "ppo": ppo}


def count(tensors: Iterable[Tensor]) -> int:
    """Numbers in them, over all processes."""
    return sum(tensor.numel() for tensor in tensors)


# -------------------------------------------------------------------- one process


class SentBytes(TorchDispatchMode):
    """Adds up, by kind, what the collectives in its context make this process send."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Look at a collective; sharded tensors are let through, and come back as their parts."""
        if any(issubclass(kind, DTensor) for kind in types):
            return NotImplemented
        if getattr(func, "namespace", "") in ("c10d", "_c10d_functional"):
            name = func._schema.name.split("::")[1]
            if name not in ("wait_tensor", "_wrap_tensor_autograd"):
                kind, sent = _sent(name, args)
                self.bytes[kind] += int(sent)
        return func(*args, **(kwargs or {}))


def _sent(name: str, args: Any) -> tuple[str, float]:
    """The kind of a collective, and what each process sends round a ring; nothing is passed over.

    Raises:
        NotImplementedError: a collective that is not known here.
    """
    if name == "_allgather_base_":
        whole, part = args[:2]
        return "all_gather", whole.nbytes - part.nbytes
    if name == "_reduce_scatter_base_":
        part, whole = args[:2]
        return "reduce_scatter", whole.nbytes - part.nbytes
    if name == "allreduce_":
        size = dist.ProcessGroup.unbox(args[1]).size()
        return "all_reduce", 2 * (size - 1) / size * sum(tensor.nbytes for tensor in args[0])
    if name == "all_reduce":  # of a sharded norm
        size = _resolve_process_group(args[2]).size()
        return "all_reduce", 2 * (size - 1) / size * args[0].nbytes
    if name == "allgather_":  # of Python objects
        outputs, inputs = args[:2]
        return "objects", sum((len(o) - 1) * i.nbytes for o, i in zip(outputs, inputs, strict=True))
    raise NotImplementedError(f"the collective {name}")


def written_bytes() -> int | None:
    """What this process has written so far, to sockets too; None where that is not known."""
    path = Path("/proc/self/io")
    if not path.exists() or (dist.is_initialized() and dist.get_backend() != "gloo"):
        return None
    return int(dict(line.split(": ") for line in path.read_text().splitlines())["wchar"])


def measure(arguments: argparse.Namespace, stage: str, layout: Layout) -> dict[str, Any]:
    """Train a stage as one of the processes of a layout; returns what this one saw."""
    device = torch.device(arguments.device)
    world()
    start = peak_bytes(device)
    hardware = {"dtype": arguments.dtype, "micro_batch_tokens": 1, "shard_size": layout.shards}
    work = STAGES[stage](load(arguments), layout, SETTINGS | hardware)
    held: dict[str, int] = {}
    first, *_ = work.state.optimizers.values()
    first.register_step_pre_hook(lambda *_: held.update(_held(work)))

    times: dict[str, list[Timed]] = {name: [] for name in work.phases}
    for _ in range(1 + arguments.steps):
        for name, phase in work.phases.items():
            times[name].append(timed(phase.run, device))
    return {
        "parameters": {name: count(tensors) for name, tensors in work.tensors().items()},
        "phases": {
            name: {
                "seconds": median([found.seconds for found in times[name][1:]]),
                "cpu_seconds": median([found.cpu_seconds for found in times[name][1:]]),
                "sent": _count_sent(phase),
                "theory": round(phase.theory),
            }
            for name, phase in work.phases.items()
        },
        "state": held,
        "peak_bytes": peak_bytes(device) - start,
        "checkpoint": _checkpoint(work.state, arguments.report.parent / "checkpoints", device),
    }


class Timed(NamedTuple):
    """What some work gave, by the clock, and of this process's time on a processor."""

    result: Any
    seconds: float
    cpu_seconds: float


def timed(work: Callable[[], Any], device: torch.device) -> Timed:
    """Do something that all processes do together, beginning at the same time."""
    world().max(0)
    synchronize(device)
    clock, processor = time.perf_counter(), time.process_time()
    result = work()
    synchronize(device)
    return Timed(result, time.perf_counter() - clock, time.process_time() - processor)


def median(values: Sequence[float]) -> float:
    """To four places, which is more than a clock is good for."""
    return round(statistics.median(values), 4)


def _held(work: Work) -> dict[str, int]:
    """Bytes that this process holds, asked when the first optimizer is about to step."""
    tensors = work.tensors()
    tensors["gradients"] = [p.grad for p in tensors["trained"] if p.grad is not None]
    states = [s for optimizer in work.state.optimizers.values() for s in optimizer.state.values()]
    tensors["moments"] = [tensor for state in states for tensor in state.values()]
    return {
        name: sum((t.to_local() if isinstance(t, DTensor) else t).nbytes for t in found)
        for name, found in tensors.items()
    }


def _count_sent(phase: Phase) -> dict[str, int]:
    before = written_bytes()
    with SentBytes() as sent:
        phase.run()
    after = written_bytes()
    written = {} if before is None or after is None else {"written": after - before}
    return {**+sent.bytes, "all": sent.bytes.total(), **written}


def _checkpoint(state: TrainState, folder: Path, device: torch.device) -> dict[str, Any]:
    """Write it, and take it back as a resumed run does."""
    seconds: dict[str, list[float]] = {"save": [], "open": [], "read": []}

    def save(step: int) -> None:
        save_checkpoint(folder, step, state.to_tensors(), state.counters, keep=1)

    def read(checkpoint: Checkpoint) -> None:
        places = state.places(checkpoint.shapes)
        checkpoint.read(places)
        state.restore(places, checkpoint.state)

    for step in range(1, 1 + SAVES):
        seconds["save"].append(timed(partial(save, step), device).seconds)
        opened = timed(lambda: latest_checkpoint(folder, notice=sys.exit), device)
        seconds["open"].append(opened.seconds)
        seconds["read"].append(timed(partial(read, opened.result), device).seconds)
    sizes = sorted(path.stat().st_size for path in folder.glob("*/*.safetensors"))
    medians = {f"{name}_seconds": median(taken) for name, taken in seconds.items()}
    return {**medians, "file_bytes": sizes, "bytes": sum(sizes)}


# -------------------------------------------------------------------- all processes


def together(reports: Sequence[Any], name: str = "") -> Any:
    """The processes' reports as one: of each figure the largest; the processors' seconds add up."""
    if isinstance(reports[0], dict):
        return {key: together([report[key] for report in reports], key) for key in reports[0]}
    return sum(reports) if name == "cpu_seconds" else max(reports)


def launch(arguments: argparse.Namespace, stage: str, layout: Layout) -> dict[str, Any]:
    """Start the processes of a layout, and read what they report."""
    torchrun = ["-m", "torch.distributed.run", "--standalone"]
    torchrun += ["--nproc-per-node", str(layout.processes)]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        flags = ["--stages", stage, "--layouts", str(layout), "--report", str(report)]
        for name in ("shape", "device", "dtype", "threads", "steps", "matmul"):
            flags += [f"--{name}", str(getattr(arguments, name))]
        subprocess.run(
            [sys.executable, *torchrun * (layout.processes > 1), __file__, *flags],
            check=True,
            stdout=sys.stderr,
            env=os.environ | {"OMP_NUM_THREADS": str(arguments.threads)},
        )
        return json.loads(report.read_text())


def summary(rounds: Sequence[Mapping[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """The last round's figures by layout, with the median of all rounds' times over those of one
    process in the same round.
    """
    found = {name: dict(figures) for name, figures in rounds[-1].items()}
    for name, figures in found.items():
        held, alone = (sum(found[layout]["state"].values()) for layout in (name, "1"))
        figures["state_over_1"] = round(held / alone, 4)
        for phase, times in figures["phases"].items():
            for clock in ("seconds", "cpu_seconds"):
                pairs = [
                    [one[layout]["phases"][phase][clock] for layout in (name, "1")]
                    for one in rounds
                ]
                times[f"{clock}_over_1"] = median([ours / alone for ours, alone in pairs])
    return found


def failures(found: Mapping[str, dict[str, Any]]) -> list[str]:
    """What a stage's figures, by layout, have against theory."""
    wrong: list[str] = []

    def expect(what: str, value: float, theory: float, tolerance: float, slack: int = 0) -> None:
        if abs(value - theory) > tolerance * theory + slack:
            wrong.append(f"{what}: {value} bytes, should be {theory:.0f}")

    for name, figures in found.items():
        layout, parameters = Layout.parse(name), figures["parameters"]
        held, alone = (sum(found[n]["state"].values()) for n in (name, "1"))
        state = f"{name}: state of a process"
        for all_of_it in (state_bytes(parameters), alone):
            expect(state, held, all_of_it / layout.shards, STATE_TOLERANCE, UNDIVIDED)
        saved = figures["checkpoint"]["bytes"], checkpoint_bytes(parameters)
        expect(f"{name}: checkpoint", *saved, STATE_TOLERANCE, UNDIVIDED)
        for phase, measured in figures["phases"].items():
            sent = measured["sent"]
            expect(f"{name}: sent in {phase}", sent["all"], measured["theory"], SENT_TOLERANCE)
            if "written" in sent and layout.processes > 1:
                gloo = sent["all"] + sent.get("reduce_scatter", 0)
                expect(f"{name}: written in {phase}", sent["written"], gloo, SENT_TOLERANCE)
    return wrong


def main() -> int:
    """Measure every stage in every layout; with `--report`, be one process of one of them."""
    options = argparse.ArgumentParser(description="Measures what distribution costs.")
    options.add_argument("--stages", nargs="+", choices=list(STAGES), default=list(STAGES))
    options.add_argument("--layouts", nargs="+", type=Layout.parse, default=LAYOUTS)
    options.add_argument("--shape", default="small", choices=list(SHAPES))
    options.add_argument("--device", default="cpu")
    options.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    options.add_argument("--threads", type=int, default=1, help="of each process")
    options.add_argument("--steps", type=int, default=5, help="after one that warms up")
    options.add_argument("--rounds", type=int, default=1, help="starts of each layout, in turn")
    options.add_argument("--matmul", default="", help=argparse.SUPPRESS)
    options.add_argument("--report", type=Path, help=argparse.SUPPRESS)
    options.add_argument("--out", type=Path, help="add the result to the list in this file")
    options.set_defaults(model="")
    arguments = options.parse_args()
    if arguments.report:
        reports = world().gather(measure(arguments, arguments.stages[0], arguments.layouts[0]))
        if world().is_first:
            arguments.report.write_text(json.dumps(together(reports)))
        leave()
        return 0

    arguments.matmul = faster_matmul(arguments.device).value
    line: dict[str, Any] = {"benchmark": "scaling", "date": date.today().isoformat()}
    line |= {name: getattr(arguments, name) for name in ("shape", "dtype", "steps", "rounds")}
    line |= {**machine(arguments.device, arguments.threads), "cores": available_cores()}
    line |= {"stages": {}, "failures": []}
    for stage in arguments.stages:
        rounds = [
            {
                str(layout): launch(arguments, stage, layout)
                for layout in dict.fromkeys([Layout(1, 1), *arguments.layouts])
            }
            for _ in range(arguments.rounds)
        ]
        line["stages"][stage] = summary(rounds)
        line["failures"] += [f"{stage}, {sentence}" for sentence in failures(rounds[-1])]
    emit(line, None)
    if arguments.out:
        kept = json.loads(arguments.out.read_text()) if arguments.out.exists() else []
        arguments.out.parent.mkdir(exist_ok=True)
        arguments.out.write_text(json.dumps([*kept, line], indent=1) + "\n")
    return 1 if line["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
