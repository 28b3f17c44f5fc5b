"""Files in every form, for the tests of the importer."""

import csv
import gzip
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Rows = Sequence[dict[str, Any]]


def lines(rows: Rows) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def array(rows: Rows) -> bytes:
    return json.dumps(list(rows), indent=1).encode()


def table(rows: Rows, delimiter: str = ",") -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def tabs(rows: Rows) -> bytes:
    return table(rows, "\t")


def zipped(rows: Rows) -> bytes:
    return gzip.compress(lines(rows))


def zstd(rows: Rows) -> bytes:
    import zstandard

    return zstandard.compress(lines(rows))


def parquet(rows: Rows) -> bytes:
    import pyarrow
    from pyarrow.parquet import write_table

    file = io.BytesIO()
    write_table(pyarrow.Table.from_pylist(list(rows)), file)
    return file.getvalue()


FORMS: dict[str, Callable[[Rows], bytes]] = {
    "lines": lines,
    "array": array,
    "csv": table,
    "tsv": tabs,
    "gzip": zipped,
    "zstd": zstd,
    "parquet": parquet,
}


def write(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return str(path)
