"""`demonstrations`: prompts and answers, in columns that the user names."""

from collections import Counter
from typing import Any

from instructgpt.data.formats.fields import demonstration, others
from instructgpt.data.formats.format import Converted, Format, Skip
from instructgpt.data.formats.mapped import (
    Columns,
    check_single,
    check_words,
    column,
    prompt_of,
    scalar,
    text,
)
from instructgpt.data.formats.reasons import Reason
from instructgpt.data.jsonl import Row
from instructgpt.data.records import Demonstration, Record

WORDS = ("prompt", "response", "labeler", "id")


def check_demonstrations(map: Columns | None = None) -> None:
    """Refuse a `--map` with which no row can be read.

    Raises:
        UserError: it says too little, or what is not known.
    """
    check_words("demonstrations", map or {}, WORDS, ("prompt", "response"))
    check_single(map or {}, ("response", "labeler", "id"))


def from_written(row: Row, *, map: Columns) -> Converted:
    """A demonstration of the answer, or of each where a list of texts is there; of a list, those
    that are empty are left out.

    >>> found = from_written({"q": "2 + 2", "a": "4"}, map={"prompt": ["q"], "response": ["a"]})
    >>> found.records[0].response
    '4'

    Raises:
        ValueError: a column is missing, or prompt or answer is empty or no text.
    """
    used = [name for names in map.values() for name in names]
    columns = others(row, used, Demonstration)
    for word, field in (("labeler", "labeler_id"), ("id", "prompt_id")):
        if word in map:
            columns[field] = text(row, map[word][0])
    prompt, name = prompt_of(row, map), map["response"][0]
    said: Any = column(row, name)
    answers = (
        [scalar(one, name) for one in said] if isinstance(said, list) else [scalar(said, name)]
    )
    records: list[Record] = [
        demonstration(prompt, answer, columns) for answer in answers if answer.strip()
    ]
    if not records:
        raise Skip(Reason.EMPTY_ANSWER, f"{name}: there is no answer")
    empty = len(answers) - len(records)
    return Converted(records, Counter({Reason.EMPTY_ANSWER: empty} if empty else {}))


WRITTEN = Format(
    name="demonstrations",
    main=Demonstration,
    readers={Demonstration: from_written},
    fits=lambda _: False,
    by_name=True,
    options=("map",),
    check=check_demonstrations,
    example={"question": "Name a color.", "answer": "Blue."},
    says="prompts and answers, in columns that you name",
)
