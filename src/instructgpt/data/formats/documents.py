"""Prose for the pretraining mix: plain text files and JSON Lines with a "text" field."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from instructgpt.data.formats.lines import OnError, convert_each, convert_rows
from instructgpt.data.jsonl import REMEDY, Row, open_text
from instructgpt.errors import UserError
from instructgpt.run.files import check_text

_SUFFIXES = (".txt", ".txt.gz", ".jsonl", ".jsonl.gz")
_MARKER_LINE = re.compile(r"^%%\r?(?:\n|\Z)", re.MULTILINE)
_BLANK_LINES = re.compile(r"^(?:[ \t\r]*\n){2,}", re.MULTILINE)


def read_documents(
    path: Path, on_error: OnError = "stop", *, remedy: str = REMEDY
) -> tuple[list[str], list[str]]:
    """The documents of a file, or of all .txt and .jsonl files (.gz too) of a folder, by name; and
    a sentence for each that was skipped.

    A .jsonl file has one in each line's `text`. A .txt file is parted at the lines `%%`; where
    there are none, at two or more blank lines; where there are none of those either, it is one
    document. Pieces of whitespace alone are no documents.

    Args:
        path: the file or the folder.
        on_error: what a bad line or document does.
        remedy: what the user can do about one.

    Raises:
        UserError: a file cannot be read, is empty or of another type, or, unless `on_error` is
            "skip", a line has no text or holds a NUL or a lone surrogate.
    """
    if path.name.endswith((".jsonl", ".jsonl.gz")) and not os.path.isdir(path):
        texts, skipped = convert_rows(path, text_of, on_error, remedy=remedy)
    elif path.name.endswith(_SUFFIXES) and not os.path.isdir(path):
        places = ((f"{path} document {n}", text) for n, text in enumerate(_parts(path), start=1))
        texts, skipped = convert_each(places, _checked, on_error, remedy=remedy)
    elif os.path.isdir(path):
        found = [read_documents(file, on_error, remedy=remedy) for file in _inside(path)]
        return [text for part, _ in found for text in part], [x for _, part in found for x in part]
    else:
        raise UserError(f"{path}: expected a {', '.join(_SUFFIXES)} file; rename or convert it")
    return [text for _, text in texts], skipped


def documents_of(rows: Sequence[Any], on_error: OnError) -> tuple[list[str], list[str]]:
    """The `text` of dictionaries from Python, and a sentence for each that was skipped.

    Raises:
        UserError: one has none and `on_error` is "stop".
    """

    def text(row: Any) -> str:
        if not isinstance(row, Mapping):
            raise ValueError(f'expected a dictionary with a "text", found {type(row).__name__}')
        return _checked(text_of(dict(row)))

    places = ((f"document {number}", row) for number, row in enumerate(rows, start=1))
    texts, skipped = convert_each(places, text, on_error, remedy="mend it or take it out")
    return [found for _, found in texts], skipped


def _inside(folder: Path) -> list[Path]:
    try:
        files = sorted(file for file in folder.iterdir() if file.name.endswith(_SUFFIXES))
    except OSError as error:
        raise UserError(f"{folder}: cannot be read ({error.strerror}); make it readable") from None
    if not files:
        raise UserError(f"{folder} holds no {', '.join(_SUFFIXES)} file; name another folder")
    return files


def _parts(path: Path) -> list[str]:
    with open_text(path) as file:
        text = file.read()
    boundary = _MARKER_LINE if _MARKER_LINE.search(text) else _BLANK_LINES
    parts = [part for part in boundary.split(text) if part.strip()]
    if not parts:
        raise UserError(f"{path} is empty: it should hold text")
    return parts


def text_of(row: Row, key: str = "text") -> str:
    """The document that a row is.

    Raises:
        ValueError: it has none.
    """
    text = row.get(key)
    if not isinstance(text, str):
        found = ", ".join(row) or "none"
        raise ValueError(f'found the keys {found}, but a document needs a string "{key}"')
    return text


def _checked(text: str) -> str:
    check_text(text, "the text")
    return text
