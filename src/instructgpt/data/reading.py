"""The files a stage was given, as records; what was left out is said on the way."""

from collections.abc import Iterable
from typing import Literal, TypeVar

from instructgpt.data.formats import documents_of, read_documents, read_objects, read_records
from instructgpt.data.jsonl import MEND, REMEDY
from instructgpt.data.records import Record
from instructgpt.data.snapshots import file_of
from instructgpt.run.given import Given
from instructgpt.run.inputs import locate
from instructgpt.run.outline import counted
from instructgpt.run.progress import say, say_skipped

R = TypeVar("R", bound=Record)


def load_records(
    paths: Iterable[str],
    kind: type[R],
    *,
    format: str = "auto",
    on_error: Literal["stop", "skip"] | None = None,
) -> list[R]:
    """All records of all files, in order.

    Args:
        paths: the files, snapshots' folders, or records from Python among them.
        kind: of which records.
        format: of the files.
        on_error: what a bad line does; None where the user cannot choose: it stops.

    Raises:
        UserError: a file or a line cannot be used (unless `on_error` is "skip").
    """
    records: list[R] = []
    for path in paths:
        if isinstance(path, Given):
            result = read_objects(
                path.rows,
                kind,
                name=kind.__name__.lower(),
                format=format,
                on_error=on_error or "stop",
            )
        else:
            result = read_records(
                file_of(locate(path), kind),
                kind,
                format=format,
                on_error=on_error or "stop",
                remedy=REMEDY if on_error else MEND,
            )
        records += result.records
        say_skipped(result.skipped)
    return records


def load_documents(
    paths: Iterable[str], on_error: Literal["stop", "skip"] | None = None
) -> list[str]:
    """All documents of all pretraining files, in order; those without text are left out, and said.

    Args:
        paths: the files.
        on_error: what a bad line does; None where the user cannot choose: it stops.

    Raises:
        UserError: a file cannot be used.
    """
    documents: list[str] = []
    for path in paths:
        remedy = REMEDY if on_error else MEND
        if isinstance(path, Given):
            found, skipped = documents_of(path.rows, on_error or "stop")
        else:
            found, skipped = read_documents(locate(path), on_error or "stop", remedy=remedy)
        say_skipped(skipped)
        documents += [document for document in found if document.strip()]
        if empty := sum(not document.strip() for document in found):
            say(f"{path}: {counted(empty, 'document')} without text left out")
    return documents
