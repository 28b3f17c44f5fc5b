"""Power cuts without pulling a plug: what a run does to the disk is recorded, and every state that
the disk may be in after a cut is made from the record.

The model of the disk is strict, as POSIX is and no file system is:

- `fsync` of a file makes its content durable, and nothing else; until then it may be cut short at
  any length, or empty.
- `fsync` of a folder makes the names in it durable. Until then each of its changes (a new name, a
  rename, a removal) may have happened or not; a rename within a folder happens whole or not at all.
- Folders are independent of each other: what happened later in one may be there, and what happened
  earlier in another may not.

The recorder needs no knowledge of who writes how: it looks at the folder before and after each call
that syncs, renames or removes, and takes what is new for written, unsynced, in between.
"""

import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

WATCHED = ("fsync", "rename", "replace", "unlink", "remove", "rmdir", "mkdir", "truncate")
Tree = dict[str, bytes | None]
"""Paths below the folder; None for a folder."""
Change = tuple[int, dict[str, int | None]]
"""Of one folder (by number): its names that lead somewhere else now, or nowhere (None)."""


@dataclass
class Disk:
    """What a folder holds, and what of it would survive.

    Attributes:
        content: of each file (by a number of its own), as programs see it; None for folders.
        durable: of each file, as synced; empty if it never was.
        names: of each folder, as programs see them.
        kept: of each folder, as synced.
        pending: the changes of names since then, oldest first.
    """

    root: int
    content: dict[int, bytes | None] = field(default_factory=dict)
    durable: dict[int, bytes] = field(default_factory=dict)
    names: dict[int, dict[str, int]] = field(default_factory=dict)
    kept: dict[int, dict[str, int]] = field(default_factory=dict)
    pending: list[Change] = field(default_factory=list)

    def tree(self, names: dict[int, dict[str, int]], read: Callable[[int], bytes]) -> Tree:
        """The paths that these names make, with what `read` finds in the files."""
        found: Tree = {}

        def walk(folder: int, path: str) -> None:
            for name, inode in sorted(names.get(folder, {}).items()):
                is_folder = self.content[inode] is None
                found[path + name] = None if is_folder else read(inode)
                if is_folder:
                    walk(inode, f"{path}{name}/")

        walk(self.root, "")
        return found

    def seen(self) -> Tree:
        """The state after `kill -9`: everything is there."""
        return self.tree(self.names, lambda inode: self.content[inode] or b"")

    def states(self) -> Iterator[tuple[str, Tree]]:
        """What may be on the disk after a cut now, each with what happened to what was unsynced."""

        def lost(inode: int) -> bytes:
            return self.durable.get(inode, b"")

        def cut_short(inode: int) -> bytes:
            whole, synced = self.content[inode] or b"", lost(inode)
            return whole if whole == synced else whole[: max(len(whole) // 2, len(synced))]

        def whole(inode: int) -> bytes:
            return self.content[inode] or b""

        choices = {"nothing": [], "all names": self.pending}
        choices |= {f"the first {n} names": self.pending[:n] for n in range(1, len(self.pending))}
        choices |= {f"the last {n} names": self.pending[-n:] for n in range(1, len(self.pending))}
        for folder in {folder for folder, _ in self.pending}:
            choices[f"names in {folder}"] = [c for c in self.pending if c[0] == folder]
            choices[f"names not in {folder}"] = [c for c in self.pending if c[0] != folder]
        choices["removals"] = [c for c in self.pending if None in c[1].values()]
        choices["new names"] = [c for c in self.pending if None not in c[1].values()]
        for what, changes in choices.items():
            names = {folder: dict(kept) for folder, kept in self.kept.items()}
            for folder, change in changes:
                own = names.setdefault(folder, {})
                for name, inode in change.items():
                    if inode is None:
                        own.pop(name, None)
                    else:
                        own[name] = inode
            for data, read in (("lost", lost), ("cut short", cut_short), ("whole", whole)):
                yield (
                    f"of what was unsynced, {what} happened, data is {data}",
                    self.tree(names, read),
                )


class Recorder:
    """Watches a folder while a run writes to it, and hands each new state of it to `check`.

    Args:
        folder: it is there, and durable.
        check: called with the disk whenever something has changed or become durable.
    """

    def __init__(self, folder: Path, check: Callable[[Disk], None]) -> None:
        self.folder, self.check = folder, check
        self.disk = Disk(root=0)
        self._numbers = {folder.stat().st_ino: 0}  # of what is there: inodes come again
        self._stamps: dict[int, tuple[int, int]] = {}
        self._next = itertools.count(1)
        self._busy = False
        self._look()
        disk = self.disk
        disk.kept = {inode: dict(names) for inode, names in disk.names.items()}
        disk.durable = {i: c for i, c in disk.content.items() if c is not None}
        disk.pending = []

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Watch what is done inside."""
        with pytest.MonkeyPatch.context() as patch:
            for name in WATCHED:
                patch.setattr(os, name, self._watched(name, getattr(os, name)))
            yield
        self._look_and_check()

    def _watched(self, name: str, real: Callable) -> Callable:
        def call(*args, **kwargs):
            if self._busy:
                return real(*args, **kwargs)
            self._look_and_check()
            result = real(*args, **kwargs)
            if name == "fsync":
                self._synced(args[0])
            self._look_and_check()
            return result

        return call

    def _look_and_check(self) -> None:
        self._busy = True
        try:
            if self._look():
                self.check(self.disk)
        finally:
            self._busy = False

    def _synced(self, descriptor: int) -> None:
        self._look()
        disk, number = self.disk, self._numbers.get(os.fstat(descriptor).st_ino)
        if number is None:  # of another folder
            return
        content = disk.content[number]
        if content is None:
            disk.kept[number] = dict(disk.names[number])
            disk.pending = [change for change in disk.pending if change[0] != number]
        else:
            disk.durable[number] = content
        self.check(disk)

    def _look(self) -> bool:
        """Take in what has changed since the last look; whether anything has."""
        disk, before = self.disk, self.disk.names
        now: dict[int, dict[str, int]] = {}
        numbers = {self.folder.stat().st_ino: disk.root}
        disk.content[disk.root] = None
        changed = False
        folders = [self.folder]
        while folders:
            folder = folders.pop()
            own = now[numbers[folder.stat().st_ino]] = {}
            for entry in os.scandir(folder):
                if entry.name == ".lock":
                    continue
                stat = entry.stat(follow_symlinks=False)
                number = self._numbers.get(stat.st_ino, -1)
                if number < 0:
                    number = next(self._next)
                numbers[stat.st_ino] = own[entry.name] = number
                if entry.is_dir(follow_symlinks=False):
                    disk.content[number] = None
                    folders.append(Path(entry.path))
                elif self._stamps.get(number) != (stamp := (stat.st_mtime_ns, stat.st_size)):
                    content = Path(entry.path).read_bytes()
                    changed |= disk.content.get(number) != content
                    self._stamps[number], disk.content[number] = stamp, content
        self._numbers = numbers
        for folder in before.keys() | now.keys():
            changed |= self._compare(folder, before.get(folder, {}), now.get(folder, {}))
        disk.names = now
        return changed

    def _compare(self, folder: int, before: dict[str, int], now: dict[str, int]) -> bool:
        """Append the changes of one folder: renames whole, everything else name by name."""
        changes: dict[str, int | None] = {n: i for n, i in now.items() if before.get(n) != i}
        gone = {inode: name for name, inode in before.items() if name not in now}
        ups: list[dict[str, int | None]] = []
        swapped = {n: i for n, i in changes.items() if n in before}
        if len(swapped) == 2 and set(swapped.values()) == {before[n] for n in swapped}:
            ups.append(dict(swapped))  # two names that changed places
            changes = {n: i for n, i in changes.items() if n not in swapped}
        for name, inode in changes.items():
            old = gone.pop(inode, None) if inode is not None else None
            ups.append({name: inode} if old is None else {name: inode, old: None})
        ups += [{name: None} for name in gone.values()]
        self.disk.pending += [(folder, up) for up in ups]
        return bool(ups)


def write_tree(tree: Tree, folder: Path) -> None:
    """Put a state on the real disk, instead of all that is in a folder."""
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for name, content in tree.items():
        if content is None:
            (folder / name).mkdir()
        else:
            (folder / name).write_bytes(content)
