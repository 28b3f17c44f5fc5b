"""Runs a command in forked processes, and kills one with SIGKILL where and when it is told to.

The program has no hooks for this: the places are functions, which are wrapped in the process that
is to die. Importing takes seconds, so whoever calls `run_forked` imports everything once, stays
without threads, and forks for each run.
"""

import functools
import json
import os
import pkgutil
import re
import select
import signal
import socket
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from instructgpt.cli import main as instructgpt

PLACES = {
    "checkpoint": (
        "instructgpt.training.run:save_checkpoint",
        "instructgpt.training.checkpoint:write_shards",
        "instructgpt.training.checkpoint:_write",
        "instructgpt.training.checkpoint:_settled",
    ),
    "rollout": (
        "instructgpt.rollout.engine:RolloutEngine.generate",
        "instructgpt.rollout.engine:_add_tokens",
        "instructgpt.ppo.collect:Collector.read",
    ),
    "minibatch": (
        "instructgpt.sft.trainer:SFTTrainer.train_step",
        "instructgpt.reward.trainer:RewardModelTrainer.train_step",
        "instructgpt.ppo.step:MinibatchStep.policy_backward",
        "instructgpt.ppo.step:MinibatchStep.value_backward",
        "instructgpt.ppo.step:MinibatchStep.optimize",
        "instructgpt.ppo.trainer:PPOTrainer._end_iteration",
        "torch:Tensor.backward",
        "torch.optim:AdamW.step",
    ),
    "ptx": (
        "instructgpt.ppo.step:MinibatchStep.pretraining_backward",
        "instructgpt.training.pretraining:PretrainingText.take",
    ),
    "evaluation": (
        "instructgpt.sft.stage:_Validator.validate",
        "instructgpt.reward.stage:_evaluation",
        "instructgpt.ppo.stage:_validate",
        "instructgpt.evaluation.stage:_answers",
        "instructgpt.evaluation.stage:_evaluation",
        "instructgpt.evaluation.compare:judged",
    ),
    "change of stage": (
        "instructgpt.run.directory:RunDirectory.start",
        "instructgpt.run.directory:RunDirectory.finish",
        "instructgpt.pipeline.log:StageLog._write",
        "instructgpt.pipeline.pipeline:write_report",
    ),
    "metrics": (
        "instructgpt.training.run:TrainingRun.after_step",
        "instructgpt.run.directory:RunDirectory.append",
        "instructgpt.run.directory:RunDirectory.sync",
    ),
    "final model": (
        "instructgpt.models.network:save_model",
        "transformers:PreTrainedModel.save_pretrained",
    ),
    "resume": (
        "instructgpt.training.run:TrainingRun.restore",
        "instructgpt.run.directory:RunDirectory.cut_back",
    ),
    "": ("os:fsync", "pathlib:Path.rename", "pathlib:Path.replace", "shutil:rmtree"),
}
"""Functions to die in, by category. Those without one belong to whatever calls them."""
TARGETS = tuple(target for targets in PLACES.values() for target in targets)
UNITS = (
    "instructgpt.training.run:TrainingRun.after_step",
    "instructgpt.evaluation.stage:_answers",
    "instructgpt.run.directory:RunDirectory.finish",
)
"""Those places after which a run has something that may be kept: a step, answers, a stage."""
ANY_TIME = "any time"
GRACE_SECONDS = 30.0
"""How long the other processes may take to leave when one has died; torchrun waits as long."""
LIMIT_SECONDS = 300.0
"""How long anything may take."""


class Event(NamedTuple):
    """A call of a place: seconds after the start of the process, and how long it took."""

    place: str
    category: str
    begin: float
    seconds: float


@dataclass
class Trace:
    """The calls of places in one process, in order of their beginning, and when `UNITS` ended."""

    events: list[Event] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Kill:
    """Death of one process.

    Attributes:
        category: of the place.
        place: its name, or `ANY_TIME`.
        number: which call in the life of the process.
        moment: before, during or after that call.
        delay: seconds from the beginning of the call, or of the process, for `during`.
        rank: who dies.
        grace: seconds that the other processes have to leave by themselves.
    """

    category: str
    place: str
    number: int
    moment: str
    delay: float
    rank: int
    grace: float

    def __str__(self) -> str:
        when = f"{self.delay:.3f} s after its start"
        if self.place != ANY_TIME:
            when = f"{self.moment} call {self.number} of {self.place}"
        return f"process {self.rank} {when}"


class Outcome(NamedTuple):
    """How a command ended.

    Attributes:
        codes: exit codes by rank; −9 for a process that was killed.
        seconds: from start to end.
        leaving: of these, after the death of the process that was to be killed.
    """

    codes: list[int]
    seconds: float
    leaving: float = 0.0


def locate(target: str) -> tuple[Any, str]:
    """The owner and the name of the function `module:path`.

    Raises:
        SystemExit: there is none.
    """
    holder, name = re.split(r"[.:](?=\w+$)", target)
    try:
        owner = pkgutil.resolve_name(holder)
        getattr(owner, name)
    except (ImportError, AttributeError):
        sys.exit(f"{target} is no longer there; mend PLACES in {Path(__file__).name}")
    return owner, name


def title(target: str) -> str:
    """The name of a place in reports."""
    return target.removeprefix("instructgpt.").replace(":", ".")


class Probe:
    """Wraps the places in this process: notes each call, and dies in one.

    Args:
        kill: when to die, if this process is to.
        bell: a pipe to the parent, which kills this process some time after it rang.
    """

    def __init__(self, kill: Kill | None, bell: int) -> None:
        self.kill, self.bell, self.trace = kill, bell, Trace()
        self._calls: Counter[str] = Counter()
        self._within = [("command", "change of stage")]
        self._started = time.monotonic()
        for category, targets in PLACES.items():
            for target in targets:
                self._wrap(target, category)

    def _wrap(self, target: str, category: str) -> None:
        owner, name = locate(target)
        real = getattr(owner, name)

        @functools.wraps(real)
        def call(*args: Any, **kwargs: Any) -> Any:
            if threading.current_thread() is not threading.main_thread():
                return real(*args, **kwargs)
            caller, inherited = self._within[-1]
            place = title(target) if category else f"{caller} / {title(target)}"
            result = self._call(place, category or inherited, lambda: real(*args, **kwargs))
            if target in UNITS:
                self.trace.ends.append(self._now())
            return result

        setattr(owner, name, call)

    def _call(self, place: str, category: str, real: Callable[[], Any]) -> Any:
        self._calls[place] += 1
        is_last = self.kill and (self.kill.place, self.kill.number) == (place, self._calls[place])
        moment = self.kill.moment if self.kill and is_last else ""
        if moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        if moment == "during":
            os.write(self.bell, b"!")
        begin, index = self._now(), len(self.trace.events)
        event = Event(place, category, begin, 0.0)
        self.trace.events.append(event)
        self._within.append((place, category))
        try:
            result = real()
        finally:
            self._within.pop()
            self.trace.events[index] = event._replace(seconds=self._now() - begin)
        if moment == "after":
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    def _now(self) -> float:
        return time.monotonic() - self._started


def run_forked(
    command: Sequence[str], folder: Path, processes: int, kill: Kill | None = None
) -> Outcome:
    """Run a command in `folder`, in processes that find each other as they do under torchrun.

    Each leaves what it said in `log-RANK.txt` and, unless it died, its calls in `trace-RANK.json`.
    """
    begun = time.monotonic()
    hear, bell = os.pipe()
    port = _free_port()
    pids = []
    for rank in range(processes):
        pid = os.fork()
        if not pid:
            os.close(hear)
            mine = kill if kill and kill.rank == rank else None
            if not mine:
                os.close(bell)
            os._exit(_live(command, folder, _place(rank, processes, port), mine, bell))
        pids.append(pid)
    os.close(bell)
    if not kill:
        codes = _reap(pids, LIMIT_SECONDS)
    else:
        if kill.moment == "during":
            if kill.place != ANY_TIME:
                select.select([hear], [], [], LIMIT_SECONDS)  # the bell rings, or its process ends
            time.sleep(kill.delay)
            os.kill(pids[kill.rank], signal.SIGKILL)
        codes = _reap([pids[kill.rank]], LIMIT_SECONDS)
    os.close(hear)
    died = time.monotonic()
    if kill:
        killed = codes[pids[kill.rank]] == -signal.SIGKILL
        codes |= _reap(set(pids) - codes.keys(), kill.grace if killed else LIMIT_SECONDS)
    ended = time.monotonic()
    return Outcome([codes[pid] for pid in pids], ended - begun, ended - died)


def _place(rank: int, processes: int, port: int) -> dict[str, str]:
    """The variables by which torchrun tells a process where it belongs."""
    if processes == 1:
        return {}
    numbers = {"RANK": rank, "LOCAL_RANK": rank, "MASTER_PORT": port}
    numbers |= dict.fromkeys(("WORLD_SIZE", "LOCAL_WORLD_SIZE"), processes)
    return {"MASTER_ADDR": "127.0.0.1"} | {name: str(number) for name, number in numbers.items()}


def _live(
    command: Sequence[str], folder: Path, place: dict[str, str], kill: Kill | None, bell: int
) -> int:
    """The life of a forked process; returns its exit code."""
    try:
        os.environ |= place
        os.chdir(folder)
        rank = place.get("RANK", "0")
        log = os.open(f"log-{rank}.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream, file in ((0, os.open(os.devnull, os.O_RDONLY)), (1, log), (2, log)):
            os.dup2(file, stream)
        probe = Probe(kill, bell)
        try:
            instructgpt(command)
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        Path(f"trace-{rank}.json").write_text(json.dumps(asdict(probe.trace)))
        return code
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def _reap(pids: Sequence[int] | set[int], limit: float) -> dict[int, int]:
    """The exit codes of processes, which are killed if they take longer than `limit` seconds."""
    codes: dict[int, int] = {}
    begun = time.monotonic()
    while left := set(pids) - codes.keys():
        for pid in left:
            if time.monotonic() - begun > limit:
                os.kill(pid, signal.SIGKILL)
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                codes[pid] = os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    return codes


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
