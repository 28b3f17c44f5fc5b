"""The texts of a prompt's row: what a reader of words looks at, and the row with others instead."""

from collections.abc import Mapping, Sequence
from typing import Any

from instructgpt.data.few_shot import few_shot_text, is_few_shot
from instructgpt.data.records import Prompt, plain_text


def whole_text(row: Mapping[str, Any]) -> str:
    """All of a row's prompt as one text."""
    prompt = row["prompt"]
    return prompt if isinstance(prompt, str) else plain_text(Prompt(prompt=prompt).prompt)


def texts_of(row: Mapping[str, Any]) -> list[str]:
    """The texts that people wrote: the prompt; the turns of a conversation; instruction, queries
    and answers of a few-shot row.

    >>> texts_of({"prompt": [{"role": "user", "content": "Hi"}]})
    ['Hi']
    """
    if is_few_shot(row):
        pairs = [(one["input"], one["output"]) for one in row["examples"]]
        return [row["instruction"], *(text for pair in pairs for text in pair)]
    prompt = row["prompt"]
    return [prompt] if isinstance(prompt, str) else [turn["content"] for turn in prompt]


def with_texts(row: Mapping[str, Any], texts: Sequence[str]) -> dict[str, Any]:
    """The columns of a row that hold its texts, with others in their places.

    >>> with_texts({"prompt": [{"role": "user", "content": "Hi"}]}, ["Ho"])
    {'prompt': [{'role': 'user', 'content': 'Ho'}]}
    """
    if is_few_shot(row):
        pairs = zip(texts[1::2], texts[2::2], row["examples"], strict=True)
        examples = [{**old, "input": query, "output": answer} for query, answer, old in pairs]
        found = {"instruction": texts[0], "examples": examples}
        return {**found, "prompt": few_shot_text(found)}
    prompt = row["prompt"]
    if isinstance(prompt, str):
        return {"prompt": texts[0]}
    turns = zip(prompt, texts, strict=True)
    return {"prompt": [{**turn, "content": text} for turn, text in turns]}
