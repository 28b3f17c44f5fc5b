"""`data import`, `data export` and `data formats`: files of other tools to records and back."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from instructgpt.data.exporting import run as exporting
from instructgpt.data.exporting.registry import WRITERS
from instructgpt.data.exporting.table import formats_table
from instructgpt.data.formats import read_records
from instructgpt.data.importing.account import counts, together
from instructgpt.data.importing.run import Imported, import_files
from instructgpt.data.records import KINDS
from instructgpt.errors import UserError
from instructgpt.run.inputs import locate
from instructgpt.run.outline import counted
from instructgpt.run.progress import say, say_skipped, show

Kind = Annotated[Literal[*KINDS], Parameter(help="what the records are")]
Written = Annotated[Literal[*WRITERS], Parameter(help="the format to write")]
OnError = Annotated[
    Literal["stop", "skip"],
    Parameter(name="--on_error", help="what a bad line does: stop, or skip it and say so"),
]


def import_records(
    file: Annotated[
        list[str],
        Parameter(
            help="what to read: files, folders, data sets of the Hub",
            consume_multiple=True,
            negative="",
        ),
    ],
    *,
    out: Annotated[
        str, Parameter(help="the file to write (.jsonl or .jsonl.gz), or FOLDER/ for all kinds")
    ],
    format: Annotated[
        str, Parameter(help="the format of the files, if it is not found by itself")
    ] = "auto",
    kind: Annotated[
        Literal[*KINDS] | None,  # type: ignore[valid-type]
        Parameter(help="what the records are (the format's main kind)"),
    ] = None,
    map: Annotated[
        list[str] | None,
        Parameter(
            help="WORD=COLUMN,… : which column is what, for tables; may be repeated",
            negative="",
        ),
    ] = None,
    values: Annotated[
        list[str] | None,
        Parameter(help="VALUE=a|b|tie,… : what a preference says (pairs)", negative=""),
    ] = None,
    min_ratio: Annotated[
        float | None, Parameter(name="--min_ratio", help="the least ratio of the scores (shp)")
    ] = None,
    on_error: OnError = "stop",
    as_json: Annotated[
        bool, Parameter(name="--json", help="end with one line of JSON: the counts", negative="")
    ] = False,
) -> None:
    """Read files of any tool into our records."""
    options: dict[str, Any] = {}
    if map:
        options["map"] = {word: names.split(",") for word, names in _parted(map, "map")}
    if values:
        options["values"] = dict(_parted([v for one in values for v in one.split(",")], "values"))
    if min_ratio is not None:
        options["min_ratio"] = min_ratio
    result = import_files(
        file,
        out,
        format=format,
        kind=KINDS[kind] if kind else None,
        on_error=on_error,
        options=options,
    )
    _tell(result)
    if as_json:
        show(json.dumps(_as_json(file, result), ensure_ascii=False))


def _parted(texts: Sequence[str], flag: str) -> list[tuple[str, str]]:
    """Each `NAME=VALUE`, once; a blank may stand around the comma, not in the sign.

    Raises:
        UserError: one is not that, or a name stands twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.rpartition("="))
        if flag == "map":
            name, equals, value = (part.strip() for part in text.partition("="))
        if not (name and equals and value):
            example = "prompt=instruction" if flag == "map" else "1=a,2=b"
            raise UserError(f"--{flag} {text}: write NAME=VALUE, as in --{flag} {example}")
        if name in found:
            raise UserError(f"--{flag} {name}: stands there twice; give it once")
        found[name] = value
    return list(found.items())


def _tell(result: Imported) -> None:
    """What became of the rows, file by file, then what was written."""
    for account in result.accounts:
        for sentence in account.said():
            say(f"skipped: {sentence}")
        left = account.left_out.total()
        aside = f", {counted(left, 'part')} of these left out" if left else ""
        say(
            f"{account.file}: {counted(account.rows, 'row')} read as {account.format}, "
            f"{account.kept:,} kept{aside}, {account.skipped.total():,} skipped"
        )
    whole = together(result.accounts, "")
    for kind, path in result.paths.items():
        say(f"{counted(whole.records[kind], f'{kind} record')} -> {path}")


def _as_json(files: Sequence[str], result: Imported) -> dict[str, Any]:
    """One account for all files, and where there are several, theirs under `files`."""
    whole = together(result.accounts, files[0]).as_json()
    if len(files) > 1:
        whole["file"] = list(files)
    if len(result.accounts) > 1:
        whole["files"] = [account.as_json() for account in result.accounts]
    return whole | {"out": {kind: str(path) for kind, path in result.paths.items()}}


def export_records(
    file: Annotated[str, Parameter(help="the file to read")],
    *,
    kind: Kind,  # type: ignore[valid-type]
    out: Annotated[Path, Parameter(help="the file to write")],
    format: Written = "trl",  # type: ignore[valid-type]
    on_error: OnError = "stop",
    as_json: Annotated[
        bool,
        Parameter(name="--json", help="end with one line of JSON: what was lost", negative=""),
    ] = False,
) -> None:
    """Write our records in another tool's format."""
    result = read_records(locate(file), KINDS[kind], on_error=on_error)
    say_skipped(result.skipped)
    done = exporting.export_records(out, result.records, format)
    for name, count in done.lost.most_common():
        say(f"not held by {format}: {name} of {counted(count, 'record')}")
    say(f"{counted(done.records, f'{kind} record')} -> {done.rows:,} rows of {format} in {out}")
    if as_json:
        told = {"file": file, "format": format, "records": done.records, "rows": done.rows}
        told |= {"skipped": len(result.skipped), "lost": counts(done.lost), "out": str(out)}
        show(json.dumps(told, ensure_ascii=False))


def list_formats() -> None:
    """Print the formats: kinds, what is read and written, an example row."""
    show(formats_table(), end="")
