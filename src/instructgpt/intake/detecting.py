"""What functions of a prompt's text alone find: personal data, the language, the number of tokens.

They are most of an intake's work and depend on nothing else, so two processes share them, and what
they found is kept in the store under their versions.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from itertools import islice
from multiprocessing import get_context
from typing import Any, NamedTuple, Protocol

from instructgpt.intake.texts import texts_of, whole_text, with_texts
from instructgpt.run.tuning import available_cores

Row = Mapping[str, Any]
FEW = 2_000
"""Prompts for which no process is started."""
CHUNK = 250
"""Prompts that a process gets at a time."""


class Detector(Protocol):
    """Finds something in a row; what it finds is JSON."""

    @property
    def version(self) -> str:
        """Changes when the same row may give something else."""
        ...

    def __call__(self, row: Row) -> Any:
        """What it finds."""
        ...


class PersonalData:
    """Personal data, and the row without them."""

    def __init__(self) -> None:
        from instructgpt.intake import pii

        self._rules = pii.Rules()
        self.version = f"pii {self._rules.version}"

    def __call__(self, row: Row) -> Any:
        """None, or the columns with marks in the places of what was found, and how many of each
        type.
        """
        from instructgpt.intake.pii import mask_all

        texts = texts_of(row)
        spans = [self._rules.find(text) for text in texts]
        types = Counter(span.type for found in spans for span in found)
        if not types:
            return None
        fields = with_texts(row, mask_all(texts, spans))
        return {"fields": fields, "types": dict(sorted(types.items()))}


class Language:
    """The language, and how sure that is."""

    def __init__(self) -> None:
        from instructgpt.intake.language import Identifier

        self._identifier = Identifier()
        self.version = f"language {self._identifier.version}"

    def __call__(self, row: Row) -> Any:
        """The language's code or `unknown`, and the score; as the row itself says, without one."""
        if given := row.get("language"):
            return [given, None]
        return list(self._identifier.language(whole_text(row)))


class Tokens:
    """The number of tokens.

    Args:
        path: of the tokenizer: a directory or a Hub id.
    """

    def __init__(self, path: str) -> None:
        from instructgpt.models.opening import load_tokenizer
        from instructgpt.run.digest import TOKENIZER_FILES, digest_of
        from instructgpt.run.inputs import locate

        self._tokenizer = load_tokenizer(path)
        digest = digest_of(locate(path), TOKENIZER_FILES)
        self.version = f"tokens {digest.digest if digest else path}"

    def __call__(self, row: Row) -> Any:
        """How many there are."""
        from instructgpt.models.framing import plain_ids

        return len(plain_ids(self._tokenizer, whole_text(row)))


class Wanted(NamedTuple):
    """A row, and the detectors (by number) that have not looked at it yet."""

    key: str
    row: Row
    detectors: Sequence[int]


Found = tuple[str, int, Any]
"""A key, the number of a detector, and what this found."""
_made: list[Detector] = []


def _set_up(makers: Sequence[Callable[[], Detector]]) -> None:
    _made[:] = [maker() for maker in makers]


def _look(chunk: Sequence[Wanted]) -> list[Found]:
    return [(one.key, number, _made[number](one.row)) for one in chunk for number in one.detectors]


def detect(
    wanted: Iterable[Wanted],
    detectors: Sequence[Detector],
    makers: Sequence[Callable[[], Detector]],
) -> Iterator[list[Found]]:
    """What is found, in lists as they come; in other processes where there is much to do.

    Args:
        wanted: what is to be looked at.
        detectors: those that look.
        makers: make the same in another process.
    """
    rows = iter(wanted)
    chunks = iter(lambda: list(islice(rows, CHUNK)), [])
    first = list(islice(chunks, FEW // CHUNK + 1))
    if len(first) <= FEW // CHUNK:
        for chunk in first:
            yield [
                (one.key, number, detectors[number](one.row))
                for one in chunk
                for number in one.detectors
            ]
        return
    with _processes(makers) as pool:
        waiting = [pool.submit(_look, chunk) for chunk in first]
        for chunk in chunks:
            yield waiting.pop(0).result()
            waiting.append(pool.submit(_look, chunk))
        for future in waiting:
            yield future.result()


@contextmanager
def _processes(makers: Sequence[Callable[[], Detector]]) -> Iterator[ProcessPoolExecutor]:
    """Processes that end with this one, whatever ends it."""
    count = max(1, available_cores())
    pool = ProcessPoolExecutor(count, get_context("spawn"), _set_up, (list(makers),))
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
