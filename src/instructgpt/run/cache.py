"""The machine's cache: what can be made again, and takes long to make."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from instructgpt.run.system import hold


def cache_folder() -> Path:
    """`$INSTRUCTGPT_CACHE`, or `~/.cache/instructgpt`."""
    home = os.environ.get("INSTRUCTGPT_CACHE")
    return Path(home) if home else Path("~/.cache/instructgpt").expanduser()


@contextmanager
def made_once(path: Path) -> Iterator[None]:
    """Of several processes that would make `path`, one is inside at a time: who comes later finds
    it made. Where the folder cannot be written, or has no locks, nobody waits.
    """
    with ExitStack() as stack:
        with suppress(OSError):  # a cache that cannot be written cannot be shared either
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = stack.enter_context(path.with_name(f".{path.name}.lock").open("a"))
            hold(lock, wait=True)
        yield
