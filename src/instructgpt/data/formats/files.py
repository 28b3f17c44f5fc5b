"""Read records from our own and TRL's lines, as every stage does, and write them.

Files of all other tools go through `data.importing`, whose formats `registry.FORMATS` lists.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from pydantic import Field

from instructgpt.data.formats import trl, trl_rankings
from instructgpt.data.formats.contradictions import refuse_contradiction
from instructgpt.data.formats.lines import OnError, convert_each, convert_rows
from instructgpt.data.jsonl import REMEDY, Row, check_text, write_jsonl
from instructgpt.data.records import Candidates, Demonstration, Prompt, Ranking, Rating, Record
from instructgpt.errors import UserError

R = TypeVar("R", bound=Record)
Batches = list[tuple[str, list[Record]]]
"""What each line became, with its place."""
HOLD_A_PROMPT = Demonstration | Candidates | Rating


@dataclass(frozen=True)
class ReadResult(Generic[R]):
    """Records read from a file of one format, each knowing its line, and a message for every line
    that was skipped.
    """

    records: list[R]
    format: str
    skipped: list[str]


@dataclass(frozen=True)
class Reader:
    """Lines with these keys, in this format, hold this kind of record."""

    format: str
    kind: type[Record]
    keys: tuple[str, ...]
    convert: Callable[[Row], list[Record]]


def _native(kind: type[Record]) -> Reader:
    required = tuple(name for name, field in kind.model_fields.items() if field.is_required())
    return Reader("native", kind, required, lambda row: [kind.model_validate(row)])


READERS = (  # the first whose keys a line has reads it, so the more telling keys stand first
    _native(Ranking),
    _native(Candidates),
    _native(Rating),
    _native(Demonstration),
    Reader("trl", Ranking, ("chosen", "rejected"), trl.from_preference),
    Reader("trl", Demonstration, ("prompt", "completion"), trl.from_prompt_completion),
    _native(Prompt),
    Reader("trl", Prompt, ("prompt",), lambda row: [Prompt.model_validate(row)]),
    Reader("trl", Demonstration, ("messages",), trl.from_messages),
    Reader("trl", Demonstration, ("text",), trl.from_text),
)

FORMATS = ("auto", *dict.fromkeys(reader.format for reader in READERS))
"""What a file may be said to be in; `auto` goes by its first line's keys."""


def format_key(records: str) -> Any:
    """The field `format` of a configuration that names files of such records."""
    return Field("auto", description=f"format of the {records}: {', '.join(FORMATS)}")


def read_records(
    path: Path,
    kind: type[R],
    *,
    format: str = "auto",
    on_error: OnError = "stop",
    remedy: str = REMEDY,
) -> ReadResult[R]:
    """Read a file's records, in the named format or in the one its first line's keys show.

    A record of any kind may be read as its `Prompt`: each prompt once, by its id. `remedy` is what
    the user is told to do about a bad line.

    Raises:
        UserError: the file cannot be read or is empty, the format is unknown or holds no such
            records, or a line is bad or contradicts the kind and `on_error` is "stop": the message
            names line and field.
    """
    convert = _Conversion(kind, format)
    batches, skipped = convert_rows(path, convert, on_error, remedy=remedy)
    records = [record.at(place) for place, batch in convert.whole(batches) for record in batch]
    if kind is Prompt:
        records = _prompts(records)
    return ReadResult(cast("list[R]", records), convert.readers[0].format, skipped)


def read_objects(
    items: Sequence[Any],
    kind: type[R],
    *,
    name: str,
    format: str = "auto",
    on_error: OnError = "stop",
) -> ReadResult[R]:
    """Records from Python: records as they are, and mappings as the lines of files, each in a
    format of its own.

    Args:
        items: records of this kind (or such as hold its prompt), and mappings.
        kind: which records.
        name: what the items are called, with a number, in messages.
        format: as in `read_records`.
        on_error: what an item that is neither does.

    Raises:
        UserError: there are none, or one cannot be used and `on_error` is "stop".
    """
    if not items:
        raise UserError(f"{name}: the list is empty; give at least one {_name(kind)}")

    def record(item: Any) -> list[Record]:
        if isinstance(item, kind) or (kind is Prompt and isinstance(item, HOLD_A_PROMPT)):
            return [item]
        if not isinstance(item, Mapping):
            raise ValueError(f"expected a {_name(kind)} or a dictionary, found {_type(item)}")
        check_text(dict(item), "the item")
        return _Conversion(kind, format, f"a {_name(kind)}")(dict(item))

    places = ((f"{name} {number}", item) for number, item in enumerate(items, start=1))
    batches, skipped = convert_each(places, record, on_error, remedy="mend it or take it out")
    # What has a place of its own keeps it: it was read from a file.
    records = [r if r.place else r.at(place) for place, batch in batches for r in batch]
    if kind is Prompt:
        records = _prompts(records)
    return ReadResult(cast("list[R]", records), format, skipped)


class _Conversion:
    """From rows to records, by the reader whose keys a row has; the first row decides the format.

    Args:
        kind: of which records.
        format: named, or `auto`.
        asked: what is asked for, in messages.

    Raises:
        UserError: the format is unknown or holds no such records.
    """

    def __init__(self, kind: type[Record], format: str, asked: str = "") -> None:
        self._kind, self._asked = kind, asked or f"--kind {_name(kind)}"
        self._pairs: list[Row | None] = []  # of each row that became something: one of a ranking
        self.readers = [
            r for r in READERS if format in ("auto", r.format) and kind in (r.kind, Prompt)
        ]
        if not self.readers:
            formats = dict.fromkeys(r.format for r in READERS if kind is r.kind)
            raise UserError(
                f"no format {format!r} holds {self._asked}; use one of: {', '.join(formats)}"
            )

    def __call__(self, row: Row) -> list[Record]:
        reader = next((r for r in self.readers if row.keys() >= set(r.keys)), None)
        if reader is None:
            found = ", ".join(row) or "none"
            needed = " or ".join(f"{', '.join(r.keys)} ({r.format})" for r in self.readers)
            raise ValueError(f"found the keys {found}, but {self._asked} needs {needed}")
        self.readers = [r for r in self.readers if r.format == reader.format]
        refuse_contradiction(self._kind, row)
        pair = self._kind is Ranking and trl_rankings.ranking_of(row) is not None
        records: list[Record] = [trl_rankings.pair_of(row)] if pair else reader.convert(row)
        self._pairs.append(row if pair else None)
        return records

    def whole(self, batches: Batches) -> Batches:
        """What the rows became, with the pairs of one ranking as that ranking, where the first of
        them stands.
        """
        groups: dict[str, list[tuple[Row, Ranking]]] = {}
        rows = list(zip(batches, self._pairs, strict=True))
        for (_, batch), row in rows:
            if row:
                groups.setdefault(row["ranking_id"], []).append((row, cast("Ranking", batch[0])))
        found: Batches = []
        for (place, batch), row in rows:
            if row is None:
                found.append((place, batch))
            elif pairs := groups.pop(row["ranking_id"], None):
                found.append((place, [*trl_rankings.joined(pairs)]))
        return found


def write_records(path: Path, records: Iterable[Record]) -> None:
    """Write records, the whole file or nothing.

    Raises:
        UserError: the file cannot be written, or a text in a record could not be read back.
    """
    # A field at its default says nothing: leaving it out drops our nulls and keeps a team's own.
    write_jsonl(path, (record.model_dump(mode="json", exclude_defaults=True) for record in records))


def _prompts(records: list[Record]) -> list[Record]:
    """Prompts as they are, and the prompts of other records, each once."""
    taken = {
        other.prompt_id: Prompt(id=other.prompt_id, prompt=other.prompt).at(other.place)
        for other in records
        if isinstance(other, HOLD_A_PROMPT)
    }
    return [*(record for record in records if isinstance(record, Prompt)), *taken.values()]


def _type(item: object) -> str:
    return type(item).__name__


def _name(kind: type[Record]) -> str:
    return kind.__name__.lower()
