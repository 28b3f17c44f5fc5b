"""A row's own columns beside those that a reader uses: kept, whatever they are called."""

from collections.abc import Iterable
from functools import cache

from instructgpt.data.formats.contradictions import ANOTHER_KIND, IF, JUDGEMENTS, UNLESS
from instructgpt.data.jsonl import Row
from instructgpt.data.records import Demonstration, Record

PREFIX = "original_"
"""Before the name of a column that a record would take for one of its own."""


def own_columns(row: Row, used: Iterable[str], kind: type[Record]) -> Row:
    """The columns of a row that a reader has not used, for a record of some kind.

    One whose name means something else in our records, or would contradict them when they are read
    again (`label`, `ranks`), is kept under another name.

    >>> from instructgpt.data.records import Ranking
    >>> own_columns({"q": "2 + 2", "label": 0, "topic": "sums"}, ["q"], Ranking)
    {'original_label': 0, 'topic': 'sums'}

    Args:
        row: the row.
        used: the columns whose content is in the record already.
        kind: of which record.
    """
    kept, taken = {}, taken_names(kind)
    for name, value in row.items():
        if name not in used:
            while name in taken or name in kept:
                name = PREFIX + name
            kept[name] = value
    return kept


@cache
def taken_names(kind: type[Record]) -> frozenset[str]:
    """The names that an own column of a record of this kind may not have."""
    parts = (
        kind.model_fields,
        ANOTHER_KIND.get(kind, ()),
        UNLESS.get(kind, ()),
        IF.get(kind, ()),
        JUDGEMENTS if kind is Demonstration else (),
    )
    return frozenset(name for part in parts for name in part)
