"""What a file format is: how its rows are known, and what records each becomes.

A format is a file of its own in this folder: pure functions of a row, and one `Format` that names
them; `registry.FORMATS` lists it. The importer does the rest: it finds the form of a file, counts
every row once, and writes.

A reader may take for granted that a row is a dictionary from JSON (or from a column file) without
NUL and lone surrogates, nested at most a hundred levels, and nothing else: any value may stand in
any field. In CSV and TSV every value is a text. What a row does is one of three:

- it returns records (a plain list, or `Converted` where parts of the row are in no record);
- it raises `Skip`, with the reason that is counted and a sentence that begins with the field;
- it raises any other ValueError, as pydantic does: counted as `Reason.WRONG_VALUE`.

No other exception may leave it. A list without records must not be returned: `Skip` says why. The
row's own columns go into its records by `columns.own_columns`, so that what is written can be read.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

from instructgpt.data.formats.reasons import Reason
from instructgpt.data.jsonl import Row
from instructgpt.data.records import Record


class Skip(ValueError):  # noqa: N818 - it is no error of the row
    """A row that ends in no record.

    Attributes:
        reason: the phrase under which it is counted.
    """

    def __init__(self, reason: Reason, sentence: str) -> None:
        """Skip a row.

        Args:
            reason: the phrase under which it is counted.
            sentence: what is wrong, beginning with the field, as in "chosen: the answer is empty".
        """
        super().__init__(sentence)
        self.reason = reason


@dataclass
class Converted:
    """What a row became.

    Attributes:
        records: at least one, unless every row is in `skipped`.
        left_out: parts of a kept row that are in no record, by reason.
        skipped: of a format that groups its rows: those of the group that are in no record, by
            their place in the list; a group that ends in no record at all raises `Skip`.
    """

    records: list[Record]
    left_out: Counter[Reason] = field(default_factory=Counter)
    skipped: dict[int, Skip] = field(default_factory=dict)


Convert = Callable[..., Converted | list[Record]]
"""From a row to records: `convert(row)`; `convert(rows)` where the format groups its rows; with the
options of the format as keywords, those that the user gave."""


@dataclass(frozen=True)
class Format:
    """A file format.

    Attributes:
        name: what `--format` calls it.
        main: the kind of record that it is read as, unless the user names another.
        readers: for each kind that it holds, the reader of a row. (Prompts alone can be taken from
            any format: that needs no reader.)
        fits: whether a row has the keys and types that tell this format. Exact: a row of another
            format is refused, and a row with a bad value beside the telling keys is not.
        example: a row, as the table of the documentation shows it.
        says: what it is, in a few words for the table.
        rather_than: names of formats that fit these rows too, being wider: this one is meant.
        kind_of: of a format whose rows hold one kind or another, by their keys: which this row
            holds; None where it is neither.
        group: of a format whose records need several rows: the key that is the same for rows that
            belong together; None for a row that stands alone. It may raise `Skip`.
        options: names of the keywords that the readers take, each a flag of `data import`.
        by_name: whether it is read only when it is named, because its rows tell nothing.
        check: refuses options, given as keywords, with which no row can be read.
    """

    name: str
    main: type[Record]
    readers: Mapping[type[Record], Convert]
    fits: Callable[[Row], bool]
    example: Row
    says: str
    rather_than: tuple[str, ...] = ()
    kind_of: Callable[[Row], type[Record] | None] | None = None
    group: Callable[[Row], Hashable] | None = None
    options: tuple[str, ...] = ()
    by_name: bool = False
    check: Callable[..., None] | None = None

    def convert(self, kind: type[Record], rows: Any, **options: Any) -> Converted:
        """The records of one kind in a row (or in the rows of a group).

        Raises:
            ValueError: it ends in none (see `Skip`).
        """
        found = self.readers[kind](rows, **options)
        return found if isinstance(found, Converted) else Converted(found)
