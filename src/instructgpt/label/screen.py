"""A prompt and its answers as a person sees them in a terminal."""

import shutil
from collections.abc import Sequence
from string import ascii_uppercase

from rich.text import Text

from instructgpt.data.records import Candidates, plain_text
from instructgpt.errors import harmless
from instructgpt.run.progress import console

WIDEST, INDENT = 100, 4
CUT = "--  (cut off: the model had not finished)"


def page(title: str, queued: Candidates, order: Sequence[int]) -> str:
    """A prompt and its answers, lettered in the order given, with nothing of who wrote them.

    Only our own words begin at the left edge, so no text can pose as them; what a terminal would
    obey is written out.
    """
    responses = [queued.responses[i] for i in order]
    blocks = [f"\n{title}\n{'-' * len(title)}", _block("", plain_text(queued.prompt))]
    for letter, response in zip(ascii_uppercase, responses, strict=False):
        mark = "" if response.finished else f"\n{CUT}"
        blocks.append(_block(letter, response.text) + mark)
    return "\n\n".join(blocks)


def _block(letter: str, text: str) -> str:
    """A text wrapped to the terminal."""
    width = max(20, min(WIDEST, shutil.get_terminal_size().columns) - INDENT)
    lines = [harmless(line) for line in text.splitlines() if text.strip()]
    parts = [  # rich wraps by columns, of which a Chinese letter takes two
        str(part) for line in lines for part in Text(line).wrap(console, width, tab_size=4)
    ] or ["(empty)"]
    margins = [letter, *[""] * (len(parts) - 1)]
    rows = zip(margins, parts, strict=True)
    return "\n".join(f"{margin:{INDENT}}{part}".rstrip() for margin, part in rows)
