"""The rows of files as prompts, each in one of three ways: a prompt, an empty one, a bad row."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from instructgpt.data.few_shot import few_shot_text, is_few_shot
from instructgpt.data.formats.format import Skip
from instructgpt.data.formats.lines import OnError, reason_of
from instructgpt.data.importing.account import SHOWN
from instructgpt.data.importing.forms import rows_of
from instructgpt.data.importing.sources import sources_of
from instructgpt.data.jsonl import REMEDY, Row
from instructgpt.data.records import Prompt
from instructgpt.errors import UserError
from instructgpt.intake.annotations import annotations_of
from instructgpt.intake.entry import born
from instructgpt.run.digest import file_digest

ANSWERS = ("response", "responses", "completion", "chosen", "rejected", "messages")
"""Columns of which a row with a prompt is more than that."""


@dataclass
class Files:
    """The files of an intake.

    Attributes:
        names: as they were given.
        on_error: what a bad row does.
        paths: the files that they stand for.
        skipped: how many bad rows were left out.
        sentences: the first few of them.
    """

    names: Sequence[str]
    on_error: OnError = "stop"
    paths: list[Path] = field(default_factory=list)
    skipped: int = 0
    sentences: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.paths = [path for name in self.names for path in sources_of(name)]

    def digests(self) -> dict[str, str]:
        """The SHA-256 of each file, by its name."""
        return {str(path): file_digest(path) for path in self.paths}

    def prompts(self) -> Iterator[Prompt | Row]:
        """Every row, in order: as a prompt, or as it is where its prompt is empty.

        Raises:
            UserError: a file cannot be used; or a row cannot, and that stops.
        """
        self.skipped, self.sentences = 0, []
        for path in self.paths:
            for place, row in rows_of(path):
                try:
                    if isinstance(row, Skip):
                        raise row
                    yield prompt_of(row)
                except ValueError as error:
                    sentence = f"{place}: {reason_of(error)}"
                    if self.on_error == "stop":
                        raise UserError(f"{sentence}; {REMEDY}") from None
                    self.skipped += 1
                    if len(self.sentences) < SHOWN:
                        self.sentences.append(sentence)


def prompt_of(row: Row) -> Prompt | Row:
    """A row as a prompt; the row itself where its prompt is empty.

    Raises:
        ValueError: a field is bad; the message begins with it.
    """
    if is_few_shot(row):
        if "prompt" in row:
            raise ValueError("prompt: a row has either this or instruction and examples")
        row = {**row, "prompt": few_shot_text(row)}
    elif "prompt" not in row:
        keys = ", ".join(row) or "none"
        raise ValueError(
            f"found the keys {keys}, but a row needs prompt, or instruction and examples (files "
            "of other tools: first instructgpt data import FILE --kind prompt --out PROMPTS)"
        )
    for column in ANSWERS:
        if row.get(column) is not None:
            raise ValueError(
                f"{column}: the row is more than a prompt (take its prompt out with instructgpt "
                "data import FILE --kind prompt --out PROMPTS)"
            )
    annotations_of(row)
    if is_empty(row["prompt"]):
        return row
    prompt = Prompt.model_validate(row)
    born(prompt.created)
    return prompt


def is_empty(prompt: Any) -> bool:
    """Whether there is nothing in a prompt."""
    if isinstance(prompt, list):
        return not any(
            not isinstance(turn, dict) or str(turn.get("content", "x")).strip() for turn in prompt
        )
    return prompt is None or (isinstance(prompt, str) and not prompt.strip())


def consents(row: Row, *, assumed: bool) -> bool:
    """Whether the writer of an empty prompt agreed; `assumed` where the row does not say."""
    said = row.get("consent")
    return assumed if said is None else said is True
