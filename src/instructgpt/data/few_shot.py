"""Few-shot prompts (appendix A.1): an instruction with K pairs of query and answer.

One such row is K demonstrations: each pair is asked and answered once, with the other K − 1 before
it as context.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from instructgpt.data.records import Demonstration

INSTRUCTION, EXAMPLES = "instruction", "examples"


def is_few_shot(row: Mapping[str, Any]) -> bool:
    """Whether a row is one."""
    return INSTRUCTION in row and EXAMPLES in row


def few_shot_text(row: Mapping[str, Any]) -> str:
    """The whole of a few-shot row as one text, for what compares prompts.

    Raises:
        ValueError: it is none; the message begins with the field.
    """
    instruction, pairs = _parts(row)
    return "\n\n".join([instruction, *(_shown(query, answer) for query, answer in pairs)])


def demonstrations(row: Mapping[str, Any]) -> list[Demonstration]:
    """The K demonstrations of a few-shot row; its other columns go with each.

    Args:
        row: with `instruction`, `examples`, and `id`.

    >>> pairs = [{"input": "2 + 2", "output": "4"}, {"input": "1 + 2", "output": "3"}]
    >>> first, _ = demonstrations({"id": "a", "instruction": "Add.", "examples": pairs})
    >>> first.prompt_id, first.response
    ('a-1', '4')
    >>> print(first.prompt)
    Add.
    <BLANKLINE>
    Input: 1 + 2
    Output: 3
    <BLANKLINE>
    Input: 2 + 2
    Output:

    Raises:
        ValueError: a field is missing or bad; the message begins with it.
    """
    instruction, pairs = _parts(row)
    columns = {k: v for k, v in row.items() if k not in (INSTRUCTION, EXAMPLES, "id", "prompt")}
    found = []
    for number, (query, answer) in enumerate(pairs):
        context = [_shown(*pair) for place, pair in enumerate(pairs) if place != number]
        prompt = "\n\n".join([instruction, *context, _shown(query, None)])
        name = f"{row.get('id') or ''}-{number + 1}"
        found.append(
            Demonstration(**{**columns, "prompt_id": name, "prompt": prompt, "response": answer})
        )
    return found


def _shown(query: str, answer: str | None) -> str:
    return f"Input: {query}\nOutput:" + ("" if answer is None else f" {answer}")


def _parts(row: Mapping[str, Any]) -> tuple[str, Sequence[tuple[str, str]]]:
    if not isinstance(row[INSTRUCTION], str):
        raise ValueError(f"{INSTRUCTION}: must be a text")
    if not isinstance(row[EXAMPLES], list) or not row[EXAMPLES]:
        raise ValueError(f'{EXAMPLES}: must be a list of {{"input": …, "output": …}}')
    pairs = []
    for number, example in enumerate(row[EXAMPLES]):
        for field in ("input", "output"):
            if not isinstance(example, dict) or not isinstance(example.get(field), str):
                raise ValueError(f"{EXAMPLES}.{number}.{field}: must be a text")
        if not example["output"].strip():
            raise ValueError(f"{EXAMPLES}.{number}.output: is empty")
        pairs.append((example["input"], example["output"]))
    return row[INSTRUCTION], pairs
