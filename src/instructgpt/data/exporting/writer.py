"""What a writer is: a record to rows of another tool, and the fields that these cannot hold."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from instructgpt.data.jsonl import Row
from instructgpt.data.records import PromptText, Ranking, Record, prompt_id


@dataclass
class Written:
    """What a record became.

    Attributes:
        rows: in the form of the tool.
        lost: fields of the record that these do not hold, or hold in another form.
    """

    rows: list[Row]
    lost: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Writer:
    """A format that is written.

    Attributes:
        name: what `--format` calls it.
        says: what it is, in a few words for the table.
        write: for each kind that it can hold, from a record to rows.
        form: `lines` of JSON, one JSON `array`, or `parquet`.
    """

    name: str
    says: str
    write: Mapping[type[Record], Callable[[Any], Written]]
    form: str = "lines"


def dumped(record: Record) -> Row:
    """A record as our own lines have it: what stands at its default says nothing."""
    return record.model_dump(mode="json", exclude_defaults=True)


def told(record: Record) -> Row:
    """The same, without an id that follows from the prompt alone."""
    row = dumped(record)
    name = "id" if "id" in type(record).model_fields else "prompt_id"
    if row.get(name) == prompt_id(record.prompt):  # type: ignore[attr-defined]
        del row[name]
    return row


def as_messages(prompt: PromptText) -> list[Row]:
    """A prompt as messages; a text becomes a user's turn."""
    if isinstance(prompt, str):
        return [{"role": "user", "content": prompt}]
    return [turn.model_dump() for turn in prompt]


def untied_pairs(record: Ranking) -> list[tuple[int, int]]:
    """The better and the worse answer of each untied pair, by place; those of the best first."""
    order = sorted(range(len(record.ranks)), key=lambda place: record.ranks[place])
    return [
        (better, worse)
        for better, worse in combinations(order, 2)
        if record.ranks[better] < record.ranks[worse]
    ]


def left_behind(row: Row, held: Iterable[str]) -> set[str]:
    """The fields of a record's row that are not among those that the tool holds."""
    return row.keys() - set(held)
