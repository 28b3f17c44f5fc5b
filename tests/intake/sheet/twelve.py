"""Twelve prompts and three demonstrations, small enough to be counted by hand."""

from pathlib import Path
from typing import Any

from tests.files import write_rows


def prompt(number: int, words: int, **columns: Any) -> dict[str, Any]:
    """A prompt of so many words."""
    return {"id": f"p{number}", "prompt": " ".join(["word"] * words), **columns}


LABELER = {"source": "labeler"}
SFT = {"use": "sft", "split": "train"}
RANKED = {"use": "reward", "split": "train"}
PROMPTS = [
    prompt(1, 2, **LABELER, **SFT, use_case="generation", ambiguous=True, language="en"),
    prompt(2, 4, **LABELER, **SFT, use_case="chat", ambiguous=False, language="en"),
    prompt(3, 9, **SFT, source="customer", user_id="u1", ambiguous=False, language="de"),
    prompt(4, 5, use="sft", split="valid", user_id="u2"),
    prompt(5, 1, **RANKED, user_id="u1", use_case="generation"),
    prompt(6, 2, **RANKED, user_id="u1", use_case="generation", closed_domain=True),
    prompt(7, 3, **RANKED, user_id="u2", use_case="riddle"),
    prompt(8, 6, use="reward", split="valid", user_id="u3", use_case="open_qa"),
    prompt(9, 8, use="reward", split="valid", **LABELER),
    prompt(10, 7, use="ppo", split="train"),
    prompt(11, 3, split="test", user_id="u4"),
    prompt(12, 3),
]
DEMONSTRATIONS = [
    {"prompt_id": "p1", "prompt": "word word", "response": "a b c"},
    {"prompt_id": "p2", "prompt": "word word word word", "response": "a"},
    {"prompt_id": "elsewhere", "prompt": "word", "response": "a b"},
]


def write_twelve(folder: Path) -> Path:
    """The two files in a folder."""
    folder.mkdir()
    write_rows(folder / "prompts.jsonl", PROMPTS)
    write_rows(folder / "demonstrations.jsonl", DEMONSTRATIONS)
    return folder
