"""The run directory: one layout for every stage."""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from instructgpt.errors import UserError
from instructgpt.run.config import HeldOut, Resolved
from instructgpt.run.disk import explained, refuse_unfit, sweep, sync_folder, write_atomically
from instructgpt.run.files import read_json
from instructgpt.run.inputs import inputs_of
from instructgpt.run.lock import open_locked
from instructgpt.run.processor import this_processor
from instructgpt.run.progress import say
from instructgpt.run.provenance import (
    Continuation,
    Source,
    differing,
    has_results,
    identity,
    read_info,
    read_input,
    read_inputs,
    read_outputs,
)
from instructgpt.run.stopping import stoppable, to_the_end
from instructgpt.run.streams import cut_back, read_lines, refuse_lost_lines, stream_facts
from instructgpt.run.vanished import kernel_facts, last_words

PACKAGES = ("instructgpt", "torch", "transformers", "tokenizers", "safetensors", "numpy")
PLACES = (".", "checkpoints")
"""The folders of a run in which something is written under a temporary name."""


@dataclass(frozen=True)
class Run:
    """A run on disk, as the stages return it.

    Attributes:
        dir: its directory.
        held_out: which of its metrics is the held-out figure; None where nobody says.
    """

    dir: Path
    held_out: HeldOut | None = field(default=None, compare=False, repr=False)

    @property
    def model_path(self) -> Path:
        """The final model (raw weights), a Hugging Face directory."""
        return self.dir / "model"

    @property
    def info(self) -> dict[str, Any]:
        """`run.json`: command, versions, seed, digests of inputs and outputs, status."""
        return read_json(self.dir / "run.json", "restore it")

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """`metrics.jsonl`, one dictionary per optimizer step."""
        return read_lines(self.dir / "metrics.jsonl")

    @property
    def evaluation(self) -> dict[str, Any]:
        """`evaluation.json`, what the stage measured at its end (empty if it measured nothing)."""
        path = self.dir / "evaluation.json"
        return read_json(path, "restore it") if path.is_file() else {}


class RunDirectory:
    """Opens `out` for one stage, refuses what would mix two runs, and writes its files.

    Use as a context manager: a run that an error ends after its start is marked as failed or
    interrupted.

    Args:
        out: the directory.
        stage: which stage runs here.
        resolved: the configuration with its sources.

    Raises:
        UserError: another process is at work here, the directory holds another stage, a run with
            another configuration or one whose inputs have changed, or it cannot be written.
    """

    def __init__(self, out: str | Path, stage: str, resolved: Resolved[Any]) -> None:
        self.path = Path(out)
        self.stage = stage
        self._config = resolved
        self._streams: dict[str, TextIO] = {}
        self._mended: list[str] = []
        self._last_words = ""
        self._stoppable = ExitStack()
        self._lock = open_locked(out)
        self._started = False
        try:
            self.info = read_info(self.path)
            self._compare()
        except BaseException:
            self.close()
            raise
        if (self.path / "run.json").exists():  # it is ours
            for folder in map(self.path.joinpath, PLACES):
                if not folder.is_symlink():
                    sweep(folder)

    def __enter__(self) -> Self:
        self._stoppable.enter_context(stoppable())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._stoppable:
            try:
                if error is not None and self._started and not self.is_done:
                    stopped = isinstance(error, KeyboardInterrupt)
                    self.update({"status": "interrupted" if stopped else "failed"})
            except UserError as also:
                say(str(also))
            finally:
                self.close()

    @cached_property
    def inputs(self) -> list[Source]:
        """What the run reads, with digests, as it was when the directory was opened."""
        return read_inputs(self._config.config)

    @property
    def is_done(self) -> bool:
        """Whether this very run has already finished here."""
        return self.info.get("status") == "done"

    def start(self, tuning: Mapping[str, Any] | None = None) -> None:
        """Write `config.yaml` and `run.json`; keeps what an earlier part of the run wrote.

        Args:
            tuning: what the hardware decided, for a stage that computes.
        """
        if self._last_words:
            say(f"{self.stage}: {self._last_words}")
        if self._mended:
            say(f"{self.stage}: {self.path} goes on with {', '.join(self._mended)}")
        write_atomically(self.path / "config.yaml", self._config.to_yaml())
        config = self._config.config.model_dump(mode="json")
        provenance: dict[str, Any] = {
            "stage": self.stage,
            "status": "running",
            "command": sys.argv,
            "versions": _versions(),
            "git_commit": _git_commit(),
            "machine": _machine(),
            "kernel": kernel_facts(),
            "started": self.info.get("started") or _now(),
            "seed": config.get("seed"),
            "config": config,
            "config_sources": self._config.sources,
            "inputs": [source.to_json() for source in self.inputs],
        }
        self.info = {key: self.info[key] for key in self.info if key not in {"data", "parents"}}
        self.update(provenance | ({} if tuning is None else {"tuning": dict(tuning)}))
        self._started = True

    def update(self, facts: Mapping[str, Any]) -> None:
        """Merge facts into `run.json`, atomically."""
        info = {**self.info, **facts}
        with to_the_end():
            write_atomically(self.path / "run.json", json.dumps(info, indent=1) + "\n")
            self.info = info

    def finish(self, status: str = "done") -> None:
        """Set the status and the time, with the digests of what was written; close everything."""
        self.sync()
        self._learn_commits()
        outputs = {name: digest.to_json() for name, digest in read_outputs(self.path).items()}
        self.update({"status": status, "finished": _now(), "outputs": outputs})
        self.close()

    def close(self) -> None:
        """Close the streams and give the lock back."""
        for stream in self._streams.values():
            with suppress(OSError):  # every line was flushed, or its loss was reported
                stream.close()
        self._streams.clear()
        self._lock.close()

    def append(self, name: str, row: Mapping[str, Any]) -> None:
        """Add one JSON line to `metrics.jsonl`, `timings.jsonl` or `samples.jsonl`."""
        with explained(self.path / name):
            if name not in self._streams:
                refuse_unfit(self.path / name)
                self._streams[name] = (self.path / name).open("a", encoding="utf-8")
            self._streams[name].write(json.dumps(row, ensure_ascii=False) + "\n")
            self._streams[name].flush()

    def sync(self) -> None:
        """Push the streams to the disk, so that a checkpoint never outlives its metrics."""
        for name, stream in self._streams.items():
            with explained(self.path / name):
                os.fsync(stream.fileno())
        with explained(self.path):
            sync_folder(self.path)

    def cut_back(self, step: int, facts: Mapping[str, Any] | None = None) -> None:
        """Drop what was written after a checkpoint, and a line cut short by a crash: both come
        again.

        Args:
            step: the one after which the checkpoint was written; 0 for none.
            facts: what it says of its run.
        """
        cut_back(self.path, step, (facts or {}).get("streams", {}))

    def checkpoint_facts(self, step: int) -> dict[str, Any]:
        """What a checkpoint says of its run: its identity, and its lines in the streams."""
        self._learn_commits()
        return {"identity": self._identity, "streams": stream_facts(self.path, step)}

    def refuse_foreign(self, path: Path, step: int, facts: Mapping[str, Any]) -> None:
        """Take only checkpoints of this very run, wherever they lie, with all lines before them.

        Args:
            path: the checkpoint.
            step: the one after which it was written.
            facts: what it says of its run; empty in those of earlier versions.

        Raises:
            UserError: it is another run's, or lines before it are lost or changed.
        """
        if others := differing(facts["identity"], self._identity) if "identity" in facts else []:
            raise UserError(
                f"{path} is a checkpoint of another run: {', '.join(others)}; give one of "
                f"this run, take it away if it lies in {self.path}, or choose another --out"
            )
        refuse_lost_lines(self.path, step, facts.get("streams", {}))

    def _learn_commits(self) -> None:
        """A Hub model that was fetched after the start has a commit by now."""
        found = zip(self.inputs, inputs_of(self._config.config), strict=True)
        now = [source if source.digest else read_input(named) for source, named in found]
        if now != self.inputs:
            self.inputs = now
            self.update({"inputs": [source.to_json() for source in now]})

    @property
    def _identity(self) -> dict[str, Any]:
        return identity(self.stage, self._config.config, self.inputs)

    def _compare(self) -> None:
        """Refuse what would mix two runs; keep in mind what was mended, and how the last attempt
        ended, if it did not say so itself.
        """
        if self.info.get("status") == "running":  # and yet nobody holds the lock
            keys = type(self._config.config).model_fields
            self._last_words = last_words(self.path, self.info, keys)
        if not (self.info and has_results(self.path, self.info)):  # mending mixes nothing here
            self.info = {key: self.info[key] for key in self.info if key == "tuning"}
            return
        continued = Continuation(self.path, self.info, self.stage, self._config, self.inputs)
        self._mended = continued.refuse_another_run()
        if self._mended and self.is_done:  # there is more to do than was done
            self.info = {**self.info, "status": "reopened"}


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "unknown"
    return versions


def _git_commit() -> str | None:
    """The commit of the checkout that the code runs from, if it is one."""
    here = Path(__file__).resolve().parent
    try:
        result = subprocess.run(
            ["git", "-C", str(here), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip()


def _machine() -> dict[str, Any]:
    return {
        "platform": platform.platform(),
        "processor": this_processor().name,
        "cores": os.cpu_count(),
    }


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
