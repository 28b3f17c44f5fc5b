"""The words of a command line before they are parsed, and what is said of those that are wrong."""

import re
from collections.abc import Sequence

from cyclopts import CycloptsError, UnknownOptionError

from instructgpt.errors import UserError
from instructgpt.run.presets import nearest

TEXTS = ("--prompt", "--response")
"""Flags whose value is a text, which may begin with a dash."""
HYPHENATED = ("--print-config", "--dry-run", "--install-completion")


def prepared(words: Sequence[str]) -> list[str]:
    """The words as the parser takes them.

    `--batch-size` is `--batch_size`; a text after `--prompt` may begin with a dash; and the value
    of a switch may follow it (`--fit_head true`).

    >>> prepared(["sft", "--batch-size", "8", "--keep_best", "true"])
    ['sft', '--batch_size', '8', '--keep_best=true']
    >>> prepared(["generate", "--prompt", "- item", "--json"])
    ['generate', '--prompt=- item', '--json']

    Raises:
        UserError: a word is not UTF-8 text.
    """
    found: list[str] = []
    for number, word in enumerate(words, 1):
        if re.search("[\ud800-\udfff]", word):
            raise UserError(
                f"word {number} of the command, {word!r}, is not UTF-8 text; convert it, or rename "
                "the file"
            )
        before = found[-1] if found else ""
        if (before in TEXTS and is_text(word)) or (
            before.startswith("--") and word.lower() in ("true", "false")
        ):
            found[-1] = f"{before}={word}"
        elif before in TEXTS:
            found.append(word)
        else:
            found.append(_underscored(word))
    return found


def explained(error: CycloptsError) -> str:
    """One sentence for what the parser cannot take, with the flag that was meant."""
    text = str(error)
    if isinstance(error, UnknownOptionError):
        word = (error.token.keyword or error.token.value).partition("=")[0]
        names = [name for a in error.argument_collection if a.parse for name in a.names]
        meant = nearest(word.lstrip("-"), [name.lstrip("-") for name in names])
        text = f"there is no flag {word}{meant.replace(chr(39), '--', 1).replace(chr(39), '')}"
    if re.search("[;?)]$", text):
        return text if "did you mean" in text else f"{text}; see -h"
    return f"{text.rstrip('.')}; -h shows what there is"


def is_text(word: str) -> bool:
    """Whether a word that begins with a dash is no flag."""
    return word.startswith("-") and not re.fullmatch(r"-h|--?[A-Za-z][\w.-]+(=.*)?", word)


def _underscored(word: str) -> str:
    flag, equals, value = word.partition("=")
    if re.fullmatch(r"--[a-z][a-z0-9.-]*-[\w.-]*", flag) and flag not in HYPHENATED:
        flag = f"--{flag[2:].replace('-', '_')}"
    return f"{flag}{equals}{value}"
