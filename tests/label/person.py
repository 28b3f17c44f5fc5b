"""A person at a terminal, and prompts with answers to rank."""

import json
import re

from instructgpt.data.records import Candidates
from instructgpt.label.terminal import Session, rank_in_terminal

COLOURS = ("red", "green", "blue", "grey")


def queued(*texts: str, **fields) -> Candidates:
    row = {"prompt": "Name.", "responses": [{"text": text} for text in texts], **fields}
    return Candidates.model_validate(row)


def colours(count: int) -> list[Candidates]:
    """Prompts "colour 1", "colour 2" and so on, each with the four colours as answers."""
    return [
        queued(*COLOURS, prompt=f"Name colour {i}.", prompt_id=f"colour {i}")
        for i in range(1, count + 1)
    ]


class Person:
    """Answers in turn, and sees what is shown; Ctrl-D (or another key) when the answers end."""

    def __init__(self, *lines: str, then: type[BaseException] = EOFError) -> None:
        self.lines, self.then, self.shown = list(lines), then, []

    def ask(self, question: str) -> str:
        self.shown.append(question)
        if not self.lines:
            raise self.then
        return self.lines.pop(0)

    @property
    def screen(self) -> str:
        return "\n".join(self.shown)

    @property
    def prompts(self) -> list[str]:
        return re.findall(r"^Prompt \d+ of \d+$", self.screen, re.M)

    def rank(self, queue, path, seed: int = 0, labeler: str = "ann") -> Session:
        return rank_in_terminal(
            queue, path, labeler_id=labeler, seed=seed, ask=self.ask, show=self.shown.append
        )


def ids(path) -> list[str]:
    """Of a file as it stands, whole lines only."""
    text = path.read_text("utf-8") if path.exists() else ""
    assert not text or text.endswith("\n")
    return [json.loads(line)["prompt_id"] for line in text.splitlines()]
