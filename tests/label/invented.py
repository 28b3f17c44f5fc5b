"""Invented answers to shipped prompts, of the kinds that a 135M-parameter model writes at T = 1.

`invented.txt` has four to a prompt, under its id, the best to our eye first. Those to the first 22
prompts are good, fluent but not what was asked, and broken. Those to the other 26, every 16th of
the shipped prompts, follow four real samples each in length, ending, punctuation and kind of fault,
so that what is bad is not also short and plain. A "~" at the end stands for an answer that the
limit on its length cut, a "\\n" for a new line.
"""

from pathlib import Path
from typing import Any

from instructgpt.data.reading import load_records
from instructgpt.data.records import Candidates, Prompt

PROMPTS = {prompt.id: prompt for prompt in load_records(["shipped:prompts"], Prompt)}


def candidates() -> list[Candidates]:
    """The invented answers as `sample` would queue them."""
    text = Path(__file__).with_name("invented.txt").read_text("utf-8")
    return [_queued(*block.splitlines()) for block in text.strip().split("\n\n")]


def _queued(prompt_id: str, *answers: str) -> Candidates:
    prompt = PROMPTS[prompt_id]
    fields: dict[str, Any] = {
        "prompt_id": prompt_id,
        "prompt": prompt.prompt,
        "checks": (prompt.model_extra or {})["checks"],
        "responses": [
            {
                "text": answer.rstrip("~").replace(r"\n", "\n"),
                "sampling": {"finished": not answer.endswith("~")},
            }
            for answer in answers
        ],
    }
    return Candidates.model_validate(fields)
