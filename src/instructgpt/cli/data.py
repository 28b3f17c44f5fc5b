"""`data import` and `data export`: files of other tools to records and back."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from instructgpt.data.formats import FORMATS, WRITERS, read_records, write_records
from instructgpt.data.records import Candidates, Demonstration, Prompt, Ranking, Rating, Record
from instructgpt.run.inputs import locate
from instructgpt.run.progress import say, say_skipped

KINDS: dict[str, type[Record]] = {
    "prompt": Prompt,
    "demonstration": Demonstration,
    "candidates": Candidates,
    "ranking": Ranking,
    "rating": Rating,
}
Kind = Annotated[Literal[*KINDS], Parameter(help="what the records are")]
Written = Annotated[Literal[*WRITERS], Parameter(help="the format to write")]
OnError = Annotated[
    Literal["stop", "skip"],
    Parameter(name="--on_error", help="what a bad line does: stop, or skip it and say so"),
]


def import_records(
    file: Annotated[str, Parameter(help="the file to read")],
    *,
    kind: Kind,  # type: ignore[valid-type]
    out: Annotated[Path, Parameter(help="the file to write (.jsonl or .jsonl.gz)")],
    format: Annotated[str, Parameter(help=", ".join(FORMATS))] = "auto",
    on_error: OnError = "stop",
) -> None:
    """Read a file of another tool into our records."""
    result = read_records(locate(file), KINDS[kind], format=format, on_error=on_error)
    say_skipped(result.skipped)
    write_records(out, result.records)
    say(
        f"{len(result.records)} {kind} records read as {result.format}, {len(result.skipped)} "
        f"lines skipped -> {out}"
    )


def export_records(
    file: Annotated[str, Parameter(help="the file to read")],
    *,
    kind: Kind,  # type: ignore[valid-type]
    out: Annotated[Path, Parameter(help="the file to write")],
    format: Written = "trl",  # type: ignore[valid-type]
    on_error: OnError = "stop",
) -> None:
    """Write our records in another tool's format."""
    result = read_records(locate(file), KINDS[kind], on_error=on_error)
    say_skipped(result.skipped)
    lines = write_records(out, result.records, format=format)
    say(f"{len(result.records)} {kind} records -> {lines} lines of {format} in {out}")
