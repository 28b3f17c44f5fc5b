"""Label Studio's tasks: with people's annotations, or to be annotated.

A ranker's list has no ties: a ranking with ties is not written, since any order of the list would
be a judgment that nobody gave.
"""

from typing import Any

from instructgpt.data.exporting.writer import Writer, Written, told
from instructgpt.data.formats.columns import taken_names
from instructgpt.data.formats.fields import MOST_ANSWERS
from instructgpt.data.formats.label_studio import TEXTS
from instructgpt.data.formats.labeled import PROMPTS
from instructgpt.data.jsonl import Row
from instructgpt.data.records import (
    Candidates,
    Demonstration,
    Ranking,
    Rating,
    Record,
    plain_text,
)

TAKEN = {*PROMPTS, *TEXTS, "answers", "response"}
"""Names of a task's data that mean something to those who read it."""


def _candidates(record: Candidates) -> Written:
    return _task(record, {"answers": _items(record)}, None, {"responses"})


def _ranking(record: Ranking) -> Written:
    if len(set(record.ranks)) < len(record.ranks):
        return Written([], {"ranks"})
    texts = {response.text.strip() for response in record.responses}
    if len(texts) == 1 or len(record.responses) > MOST_ANSWERS:
        return Written([], {"responses"})
    order = sorted(range(len(record.ranks)), key=lambda place: record.ranks[place])
    value = {"ranker": {"rank": [str(place + 1) for place in order]}}
    result = {"from_name": "rank", "to_name": "answers", "type": "ranker", "value": value}
    found = _task(record, {"answers": _items(record)}, result, {"responses", "ranks"})
    if max(record.ranks) > len(record.ranks):  # read back without gaps
        found.lost.add("ranks")
    return found


def _demonstration(record: Demonstration) -> Written:
    if not record.response.strip():
        return Written([], {"response"})
    result = {"from_name": "response", "to_name": "prompt", "type": "textarea"}
    result |= {"value": {"text": [record.response]}}  # type: ignore[dict-item]
    return _task(record, {}, result, {"response"})


def _rating(record: Rating) -> Written:
    result = {"from_name": "likert", "to_name": "response", "type": "rating"}
    result |= {"value": {"rating": record.likert}}  # type: ignore[dict-item]
    return _task(record, {"response": record.response}, result, {"response", "likert"})


def _task(record: Record, data: Row, result: Any, held: set[str]) -> Written:
    """A task with what it shows, what an annotator has given, and the record's own columns."""
    row, kind = told(record), type(record)
    rest = {key: value for key, value in row.items() if key not in held | {"prompt"}}
    rest.pop("labeler_id", None)
    taken = (taken_names(kind) | TAKEN) - {"prompt_id"}
    own = {
        key: value
        for key, value in rest.items()
        if key not in taken and (key != "prompt_id" or isinstance(record.prompt, str))  # type: ignore[attr-defined]
    }
    prompt = record.prompt  # type: ignore[attr-defined]
    task: Row = {"data": {"prompt": plain_text(prompt), **data, **own}}
    if result:
        who = getattr(record, "labeler_id", None)
        by = {"completed_by": who} if who is not None else {}
        task["annotations"] = [{**by, "was_cancelled": False, "result": [result]}]
    lost = set(rest.keys() - own.keys())
    if not isinstance(prompt, str):
        lost |= {"prompt", "prompt_id"}
    if isinstance(record, Candidates) and any(
        answer.keys() > {"text"} for answer in row["responses"]
    ):
        lost |= {"responses"}
    return Written([task], lost)


def _items(record: Candidates) -> list[Row]:
    return [
        {"id": str(place), "title": f"Answer {place}", "body": one.text}
        for place, one in enumerate(record.responses, start=1)
    ]


LABEL_STUDIO = Writer(
    "label-studio",
    "Label Studio's tasks (JSON)",
    {
        Ranking: _ranking,
        Demonstration: _demonstration,
        Rating: _rating,
        Candidates: _candidates,
    },
    form="array",
)
