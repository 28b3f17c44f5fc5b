"""An import: files of any form and format into files of our records, all or nothing."""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from instructgpt.data.formats.format import Format, Skip
from instructgpt.data.formats.lines import OnError
from instructgpt.data.formats.reasons import MALFORMED
from instructgpt.data.importing.account import Account, reasons_told
from instructgpt.data.importing.convert import Conversion
from instructgpt.data.importing.find import LOOKED_AT, found_format, named_format
from instructgpt.data.importing.forms import Item, rows_of
from instructgpt.data.importing.output import is_folder, outputs
from instructgpt.data.importing.sources import sources_of
from instructgpt.data.jsonl import REMEDY
from instructgpt.data.records import Prompt, Record
from instructgpt.errors import UserError

MOST_BAD = 1000
"""Rows that cannot be read before the first that can: more, and the file is none of ours."""


@dataclass
class Imported:
    """What an import did.

    Attributes:
        accounts: of each file.
        paths: the files written, by kind.
    """

    accounts: list[Account] = field(default_factory=list)
    paths: Mapping[str, Path] = field(default_factory=dict)


def import_files(
    files: Sequence[str],
    out: str,
    *,
    format: str = "auto",
    kind: type[Record] | None = None,
    on_error: OnError = "stop",
    options: Mapping[str, Any] | None = None,
) -> Imported:
    """Read files, folders or data sets of the Hub, and write their records.

    Args:
        files: what to read.
        out: a file for one kind of records; or a folder (which exists, or ends in a slash) for a
            file of each kind.
        format: in which all files are; `auto` finds each one's from its first rows.
        kind: which records; None takes the main kind of the format, or for a folder all kinds.
        on_error: what a malformed row does.
        options: of the format, by name.

    Raises:
        UserError: a file cannot be used, or a row and that stops; nothing is written then.
    """
    if format != "auto":
        named_format(format)
    result = Imported()
    prompts: set[bytes] = set()
    chosen: dict[str, str] = {}
    with outputs(out) as written:
        for path in (path for name in files for path in sources_of(name)):
            items = rows_of(path)
            head = list(_head(items, path, on_error))
            rows = [item.row for item in head if not isinstance(item.row, Skip)]
            found = found_format(path, rows, kind) if format == "auto" else named_format(format)
            given = _options_of(found, options or {})
            kinds = [kind] if kind else list(found.readers)
            if not is_folder(out):
                kinds = [kind or _main_kind(found, rows)]
                _refuse_mixture(chosen, kinds[0], path)
            _require_held(found, kinds)
            account = Account(str(path), found.name)
            conversion = Conversion(found, kinds, account, on_error, given, prompts)
            for record in conversion.records(itertools.chain(head, items)):
                written.write(record)
            _require_kept(account)
            result.accounts.append(account)
        result.paths = dict(written.paths)
    return result


def _head(items: Iterator[Item], path: Path, on_error: OnError) -> Iterator[Item]:
    """The first rows, those that cannot be read among them.

    Raises:
        UserError: one cannot be read, and that stops; or so many that none will.
    """
    good = bad = 0
    first: Item | None = None
    for item in items:
        if isinstance(item.row, Skip):
            first, bad = first or item, bad + 1
            if on_error == "stop":
                raise UserError(f"{item.place}: {item.row}; {REMEDY}")
            if not good and bad > MOST_BAD:
                break
        else:
            good += 1
        yield item
        if good == LOOKED_AT:
            return
    if first and not good:
        raise UserError(f"{first.place}: {first.row}; no other row of {path} can be read either")


def _main_kind(format: Format, rows: Sequence[dict[str, Any]]) -> type[Record]:
    """The kind that most of the first rows hold; the main kind where rows say nothing."""
    if format.kind_of is None:
        return format.main
    held = Counter(kind for row in rows if (kind := format.kind_of(row)))
    order = [format.main, *format.readers]
    return max(held, key=lambda kind: (held[kind], -order.index(kind)), default=format.main)


def _refuse_mixture(chosen: dict[str, str], kind: type[Record], path: Path) -> None:
    name = kind.__name__.lower()
    chosen.setdefault(name, str(path))
    if len(chosen) > 1:
        told = ", ".join(f"{one} in {file}" for one, file in chosen.items())
        raise UserError(f"the files hold different records ({told}); name --kind, or --out FOLDER/")


def _require_held(format: Format, kinds: Iterable[type[Record]]) -> None:
    for kind in kinds:
        if kind is not Prompt and kind not in format.readers:
            held = ", ".join(one.__name__.lower() for one in format.readers)
            raise UserError(
                f"--kind {kind.__name__.lower()}: {format.name} holds {held}, and their prompts"
            )


def _options_of(format: Format, options: Mapping[str, Any]) -> dict[str, Any]:
    for name in options:
        if name not in format.options:
            raise UserError(
                f"--{name} says nothing to the format {format.name}; leave it out, or name another "
                "--format"
            )
    if format.check:
        format.check(**options)
    return dict(options)


def _require_kept(account: Account) -> None:
    """A file without a single usable row is not the file that was meant."""
    if account.kept:
        return
    first = next((line for some in account.sentences.values() for line in some), "")
    malformed = all(reason in MALFORMED for reason in account.skipped)
    remedy = "check the format" if malformed else "name another file, or another --kind"
    raise UserError(
        f"{account.file}: no row ends in a record, read as {account.format} "
        f"({reasons_told(account.skipped)}; {first}); {remedy}"
    )
