"""A run directory that several processes share: the first writes it, the others read along."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from instructgpt.distributed.world import world
from instructgpt.run.config import Resolved
from instructgpt.run.directory import RunDirectory
from instructgpt.run.tuning import choose, threads_before


class _Onlooker(RunDirectory):
    """Knows what the first process found when it opened the directory, and writes nothing."""

    def __init__(self, out: str | Path, info: dict[str, Any]) -> None:
        self.path, self.info = Path(out), info
        self._stoppable = ExitStack()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stoppable.close()

    def start(self, tuning: Mapping[str, Any] | None = None) -> None:
        pass

    def update(self, facts: Mapping[str, Any]) -> None:
        pass

    def finish(self, status: str = "done") -> None:
        pass

    def close(self) -> None:
        pass

    def append(self, name: str, row: Mapping[str, Any]) -> None:
        pass

    def sync(self) -> None:
        pass

    def cut_back(self, step: int, facts: Mapping[str, Any] | None = None) -> None:
        pass

    def checkpoint_facts(self, step: int) -> dict[str, Any]:  # noqa: ARG002
        return {}


def start_tuned(directory: RunDirectory, device: str) -> None:
    """Start, with what the hardware decides chosen as before if the run goes on."""
    together = world()

    def start() -> None:
        kept = directory.info.get("tuning")
        threads = kept["threads"] if kept else threads_before()
        tuning = choose(threads, kept, str(directory.path), device=device)
        directory.start(tuning)

    together.once(start)
    choose(0, together.once(lambda: directory.info["tuning"]), "")


def open_directory(out: str | Path, stage: str, resolved: Resolved[Any]) -> RunDirectory:
    """`RunDirectory`, opened by all processes together; a refusal is raised in each."""
    together = world()
    opened: list[RunDirectory] = []

    def open_it() -> dict[str, Any]:
        opened.append(RunDirectory(out, stage, resolved))
        return opened[0].info

    info = together.once(open_it)
    return opened[0] if opened else _Onlooker(out, info)
