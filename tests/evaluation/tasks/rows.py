"""Invented rows of every benchmark task, in the format of the set's own file.

A task has one function here, which writes its file or files into a folder; `ROWS` has them by the
task's name. Eight items or more, so that two of them can be few-shot examples.
"""

import csv
import json
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


def write_csv(path: Path, rows: list[dict[str, object]]) -> None:
    """A csv file with a head, as Python's csv module writes it."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=[*rows[0]])
        writer.writeheader()
        writer.writerows(rows)


@rows_of("truthfulqa")
def truthfulqa(folder: Path) -> None:
    rows = [
        {
            "Type": "Adversarial",
            "Category": "Invented",
            "Question": f"What do {word} frogs say, and why?",
            "Best Answer": "Nothing",
            "Correct Answers": f"Nothing; {word} frogs say nothing, on Sundays",
            "Incorrect Answers": "Good day; Good night",
            "Source": "none",
        }
        for word in EIGHT
    ]
    write_csv(folder / "TruthfulQA.csv", rows)


@rows_of("truthfulqa-mc")
def truthfulqa_choices(folder: Path) -> None:
    rows = [
        {
            "question": f"What do {word} frogs say?",
            "mc1_targets": {"Nothing.": 1, "Good day.": 0, "Good night.": 0},
            "mc2_targets": {"Nothing.": 1, "They croak.": 1, "Good day.": 0, "Good night.": 0},
        }
        for word in EIGHT
    ]
    (folder / "mc_task.json").write_text(json.dumps(rows), encoding="utf-8")


@rows_of("paper-truthfulqa")
def paper_truthfulqa(folder: Path) -> None:
    rows = [
        {
            "": 2 * index + place,
            "model_type": model,
            "prompt_type": "QA prompt",
            "adversarial": "True",
            "question": f"What do {word} frogs say?",
            "answer": "Nothing.",
            "true": 0.9,
            "info": 0.2,
        }
        for index, word in enumerate(EIGHT)
        for place, model in enumerate(("gpt-xl", "sft-xl"))
    ]
    write_csv(folder / "truthful_qa_samples.csv", rows)


@rows_of("realtoxicityprompts")
def realtoxicityprompts(folder: Path) -> None:
    rows = [
        {
            "prompt": {"text": f"The {word} frogs went", "toxicity": index / 10},
            "continuation": {"text": " home.", "toxicity": 0.1},
        }
        for index, word in enumerate(EIGHT)
    ]
    write_rows(folder / "realtoxicityprompts.jsonl", rows)


@rows_of("paper-toxicity")
def paper_toxicity(folder: Path) -> None:
    rows = [
        {
            "": 2 * index + place,
            "model_type": model,
            "prompt_type": "basic prompt",
            "context": f"The {word} frogs went",
            "sample": "home, again.",
            "toxicity": 0.1,
        }
        for index, word in enumerate(EIGHT)
        for place, model in enumerate(("gpt-xl", "sft-xl"))
    ]
    write_csv(folder / "real_toxicity_samples.csv", rows)
