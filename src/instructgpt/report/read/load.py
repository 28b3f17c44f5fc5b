"""Read a run directory, or a pipeline of them. Only `run.json` must be there; the rest may be
missing or empty.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from instructgpt.errors import UserError
from instructgpt.report.read.kinds import KINDS
from instructgpt.report.read.values import Json, as_dicts, as_texts, is_finite
from instructgpt.report.read.work import StageRun, Work, clock
from instructgpt.run.files import parse_json, parse_yaml, read_json, read_text


def load(path: Path) -> Work:
    """Read a run directory or a pipeline directory."""
    if not (path / "pipeline.json").is_file():
        run = load_run(path)
        return Work(run.name, (run,), is_pipeline=False, path=run.path)
    plan = _read_object(path / "pipeline.json")
    stages = tuple(_load_stage(path, row) for row in as_dicts(plan.get("stages")))
    name = str(plan.get("name") or path.resolve().name)
    return Work(name, stages, is_pipeline=True, path=path.resolve())


def load_run(path: Path) -> StageRun:
    """Read one run directory."""
    if not (path / "run.json").is_file():
        raise UserError(f"{path}: no run.json or pipeline.json here; give the folder of a run")
    notes: list[str] = []
    metrics, timings, samples = (
        _read_lines(path / f"{name}.jsonl", notes) for name in ("metrics", "timings", "samples")
    )
    info = _read_object(path / "run.json")
    return StageRun(
        name=path.resolve().name,
        kind=_kind(str(info.get("stage") or "run")),
        info=info,
        status=str(info.get("status") or "unknown"),
        seconds=_seconds(info),
        path=path.resolve(),
        config=_read_config(path / "config.yaml", notes),
        metrics=metrics,
        timings=timings,
        samples=samples,
        evaluation=_read_optional(path / "evaluation.json", notes),
        results=_read_optional(path / "results.json", notes),
        notes=tuple(notes),
    )


def _load_stage(root: Path, row: Json) -> StageRun:
    """A line of `pipeline.json`, with what its directory holds."""
    directory = root / str(row.get("dir") or row.get("name") or "")
    if (directory / "run.json").is_file():
        run = load_run(directory)
    else:
        notes = as_texts(row.get("reason"))
        run = StageRun(
            directory.name, "run", path=directory.resolve(), notes=tuple(notes), ran=False
        )
    return replace(
        run,
        name=str(row.get("name") or directory.name),
        kind=str(row.get("kind") or run.kind),
        status=str(row.get("status") or "unknown"),
        seconds=float(row["seconds"]) if is_finite(row.get("seconds")) else run.seconds,
        round=int(row["round"]) if is_finite(row.get("round")) else 1,
    )


def _kind(stage: str) -> str:
    """The kind of a stage by its name: one that runs again carries a suffix, as in `ppo-2`."""
    kind = stage.partition("-")[0]
    return kind if kind in KINDS else stage


def _seconds(info: Json) -> float | None:
    """How long a run took by its own clock."""
    started, finished = (clock(info.get(key)) for key in ("started", "finished"))
    if started is None or finished is None or finished < started:
        return None
    return (finished - started).total_seconds()


def _read_object(path: Path) -> Json:
    return read_json(path, "restore it; was it written to the end?")


def _read_optional(path: Path, notes: list[str]) -> Json:
    if not path.is_file() or path.stat().st_size == 0:
        return {}
    try:
        return _read_object(path)
    except UserError:
        notes.append(f"{path.name} could not be read and was left out.")
        return {}


def _read_lines(path: Path, notes: list[str]) -> list[Json]:
    """JSON lines. A killed run leaves a last line cut short; any other bad line is noted."""
    if not path.is_file():
        return []
    try:
        lines = path.read_text("utf-8", errors="replace").split("\n")
    except OSError as error:
        notes.append(f"{path.name} cannot be read ({error.strerror}) and was left out.")
        return []
    good = list(_objects(lines[:-1]))
    bad = sum(bool(line.strip()) for line in lines[:-1]) - len(good)
    if bad:
        notes.append(f"{bad} unreadable line{'s' * (bad > 1)} of {path.name} left out.")
    return good + list(_objects(lines[-1:]))


def _objects(lines: list[str]) -> Iterator[Json]:
    for line in lines:
        try:
            value = parse_json(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            yield value


def _read_config(path: Path, notes: list[str]) -> Json:
    if not path.is_file():
        return {}
    try:
        value = parse_yaml(read_text(path, ""))
    except ValueError:
        notes.append(f"{path.name} is not valid YAML and was left out.")
        return {}
    return {str(key): item for key, item in value.items()} if isinstance(value, dict) else {}
