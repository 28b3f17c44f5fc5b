"""From the rows of one file to records, in one format; what cannot be used is counted."""

import json
from array import array
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from contextlib import ExitStack
from hashlib import blake2b
from tempfile import TemporaryFile
from typing import IO, Any

from instructgpt.data.formats.format import Converted, Format, Skip
from instructgpt.data.formats.lines import OnError, reason_of
from instructgpt.data.formats.reasons import MALFORMED, Reason
from instructgpt.data.importing.account import Account
from instructgpt.data.importing.forms import Item
from instructgpt.data.jsonl import REMEDY, Row
from instructgpt.data.records import Prompt, Record
from instructgpt.errors import UserError

OTHER = (Reason.OTHER_KIND, Reason.OTHER_KEYS)
NOT_THERE = (*OTHER, Reason.NO_JUDGMENT, Reason.NO_RANKING)
"""Why a row has no record of a kind without any part of it being lost."""


class Conversion:
    """The rows of a file as records of some kinds.

    Args:
        format: the file's.
        kinds: the records that are wanted.
        account: of the file; every row is counted here.
        on_error: what a malformed row does.
        options: of the format.
        prompts: ids of the prompts that were taken from other records before, where prompts are all
            that is wanted.
    """

    def __init__(
        self,
        format: Format,
        kinds: Iterable[type[Record]],
        account: Account,
        on_error: OnError,
        options: dict[str, Any],
        prompts: set[bytes],
    ) -> None:
        self._format, self._kinds, self._account = format, list(kinds), account
        self._as_prompts = self._kinds == [Prompt]
        self._stops, self._options, self._prompts = on_error == "stop", options, prompts

    def records(self, items: Iterable[Item]) -> Iterator[Record]:
        """The records of the rows: first of those that stand alone, in order; then of the groups,
        by their first rows.

        Raises:
            UserError: a row is malformed, and that stops.
        """
        with ExitStack() as stack:
            groups = _Groups(stack)
            for place, row in items:
                try:
                    if isinstance(row, Skip):
                        raise row
                    key = self._format.group(row) if self._format.group else None
                    if key is not None:
                        groups.add(key, place, row)
                        continue
                    found = self._converted(row)
                except ValueError as error:
                    self._skip(place, error)
                    continue
                yield from self._taken(place, found)
            for places, rows in groups:
                yield from self._of_group(places, rows)

    def _of_group(self, places: list[str], rows: list[Row]) -> Iterator[Record]:
        try:
            found = self._converted(rows)
        except ValueError as error:
            for place in places:
                self._skip(place, error)
            return
        for index, why in found.skipped.items():
            self._skip(places[index], why)
        kept = [place for index, place in enumerate(places) if index not in found.skipped]
        yield from self._taken(kept[0], found, len(kept))

    def _taken(self, place: str, found: Converted, rows: int = 1) -> Iterator[Record]:
        """Count what a row, or several, became."""
        records = found.records
        if self._as_prompts:
            records = self._prompts_of(records)
            if not records:
                why = Skip(Reason.REPEATED_PROMPT, "prompt: an earlier row has the same")
                for _ in range(rows):
                    self._account.skip(place, why)
                return
        self._account.kept += rows
        self._account.left_out += found.left_out
        for record in records:
            self._account.records[type(record).__name__.lower()] += 1
            yield record

    def _converted(self, rows: Any) -> Converted:
        """The records of all wanted kinds in a row or a group. What it holds of another kind beside
        them and cannot be used is left out, and malformed where it is so.

        Raises:
            ValueError: there are none, or a part is malformed, and that stops.
        """
        found: list[Converted] = []
        failures: list[ValueError] = []
        for kind in self._format.readers if self._as_prompts else self._kinds:
            try:
                found.append(self._format.convert(kind, rows, **self._options))
            except ValueError as error:
                failures.append(error)
        if not found:
            told = (f for f in failures if not isinstance(f, Skip) or f.reason not in OTHER)
            raise next(told, failures[0])
        left_out: Counter[Reason] = Counter()
        for failure in [] if self._as_prompts else failures:
            reason = failure.reason if isinstance(failure, Skip) else Reason.WRONG_VALUE
            if reason in MALFORMED and reason not in OTHER and self._stops:
                raise failure
            left_out |= Counter([reason] if reason not in NOT_THERE else [])
        for one in found:
            left_out |= one.left_out  # what two kinds leave out is one thing
        skipped = {
            index: why
            for index, why in found[0].skipped.items()
            if all(index in one.skipped for one in found)
        }
        return Converted([record for one in found for record in one.records], left_out, skipped)

    def _prompts_of(self, records: Iterable[Record]) -> list[Record]:
        """The prompts of records, without those that were taken before."""
        found: list[Record] = []
        for record in records:
            if isinstance(record, Prompt):
                found.append(record)
                continue
            name, prompt = record.prompt_id, record.prompt  # type: ignore[attr-defined]
            key = blake2b(name.encode(), digest_size=12).digest()
            if key not in self._prompts:
                self._prompts.add(key)
                found.append(Prompt(id=name, prompt=prompt))
        return found

    def _skip(self, place: str, error: ValueError) -> None:
        why = error if isinstance(error, Skip) else Skip(Reason.WRONG_VALUE, reason_of(error))
        if self._stops and why.reason in MALFORMED:
            raise UserError(f"{place}: {why}; {REMEDY}") from None
        self._account.skip(place, why)


class _Groups:
    """Rows that belong together though others may stand between them: they wait in a file, and in
    memory only where they are.
    """

    def __init__(self, stack: ExitStack) -> None:
        self._places: dict[bytes, array[int]] = {}
        self._file: IO[bytes] | None = None
        self._stack = stack

    def add(self, key: Hashable, place: str, row: Row) -> None:
        """Let a row wait for the others of its key."""
        if self._file is None:
            self._file = self._stack.enter_context(TemporaryFile())  # noqa: SIM115
        digest = blake2b(repr(key).encode(), digest_size=12).digest()
        self._places.setdefault(digest, array("q")).append(self._file.tell())
        self._file.write(json.dumps([place, row]).encode() + b"\n")

    def __iter__(self) -> Iterator[tuple[list[str], list[Row]]]:
        if self._file is None:
            return
        for offsets in self._places.values():
            lines = []
            for offset in offsets:
                self._file.seek(offset)
                lines.append(json.loads(self._file.readline()))
            yield [place for place, _ in lines], [row for _, row in lines]
