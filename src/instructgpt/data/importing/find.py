"""Which format a file is in: that which its first rows fit."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from instructgpt.data.formats.format import Format
from instructgpt.data.formats.registry import FORMATS
from instructgpt.data.jsonl import Row
from instructgpt.data.records import Prompt, Record
from instructgpt.errors import UserError
from instructgpt.run.presets import nearest

LOOKED_AT = 50
"""Rows that decide."""
SHOWN_KEYS = 12


def named_format(name: str, formats: Mapping[str, Format] = FORMATS) -> Format:
    """The format of this name.

    Raises:
        UserError: there is none.
    """
    if name not in formats:
        raise UserError(
            f"no format {name!r}; use auto or one of: {', '.join(formats)}{nearest(name, formats)}"
        )
    return formats[name]


def found_format(
    path: Path,
    rows: Sequence[Row],
    kind: type[Record] | None = None,
    formats: Mapping[str, Format] = FORMATS,
) -> Format:
    """The format that most of the rows fit; of two that are nested, the narrower.

    Args:
        path: of the file, for messages.
        rows: its first rows.
        kind: which records are asked for, if the user says.
        formats: those that there are.

    Raises:
        UserError: none fits, or two fit equally.
    """
    tried = [
        one
        for one in formats.values()
        if not one.by_name and (kind in (None, Prompt) or kind in one.readers)
    ]
    wanted = None if kind is Prompt else kind
    fitting = {
        one.name: {i for i, row in enumerate(rows) if _fits(one, row, wanted)} for one in tried
    }
    fits = +Counter({name: len(found) for name, found in fitting.items()})
    for name in list(fits):
        for wider in formats[name].rather_than:
            if 2 * len(fitting[name] & fitting.get(wider, set())) >= fits[wider]:
                del fits[wider]
    best = [name for name, count in fits.items() if count == max(fits.values())]
    if len(best) == 1:
        return formats[best[0]]
    seen = f"{path}: {_seen(rows)}"
    if best:
        raise UserError(f"{seen} fit {' and '.join(best)} equally; say which: --format {best[0]}")
    near = ", ".join(nearest_formats(rows, tried))
    asked = f" that holds {kind.__name__.lower()} records" if kind else ""
    raise UserError(
        f"{seen} fit no format{asked}; nearest: {near}. Name one with --format, or say which "
        "column is what: --format pairs, ranked or demonstrations, with --map"
    )


def _fits(one: Format, row: Row, kind: type[Record] | None) -> bool:
    return one.fits(row) and (kind is None or one.kind_of is None or one.kind_of(row) is kind)


def nearest_formats(rows: Sequence[Row], formats: Sequence[Format], count: int = 3) -> list[str]:
    """The formats whose examples share most keys with some rows, best first, with their keys."""
    keys = {name for row in rows for name in row}

    def shared(one: Format) -> float:
        return len(keys & one.example.keys()) / len(keys | one.example.keys())

    best = sorted(formats, key=shared, reverse=True)[:count]
    return [f"{one.name} ({', '.join(one.example)})" for one in best]


def _seen(rows: Sequence[Row]) -> str:
    keys = Counter(name for row in rows for name in row)
    names = [name for name, _ in keys.most_common()]
    more = ", …" if len(names) > SHOWN_KEYS else ""
    count = f"the first {len(rows)} rows" if len(rows) > 1 else "the first row"
    return f"{count} (with the keys {', '.join(names[:SHOWN_KEYS]) or 'none'}{more})"
