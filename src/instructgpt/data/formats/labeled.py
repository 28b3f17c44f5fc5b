"""What the exports of labeling tools share: which of the things shown is the prompt, and what is
said where nothing that people gave is what was asked for.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from instructgpt.data.formats.fields import wrong
from instructgpt.data.formats.format import Converted, Skip
from instructgpt.data.formats.reasons import MALFORMED, Reason
from instructgpt.data.records import Record

PROMPTS = ("prompt", "instruction", "question", "input", "query")
"""What the prompt is called, the first of these that is there."""


def prompt_name(shown: Mapping[str, Any], used: Collection[str], more: Sequence[str]) -> str | None:
    """The name of the prompt: one of the usual ones, or the only thing shown that is not used.

    Args:
        shown: what people saw, by name.
        used: the names of the answers.
        more: names that a prompt may have besides the usual.
    """
    left = [name for name in shown if name not in used]
    only = left[0] if len(left) == 1 else None
    return next((name for name in (*PROMPTS, *more) if name in left), only)


def no_prompt(field: str, shown: Mapping[str, Any]) -> Skip:
    """That nothing which was shown is the prompt."""
    return wrong(field, f"one that is called {', '.join(PROMPTS[:3])}", list(shown))


@contextmanager
def counting(left_out: Counter[Reason]) -> Iterator[None]:
    """Count what one person gave and no record can hold; what is malformed is raised.

    Raises:
        Skip: a field has a wrong value.
    """
    try:
        yield
    except Skip as skip:
        if skip.reason in MALFORMED:
            raise
        left_out[skip.reason] += 1


def found_of(
    records: Sequence[Record], left_out: Counter[Reason], field: str, what: str
) -> Converted:
    """The records of a row with what was left out.

    Args:
        records: what people gave.
        left_out: the reasons why something is in none.
        field: where they give it.
        what: what was looked for.

    Raises:
        Skip: there is no record; the reason is that of what was submitted, if anything was.
    """
    if records:
        return Converted(list(records), +left_out)
    reasons = [reason for reason, count in left_out.items() if count]
    for reason in reasons:
        if reason not in (Reason.NOT_SUBMITTED, Reason.UNRATED):
            raise Skip(reason, f"{field}: of what was submitted, nothing is {what}")
    if Reason.NOT_SUBMITTED in reasons:
        raise Skip(Reason.NOT_SUBMITTED, f"{field}: nobody has submitted {what}")
    raise Skip(Reason.NO_JUDGMENT, f"{field}: nobody has given {what}")
