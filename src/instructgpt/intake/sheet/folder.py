"""The sheet of a folder of our files, as a snapshot is one."""

from pathlib import Path
from typing import Any

from instructgpt.data.reading import load_records
from instructgpt.data.records import Demonstration, Prompt
from instructgpt.errors import UserError
from instructgpt.intake.sheet.count import Length, count, words

PROMPTS, DEMONSTRATIONS = "prompts.jsonl", "demonstrations.jsonl"


def count_folder(folder: Path, tokenizer: str = "") -> dict[str, Any]:
    """The tables of the prompts and demonstrations in a folder.

    Args:
        folder: with `prompts.jsonl`, and `demonstrations.jsonl` if there are any.
        tokenizer: of the model whose tokens are counted; empty: words are.

    Raises:
        UserError: there are no prompts, or a line cannot be read.
    """
    if not (folder / PROMPTS).is_file():
        raise UserError(
            f"--snapshot {folder}: has no {PROMPTS}; give a folder with the prompts in a file of "
            "that name"
        )
    known = folder / DEMONSTRATIONS
    has_any = known.is_file() and known.stat().st_size
    length = tokens_of(tokenizer) if tokenizer else words
    return count(
        load_records([str(folder / PROMPTS)], Prompt, format="native"),
        load_records([str(known)], Demonstration, format="native") if has_any else (),
        length,
        f"tokens of {tokenizer}" if tokenizer else "words and signs",
    )


def tokens_of(path: str) -> Length:
    """What counts a text's tokens.

    Raises:
        UserError: the tokenizer cannot be opened.
    """
    from instructgpt.models.framing import plain_ids
    from instructgpt.models.opening import load_tokenizer

    tokenizer = load_tokenizer(path)
    return lambda text: len(plain_ids(tokenizer, text))
