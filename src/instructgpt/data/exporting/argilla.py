"""Argilla's records: what people have given as their responses, or what they are to be asked.

The answers are the fields `response_1` and so on; the prompt is a text, or a chat's messages.
"""

from typing import Any

from instructgpt.data.exporting.writer import Writer, Written, as_messages, told
from instructgpt.data.formats.columns import taken_names
from instructgpt.data.formats.fields import MOST_ANSWERS
from instructgpt.data.jsonl import Row
from instructgpt.data.records import Candidates, Demonstration, Ranking, Rating, Record


def _candidates(record: Candidates) -> Written:
    return _record(record, _answers(record), None, {"responses"})


def _ranking(record: Ranking) -> Written:
    texts = {response.text.strip() for response in record.responses}
    if len(texts) == 1 or len(record.responses) > MOST_ANSWERS:  # no order, or none can be given
        return Written([], {"responses"})
    fields = _answers(record)
    value = [{"rank": rank, "value": name} for rank, name in zip(record.ranks, fields, strict=True)]
    found = _record(record, fields, ("ranking", value), {"responses", "ranks"})
    if set(record.ranks) != set(range(1, max(record.ranks) + 1)):  # read back without gaps
        found.lost.add("ranks")
    return found


def _demonstration(record: Demonstration) -> Written:
    if not record.response.strip():
        return Written([], {"response"})
    return _record(record, {}, ("response", record.response), {"response"})


def _rating(record: Rating) -> Written:
    fields = {"response": record.response}
    return _record(record, fields, ("likert", record.likert), {"response", "likert"})


def _record(record: Record, fields: Row, given: tuple[str, Any] | None, held: set[str]) -> Written:
    """A record with its answers, what a labeler has given, and the rest where metadata can hold it
    (texts and numbers).
    """
    row, kind = told(record), type(record)
    rest = {key: value for key, value in row.items() if key not in held | {"prompt"}}
    rest.pop("labeler_id", None)
    own = kind.model_fields.keys() - {"prompt_id"}
    metadata = {
        key: value
        for key, value in rest.items()
        if isinstance(value, str | int | float)
        and not isinstance(value, bool)
        and (key == "prompt_id" or key not in taken_names(kind) | own)
    }
    prompt = record.prompt  # type: ignore[attr-defined]
    asked: Any = prompt if isinstance(prompt, str) else as_messages(prompt)
    found: Row = {"status": "pending", "fields": {"prompt": asked, **fields}, "metadata": metadata}
    found |= {"suggestions": {}, "responses": {}}
    if given:
        question, value = given
        response = {"value": value, "status": "submitted"}
        response["user_id"] = getattr(record, "labeler_id", None)
        found |= {"status": "completed", "responses": {question: [response]}}
    lost = rest.keys() - metadata.keys()
    if isinstance(record, Candidates) and any(
        answer.keys() > {"text"} for answer in row["responses"]
    ):
        lost |= {"responses"}
    return Written([found], set(lost))


def _answers(record: Candidates) -> Row:
    return {f"response_{place}": one.text for place, one in enumerate(record.responses, start=1)}


ARGILLA = Writer(
    "argilla",
    "Argilla's records",
    {
        Ranking: _ranking,
        Demonstration: _demonstration,
        Rating: _rating,
        Candidates: _candidates,
    },
)
