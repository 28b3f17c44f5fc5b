"""Prose for the pretraining mix: plain text files and JSON Lines with a "text" field."""

import logging
import re
from pathlib import Path

from instructgpt.data.formats.lines import OnError, convert_each, convert_rows
from instructgpt.data.jsonl import Row, open_text
from instructgpt.errors import UserError
from instructgpt.run.files import check_text

logger = logging.getLogger(__name__)

_SUFFIXES = (".txt", ".txt.gz", ".jsonl", ".jsonl.gz")
_MARKER_LINE = re.compile(r"^%%\r?(?:\n|\Z)", re.MULTILINE)
_BLANK_LINES = re.compile(r"^(?:[ \t\r]*\n){2,}", re.MULTILINE)


def read_documents(path: Path, *, on_error: OnError = "stop") -> list[str]:
    """The documents of a file, or of all .txt and .jsonl files (.gz too) of a folder, by name.

    A .jsonl file has one in each line's `text`. A .txt file is parted at the lines `%%`; where
    there are none, at two or more blank lines; where there are none of those either, it is one
    document. Pieces of whitespace alone are no documents. What "skip" skips is logged as a warning.

    Raises:
        UserError: a file cannot be read, is empty or of another type, or, unless `on_error` is
            "skip", a line has no text or holds a NUL or a lone surrogate.
    """
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.name.endswith(_SUFFIXES))
        if not files:
            raise UserError(f"{path} holds no {', '.join(_SUFFIXES)} file; name another folder")
        return [text for file in files for text in read_documents(file, on_error=on_error)]
    if path.name.endswith((".jsonl", ".jsonl.gz")):
        texts, skipped = convert_rows(path, _text, on_error)
    elif path.name.endswith(_SUFFIXES):
        places = ((f"{path} document {n}", text) for n, text in enumerate(_parts(path), start=1))
        texts, skipped = convert_each(places, _checked, on_error)
    else:
        raise UserError(f"{path}: expected a {', '.join(_SUFFIXES)} file; rename or convert it")
    for message in skipped:
        logger.warning("skipped %s", message)
    return [text for _, text in texts]


def _parts(path: Path) -> list[str]:
    with open_text(path) as file:
        text = file.read()
    boundary = _MARKER_LINE if _MARKER_LINE.search(text) else _BLANK_LINES
    parts = [part for part in boundary.split(text) if part.strip()]
    if not parts:
        raise UserError(f"{path} is empty: it should hold text")
    return parts


def _text(row: Row) -> str:
    text = row.get("text")
    if not isinstance(text, str):
        raise ValueError(f'found the keys {", ".join(row)}, but a document needs a string "text"')
    return text


def _checked(text: str) -> str:
    check_text(text, "the text")
    return text
