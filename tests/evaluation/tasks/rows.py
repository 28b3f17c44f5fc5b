"""Invented rows of every benchmark task, in the format of the set's own file.

A task has one function here, which writes its file or files into a folder; `ROWS` has them by the
task's name. Eight items or more, so that two of them can be few-shot examples.
"""

from collections.abc import Callable
from pathlib import Path

from tests.files import write_rows

ROWS: dict[str, Callable[[Path], object]] = {}

EIGHT = ("one", "two", "three", "four", "five", "six", "seven", "eight")


def rows_of(*tasks: str) -> Callable[[Callable[[Path], object]], Callable[[Path], object]]:
    """These tasks read what the decorated function writes."""

    def keep(write: Callable[[Path], object]) -> Callable[[Path], object]:
        ROWS.update(dict.fromkeys(tasks, write))
        return write

    return keep


@rows_of("hellaswag")
def hellaswag(folder: Path) -> None:
    rows = [
        {
            "ind": index,
            "activity_label": "Counting",
            "ctx": f"A child has {word} apples. She",
            "endings": ["counts them.", f"eats {word}.", "sleeps.", "flies away over the sea."],
            "label": index % 4,
        }
        for index, word in enumerate(EIGHT)
    ]
    write_rows(folder / "hellaswag_val.jsonl", rows)
