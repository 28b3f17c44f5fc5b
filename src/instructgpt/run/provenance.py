"""What a run was made from and what it wrote: kept in `run.json`, and compared at every start."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, Field

from instructgpt.errors import UserError
from instructgpt.run.config import ROUNDING_KEYS, RUNTIME_KEYS, Config, Resolved
from instructgpt.run.digest import MODEL_FILES, WHOLE, Digest, digest_of
from instructgpt.run.files import read_shaped
from instructgpt.run.inputs import (
    Input,
    digest_input,
    inputs_of,
    locate,
    mendable_fields,
    reading_fields,
)
from instructgpt.run.weighted import shown

OUTPUTS = (
    *("model", "model-ema", "critic", "candidates.jsonl", "rankings.jsonl", "evaluation.json"),
    *("metrics.jsonl", "samples.jsonl"),
)
"""What a finished run has written and no later command changes."""
OWN_RANKINGS = "own.jsonl"
"""What a person ranked in a terminal or a browser; no command removes it."""


class _Digest(BaseModel):
    digest: str
    files: dict[str, str] | None = None


class _Source(BaseModel):
    key: str
    kind: str
    path: str
    digest: str = ""
    files: dict[str, str] | None = None
    weight: float | None = None


class _Kernel(BaseModel):
    memory_kills: int = 0


class _Tuning(BaseModel):
    threads: int = Field(ge=1, le=2**15)
    matmul: str = Field("highest", pattern="^(highest|high|medium)$")
    dtype: str = Field("float32", pattern="^(float32|bfloat16)$")
    because: dict[str, dict[str, str]] = {}


class _Info(BaseModel):
    """What later starts read in `run.json`."""

    stage: str = ""
    status: str = ""
    started: str = ""
    config: dict[str, Any] = {}
    config_sources: dict[str, str] = {}
    inputs: list[_Source] = []
    outputs: dict[str, _Digest] = {}
    data: dict[str, str] = {}
    kernel: _Kernel = _Kernel()
    tuning: _Tuning | None = None


class Source(NamedTuple):
    """An input as it was read: from which key, which kind, where, and with what digest; of a mix
    also its weight.
    """

    key: str
    kind: str
    path: str
    digest: Digest | None
    weight: float | None = None

    def to_json(self) -> dict[str, Any]:
        """As `run.json` keeps it."""
        weight = {} if self.weight is None else {"weight": self.weight}
        digest = self.digest.to_json() if self.digest else {}
        return {"key": self.key, "kind": self.kind, "path": self.path} | weight | digest

    @property
    def shown(self) -> str:
        """As a flag names it."""
        return self.path if self.weight is None else f"{self.path}:{shown(self.weight)}"

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Source":
        """What `to_json` gave."""
        digest = Digest.from_json(dict(value)) if "digest" in value else None
        return cls(value["key"], value["kind"], value["path"], digest, value.get("weight"))


def read_inputs(config: Config) -> list[Source]:
    """Every input of a configuration, as it is now."""
    return [read_input(found) for found in inputs_of(config)]


def read_input(found: Input) -> Source:
    """One input, as it is now."""
    digest = digest_input(found)
    return Source(found.key, found.reads.kind, str(found.path), digest, found.weight)


def read_outputs(folder: Path) -> dict[str, Digest]:
    """Every output that a run directory holds, as it is now."""
    found = {name: digest_of(folder / name, MODEL_FILES) for name in OUTPUTS}
    found |= {path.name: digest_of(path) for path in sorted(folder.glob("answers-*.json"))}
    return {name: digest for name, digest in found.items() if digest}


def identity(stage: str, config: Config, inputs: Sequence[Source]) -> dict[str, Any]:
    """What makes a training run this one: stage, settings and the contents of what it reads.

    What may change while a run goes on is left out; places are, so that a run may move.
    """
    reads, mendable = reading_fields(type(config)), mendable_fields(type(config))
    free = {*RUNTIME_KEYS, *ROUNDING_KEYS, *mendable, *reads}
    settings = {
        key: value
        for key, value in config.model_dump(mode="json").items()
        if key not in free and not _is_leniency(key)
    }
    contents: dict[str, list[str | None]] = {}
    for source in inputs:
        if source.key not in mendable:
            digest = source.digest.digest if source.digest else None
            if digest and source.weight is not None:
                digest += f" weight {shown(source.weight)}"
            contents.setdefault(source.key, []).append(digest)
    return {"stage": stage, "settings": settings, "inputs": contents}


def differing(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    """In what two identities differ, in words."""
    if theirs["stage"] != ours["stage"]:
        return [f"it is of '{theirs['stage']}', not of '{ours['stage']}'"]
    told, mine = theirs["settings"], ours["settings"]
    found = [
        f"{key} is {told[key]!r} there and {mine[key]!r} here"
        for key in sorted(told.keys() & mine.keys())
        if told[key] != mine[key]
    ]
    for key in sorted(theirs["inputs"].keys() | ours["inputs"].keys()):
        pair = (theirs["inputs"].get(key, []), ours["inputs"].get(key, []))
        if len(pair[0]) != len(pair[1]) or any(
            a and b and a != b for a, b in zip(*pair, strict=True)
        ):
            is_mix = any(" weight " in (digest or "") for digest in [*pair[0], *pair[1]])
            other = "has other files or weights" if is_mix else "is another file or model"
            found.append(f"{key} {other} there")
    return found


@dataclass(frozen=True)
class Continuation:
    """A run on disk held against the command that wants to go on with it.

    Attributes:
        path: the run's directory.
        info: its `run.json`.
        stage: the command's stage.
        resolved: its configuration with sources.
        inputs: what it would read, as that is now.
    """

    path: Path
    info: Mapping[str, Any]
    stage: str
    resolved: Resolved[Any]
    inputs: Sequence[Source]

    def refuse_another_run(self, dependents: Sequence[Path] = ()) -> list[str]:
        """Raise unless the directory holds this very run; returns what was mended since, in words.

        Args:
            dependents: later stages that were made from this one.

        Raises:
            UserError: it holds another stage or a run with other settings, or inputs, or outputs of
                a finished run, have changed since.
        """
        self._refuse_another_stage()
        by_hand = kept_rankings([self.path, *dependents])
        mended: list[str] = []
        settings = [*self._changed_settings(mended), *self._other_inputs(mended)]
        if settings:
            raise UserError(
                f"{self.path} holds a run with other settings: {', '.join(settings)}; choose "
                f"another --out, or restore them{by_hand}"
            )
        stale = [*self._changed_inputs(), *self._changed_outputs()]
        if stale:
            raise UserError(f"{', and '.join(stale)}; {self._remedy(dependents)}{by_hand}")
        return mended

    @property
    def is_done(self) -> bool:
        """Whether the run has finished."""
        return self.info.get("status") == "done"

    def _refuse_another_stage(self) -> None:
        if self.info.get("stage") != self.stage:
            raise UserError(
                f"{self.path} holds a run of '{self.info.get('stage')}', not of '{self.stage}'; "
                f"choose another --out"
            )
        if getattr(self.resolved.config, "resume", "auto") == "never":
            raise UserError(
                f"{self.path} already holds a run and --resume is 'never'; choose another --out "
                f"or remove it"
            )

    def _changed_settings(self, mended: list[str]) -> Iterator[str]:
        config = self.resolved.config
        new = config.model_dump(mode="json")
        old = self.info.get("config", new)
        for key in sorted(new.keys() - RUNTIME_KEYS - reading_fields(type(config)).keys()):
            if old.get(key) == new[key]:
                continue
            text = f"{key} {_shown(old.get(key))} -> {_shown(new[key])} {self._origin(key)}"
            if key in ROUNDING_KEYS:
                if not self.is_done:
                    mended.append(f"{text}, which rounds float sums another way from here on")
            elif self._may_mend(key) or (
                not self.is_done and _is_leniency(key) and old.get(key) == "stop"
            ):
                mended.append(text)
            else:
                yield text

    def _other_inputs(self, mended: list[str]) -> Iterator[str]:
        """Keys that name other files or models; the same contents may have moved."""
        config = self.resolved.config
        for key in reading_fields(type(config)):
            old = [source for source in self._before() if source.key == key]
            new = [source for source in self.inputs if source.key == key]
            if len(old) == len(new) and all(
                a.weight == b.weight and (self._is_same_place(a, b) or _is_same_content(a, b))
                for a, b in zip(old, new, strict=True)
            ):
                if self._may_mend(key) and any(
                    _has_changed(a, b) for a, b in zip(old, new, strict=True)
                ):
                    mended.append(f"{key} as it is now")
                continue
            names = [_shown([source.shown for source in sources]) for sources in (old, new)]
            text = f"{key} {names[0]} -> {names[1]} {self._origin(key)}"
            if self._may_mend(key):
                mended.append(text)
            else:
                yield text

    def _changed_inputs(self) -> Iterator[str]:
        """Files and models that are named as before and are not what they were."""
        begun = "made" if self.is_done else "begun"
        for key in reading_fields(type(self.resolved.config)):
            if self._may_mend(key):
                continue
            old = [source for source in self._before() if source.key == key]
            new = [source for source in self.inputs if source.key == key]
            for before, now in zip(old, new, strict=True):
                if before.digest and not now.digest and not _is_on_the_hub(before):
                    yield f"{now.path} ({key}), from which {self.path} was {begun}, is gone"
                elif _has_changed(before, now):
                    yield (
                        f"{now.path} ({key}) has changed since {self.path} was {begun}"
                        f"{_which(before.digest, now.digest)}"
                    )

    def _changed_outputs(self) -> Iterator[str]:
        if not self.is_done:
            return
        now = read_outputs(self.path)
        for name, value in self.info.get("outputs", {}).items():
            before = Digest.from_json(value)
            if name not in now or now[name].files == {}:
                what = "is missing" if not (self.path / name).exists() else "is empty"
            elif now[name].digest != before.digest:
                what = f"has changed{_which(before, now[name])}"
                path = self.path / name
                if path.is_file() and not path.stat().st_size:
                    what = "is empty"
            else:
                continue
            yield f"{self.path / name} {what} since the run was finished"

    def _remedy(self, dependents: Sequence[Path]) -> str:
        folders = " and ".join(map(str, (self.path, *dependents)))
        them = "them" if dependents else "it"
        return f"restore it, choose another --out, or remove {folders} to make {them} anew"

    def _may_mend(self, key: str) -> bool:
        mark = mendable_fields(type(self.resolved.config)).get(key)
        if mark is None or (self.is_done and mark.until != "later"):
            return False
        return mark.until != "validation" or not _has_validated(self.path)

    def _origin(self, key: str) -> str:
        """Where the new value comes from; of a default also where the old one came from."""
        source = self.resolved.sources.get(key, "default")
        before = self.info.get("config_sources", {}).get(key, "default")
        if source == "default":
            return "(the default)" if before == "default" else f"(the default; then from {before})"
        return f"(from {source})"

    def _before(self) -> list[Source]:
        if "inputs" in self.info:
            return [Source.from_json(value) for value in self.info["inputs"]]
        return self._before_digests()

    def _before_digests(self) -> list[Source]:
        """Of a run that an earlier version began: its paths, and the hashes of its data files, but
        of those that are sampled now.
        """
        hashes, old = self.info.get("data", {}), self.info.get("config", {})
        found: list[Source] = []
        for key, reads in reading_fields(type(self.resolved.config)).items():
            value = old.get(key) or []
            for path in [value] if isinstance(value, str) else value:
                is_sampled = locate(path).is_file() and locate(path).stat().st_size > WHOLE
                digest = Digest(hashes[path]) if path in hashes and not is_sampled else None
                found.append(Source(key, reads.kind, path, digest))
        return found

    def _is_same_place(self, old: Source, new: Source) -> bool:
        """Whether both name the same place, or the same beside a directory that moved."""
        before = self.info.get("config", {}).get("out", str(self.path))
        return old.path == new.path or (
            os.path.relpath(old.path, before) == os.path.relpath(new.path, self.path)
        )


def kept_rankings(folders: Sequence[Path]) -> str:
    """Where runs keep rankings that people made, and how another run takes them; empty if none."""
    found: list[Path] = []
    for folder in folders:
        own, ranked = folder / OWN_RANKINGS, folder / "rankings.jsonl"
        if own.is_file() and own.stat().st_size:
            found.append(own)
        elif ranked.is_file() and _config_of(folder).get("by") == "people":
            found.append(ranked)
    if not found:
        return ""
    return (
        f"; the rankings made by hand are in {' and '.join(map(str, found))}: copy them elsewhere "
        "before you remove anything, and give the copy with --rank.by people --rank.rankings FILE "
        "(quickstart: --rankings FILE)"
    )


def read_info(path: Path) -> dict[str, Any]:
    """The `run.json` of a run directory; empty where there is none.

    Raises:
        UserError: it cannot be read.
    """
    file = path / "run.json"
    return read_shaped(file, _Info, "restore it, or choose another --out") if file.exists() else {}


def has_results(path: Path, info: Mapping[str, Any]) -> bool:
    """Whether a run is done here, or has written more than that it began."""
    names = {item.name for item in path.iterdir() if not item.name.startswith(".")}
    return info.get("status") == "done" or bool(names - {"config.yaml", "run.json"})


def _config_of(folder: Path) -> dict[str, Any]:
    try:
        return read_info(folder).get("config", {})
    except UserError:
        return {}


def _is_leniency(key: str) -> bool:
    """`on_error` and the like: under `stop`, a run that came so far met nothing to stop for."""
    return key.startswith("on_")


def _has_validated(folder: Path) -> bool:
    """Whether a step with a validation is behind the run."""
    try:
        return "validation" in (folder / "metrics.jsonl").read_text(errors="replace")
    except OSError:
        return False


def _is_on_the_hub(source: Source) -> bool:
    return source.digest is not None and source.digest.digest.startswith("commit:")


def _is_same_content(old: Source, new: Source) -> bool:
    return bool(old.digest and new.digest) and not _has_changed(old, new)


def _has_changed(old: Source, new: Source) -> bool:
    """Whether both have digests, and other ones."""
    return bool(old.digest and new.digest) and old.digest.digest != new.digest.digest  # type: ignore[union-attr]


def _which(old: Digest | None, new: Digest | None) -> str:
    """` (config.json, model.safetensors)`: the files of a folder that are not what they were."""
    before, now = (digest.files or {} if digest else {} for digest in (old, new))
    names = sorted(n for n in before.keys() | now.keys() if before.get(n) != now.get(n))
    return f" ({', '.join(names)})" if names else ""


def _shown(value: Any) -> str:
    """A value as one would write it; several paths with commas between."""
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return repr(value) if value == "" or value is None else str(value)
