"""`pipeline.json`: how far a pipeline's stages are, and how long they took."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from instructgpt.pipeline.order import Stage
from instructgpt.run.disk import explained, make_folder, write_atomically
from instructgpt.run.files import read_shaped
from instructgpt.run.progress import say
from instructgpt.run.provenance import read_info

REMEDY = "restore it, or remove the file: only the times in it are lost"


class _Stage(BaseModel):
    name: str
    seconds: float = 0.0
    status: str = "waiting"


class _Log(BaseModel):
    stages: list[_Stage]


class StageLog:
    """What the report and a second run want to know about the stages.

    It is written when a stage begins and when it ends; one that is skipped, or that refuses to
    begin, leaves it as it was.
    """

    def __init__(self, out: Path, stages: Sequence[Stage], folders: Mapping[str, Path]) -> None:
        self.path = out / "pipeline.json"
        old = read_shaped(self.path, _Log, REMEDY) if self.path.exists() else {"stages": []}
        before = {stage["name"]: stage for stage in old["stages"]}
        self.folders = dict(folders)
        self.stages = {
            stage.name: {
                "name": stage.name,
                "dir": folders[stage.name].name,
                "kind": stage.kind,
                "round": stage.round,
                "seconds": before.get(stage.name, {}).get("seconds", 0.0),
                "status": before.get(stage.name, {}).get("status", "waiting"),
            }
            for stage in stages
        }
        for name, stage in self.stages.items():
            if stage["status"] == "running":
                self._say_vanished(name)

    @contextmanager
    def watching(self, name: str) -> Iterator[None]:
        """Keep how a stage ends and the seconds it takes, added to those of its earlier parts."""
        stage, before = self.stages[name], dict(self.stages[name])
        if self._run_of(name).get("status") == "done":
            yield
            if before["status"] != "done":  # we died before it could be said
                self._write(name, status="done")
            return
        text, stamp = self._text(), self._stamp(name)
        began, status = time.monotonic(), "failed"
        self._write(name, status="running")
        try:
            yield
            status = "done"
        except KeyboardInterrupt:
            status = "interrupted"
            raise
        finally:
            if status != "done" and self._stamp(name) == stamp:  # it did not begin
                stage |= before
                self._restore(text)
            else:
                seconds = round(float(before["seconds"]) + time.monotonic() - began, 2)
                self._write(name, status=status, seconds=seconds)

    def leave_out(self, name: str, reason: str) -> None:
        """Keep that a stage is not run, and why: a sentence for the report."""
        self._write(name, status="left out", reason=reason)

    def _write(self, name: str, **facts: Any) -> None:
        self.stages[name] |= facts
        content = {"name": self.path.parent.name, "stages": list(self.stages.values())}
        with explained(self.path):
            make_folder(self.path.parent)
        write_atomically(self.path, json.dumps(content, indent=1) + "\n")

    def _text(self) -> str | None:
        return self.path.read_text() if self.path.exists() else None

    def _restore(self, text: str | None) -> None:
        if text is None:
            self.path.unlink()
        else:
            write_atomically(self.path, text)

    def _run_of(self, name: str) -> dict[str, Any]:
        return read_info(self.folders[name])

    def _stamp(self, name: str) -> tuple[int, int] | None:
        """Another one after every writing of the stage's `run.json`."""
        path = self.folders[name] / "run.json"
        return (path.stat().st_ino, path.stat().st_mtime_ns) if path.exists() else None

    def _say_vanished(self, name: str) -> None:
        """Unless the stage itself can say more."""
        if self._run_of(name).get("status") != "running":
            say(
                f"pipeline: the last attempt ended without a word in {self.folders[name]}, killed "
                "or the machine went down; going on"
            )
