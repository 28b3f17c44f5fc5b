"""Which items of a task are scored, and which are shown as few-shot examples."""

import csv
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

from instructgpt.errors import UserError
from instructgpt.evaluation.tasks.task import Item, Request, Task
from instructgpt.run.digest import file_digest


@dataclass(frozen=True)
class Chosen:
    """A task with its data.

    Attributes:
        task: what it is.
        shots: how many examples stand before each query.
        items: those that are scored; empty where the task cannot be measured.
        examples: those that are shown; no scored item is among them, asks the same, or shares a
            cluster with one.
        data: SHA-256 of all that was read.
        reason: why the task cannot be measured; empty where it can.
    """

    task: Task
    shots: int
    items: tuple[Item, ...] = ()
    examples: tuple[Item, ...] = ()
    data: str = ""
    reason: str = ""

    @property
    def name(self) -> str:
        """The task's, and the number of examples where there are some: a file's name."""
        return named(self.task.name, self.shots)

    @cached_property
    def requests(self) -> list[tuple[Item, Request]]:
        """What a model is asked, item by item."""
        return [
            (item, request)
            for item in self.items
            for request in self.task.requests(item, self.examples)
        ]


def named(task: str, shots: int) -> str:
    """What a task is called with so many examples."""
    return f"{task}-{shots}shot" if shots else task


def choose(
    task: Task, data_dir: str | Path, *, shots: int = 0, limit: int | None = None, seed: int = 0
) -> Chosen:
    """Find a task's files below a folder, read them, and part what is scored from what is shown.

    Items come in the order of a hash of their ids, so that `limit` takes the same ones whatever the
    file's order and however many it has.

    Args:
        task: which.
        data_dir: a folder; its subfolders are searched too.
        shots: examples before each query, of a task that takes any.
        limit: the most items to score; None for all.
        seed: decides the order.

    Raises:
        UserError: a file is there and cannot be read.
    """
    shots = shots if task.takes_shots else 0
    if reason := lacking(task):
        return Chosen(task, shots, reason=reason)
    if not data_dir:
        return Chosen(task, shots, reason="no folder of data: give --data_dir")
    path = find(task.files, data_dir)
    if path is None:
        return Chosen(task, shots, reason=f"no {' or '.join(task.files)} in {data_dir}")
    own = find(task.example_files, data_dir) if shots else None
    items = _ordered(_read(task, path), seed)
    if own:
        shown = filter(task.can_show, _apart(_ordered(_read(task, own), seed), items))
        examples = _one_per_cluster(shown, shots)
    else:
        examples = _one_per_cluster(filter(task.can_show, reversed(items)), shots)
        items = _apart(items, examples)
    if len(examples) < shots:
        where = own or path
        return Chosen(task, shots, reason=f"{where} has {len(examples)} examples, not {shots}")
    if not items:
        return Chosen(task, shots, reason=f"{path} has no items")
    read = [*task.paths(path), *(task.paths(own) if own else ())]
    digests = "".join(f"{file_digest(one)}\n" for one in read)
    digest = digests.strip() if len(read) == 1 else hashlib.sha256(digests.encode()).hexdigest()
    return Chosen(task, shots, tuple(items[:limit]), tuple(examples), digest)


def lacking(task: Task) -> str:
    """Which packages a task's metrics need and do not find, with the remedy; empty: none."""
    if missing := [package for package in task.needs if find_spec(package) is None]:
        install = f"pip install 'instructgpt[{task.extra}]'"
        return f"{', '.join(missing)} is not installed: {install}"
    return ""


def find(names: Iterable[str], folder: str | Path) -> Path | None:
    """The first file below a folder that has one of these names (patterns), gzipped or not."""
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"data_dir: {folder} is no folder; give the one that has the benchmarks")
    for name in names:
        if found := [p for end in ("", ".gz") for p in folder.rglob(name + end) if p.is_file()]:
            return min(found)
    return None


def _read(task: Task, path: Path) -> list[Item]:
    """The items of a file, told apart where it gives several the same id, whatever its order."""
    items: list[Item] = []
    try:
        for item in task.read(path):
            if any(not 0 <= place < len(item.choices) for place in item.right):
                raise ValueError(f"no choice {max(item.right)} among {len(item.choices)}")
            items.append(item)
    except UserError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, csv.Error) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise UserError(
            f"{path}: not in the format of {task.name}, behind item {len(items)} ({what}); give "
            f"the set's own file, or take it out of the folder"
        ) from None
    seen: dict[str, int] = {}
    apart = []
    for item in sorted(items, key=lambda i: (i.id, i.query, i.choices, i.right, i.references)):
        seen[item.id] = seen.get(item.id, 0) + 1
        number = seen[item.id]
        apart.append(replace(item, id=f"{item.id}#{number}") if number > 1 else item)
    return apart


def _ordered(items: Sequence[Item], seed: int) -> list[Item]:
    def place(item: Item) -> bytes:
        return hashlib.sha256(f"{seed} {item.id}".encode()).digest()

    return sorted(items, key=place)


def _group(item: Item) -> str:
    return item.cluster or item.id


def _one_per_cluster(items: Iterable[Item], count: int) -> list[Item]:
    """The first items, no two of which share a passage."""
    found: dict[str, Item] = {}
    for item in items:
        if len(found) == count:
            break
        found.setdefault(_group(item), item)
    return list(found.values())


def _apart(items: Iterable[Item], others: Sequence[Item]) -> list[Item]:
    """Without those that ask the same as one of the others, or share a passage with it."""
    queries, clusters = ({getattr(o, name) for o in others} for name in ("query", "cluster"))
    return [
        i for i in items if i.query not in queries and not (i.cluster and i.cluster in clusters)
    ]
