"""What a run will find: models and records on the disk, or those that an earlier stage will write.

Every stage looks at all its inputs through an `Outlook` before it loads a weight or writes a file.
A stage on its own finds everything on the disk. A pipeline looks at all its stages before the
first begins: what an earlier one will write is promised, and the model that it is made from stands
in for it.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from instructgpt.data.reading import load_documents, load_records
from instructgpt.data.records import Record
from instructgpt.errors import UserError, placed
from instructgpt.models.facts import Kind, ModelFacts, look_at
from instructgpt.models.load import pick_device
from instructgpt.run.outline import Row
from instructgpt.run.trackers import check_tracker

R = TypeVar("R", bound=Record)


class Looked(ABC):
    """What a stage has read and checked before it begins; each stage adds its own."""

    @property
    def models(self) -> Mapping[str, ModelFacts]:
        """What is known of the models that the stage will write, by their names in its folder."""
        return {}

    @property
    def records(self) -> Mapping[str, Sequence[Record]]:
        """What is known of the records that it will write, by the names of their files."""
        return {}

    @property
    def steps(self) -> int:
        """How many steps `timings.jsonl` will time; 0 for a stage that has none."""
        return 0

    @abstractmethod
    def outline(self) -> Iterable[Row]:
        """What there is to do, for a dry run."""


class Outlook:
    """Finds what configurations name, and says which key named what cannot be used."""

    def __init__(self) -> None:
        self._folders: list[Path] = []
        self._models: dict[Path, ModelFacts] = {}
        self._seen: dict[tuple[str, Kind], ModelFacts] = {}
        self._records: dict[Path, Sequence[Record]] = {}

    def promise(self, folder: str | Path, looked: Looked) -> None:
        """Count on what a stage that has been looked at will write to its folder."""
        folder = Path(folder).absolute()
        self._folders.append(folder)
        self._models |= {folder / name: facts for name, facts in looked.models.items()}
        self._records |= {folder / name: rows for name, rows in looked.records.items()}

    def know(self, path: str | Path, records: Sequence[Record]) -> None:
        """Count on a file that will be written with these records."""
        path = Path(path).absolute()
        self._folders.append(path)
        self._records[path] = records

    def model(self, key: str, path: str, kind: Kind) -> ModelFacts:
        """What is known of a model before its weights are loaded.

        Raises:
            UserError: there is no such model.
        """
        with placed(key):
            facts = self._models.get(Path(path).absolute())
            if facts is None:
                if (path, kind) not in self._seen:
                    self._seen[path, kind] = look_at(path, kind)
                return self._seen[path, kind]
            if kind in ("policy", "scorer") and facts.is_scorer != (kind == "scorer"):
                found, wanted = ("reward model", "policy")[:: 1 if facts.is_scorer else -1]
                raise UserError(f"{path} will be a {found}, where a {wanted} is needed; give one")
            return facts

    def is_promised(self, path: str) -> bool:
        """Whether an earlier stage has yet to write this file."""
        return any(Path(path).absolute().is_relative_to(folder) for folder in self._folders)

    def records(self, key: str, paths: Sequence[str], kind: type[R], **reading: Any) -> list[R]:
        """The records of files, as far as they are there or known beforehand.

        Raises:
            UserError: a file or a line cannot be used.
        """
        found: list[R] = []
        with placed(key):
            for path in paths:
                if self.is_promised(path):
                    found += [
                        r
                        for r in self._records.get(Path(path).absolute(), ())
                        if isinstance(r, kind)
                    ]
                else:
                    found += load_records([path], kind, **reading)
        return found

    def documents(
        self, key: str, paths: Sequence[str], on_error: Literal["stop", "skip"] | None = None
    ) -> list[str]:
        """The documents of files of text; `on_error` where the user can choose it.

        Raises:
            UserError: a file cannot be used.
        """
        with placed(key):
            return load_documents(paths, on_error)


def open_outlook(config: Any, outlook: Outlook | None) -> Outlook:
    """Where to look, once the device and the tracker that a stage names are known to be there.

    Raises:
        UserError: one is not.
    """
    pick_device(config.device)
    check_tracker(getattr(config, "report_to", "none"))
    return outlook or Outlook()


def described(facts: ModelFacts) -> str:
    """A model in words, for a dry run."""
    kind = "reward model" if facts.is_scorer else "policy"
    context = f", context {facts.context:,}" if facts.context else ""
    return f"{kind}, {facts.parameters / 1e6:,.1f} M parameters{context}"
