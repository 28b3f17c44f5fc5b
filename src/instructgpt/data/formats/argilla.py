"""Argilla's export: fields, questions and people's responses to them.

What a person has submitted is read, each labeler's own; suggestions are a machine's and are not.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from instructgpt.data.formats.fields import (
    demonstration,
    number,
    others,
    ranking,
    ranks_of,
    rating,
    wrong,
)
from instructgpt.data.formats.format import Converted, Format
from instructgpt.data.formats.labeled import counting, found_of, no_prompt, prompt_name
from instructgpt.data.formats.reasons import Reason
from instructgpt.data.formats.turns import Turn, objects, prompt_of, role_of
from instructgpt.data.jsonl import Row
from instructgpt.data.records import Demonstration, Ranking, Rating, Record

CHATS = ("chat", "conversation")
"""Names of a prompt that is a list of messages."""
USUAL = ("ranking", "likert", "response")
"""Names of questions that say nothing beyond the kind of the answer."""
_USED = ("fields", "responses", "suggestions", "status", "vectors")


class Submitted(NamedTuple):
    """A person's submitted answer to a question."""

    question: str
    value: Any
    user_id: Any


def to_rankings(row: Row) -> Converted:
    """A ranking for each labeler, of the answers that the labeler ranked; equal ranks tie.

    Raises:
        ValueError: nobody has submitted one, or a field is bad.
    """
    fields, left_out = _fields(row), Counter[Reason]()
    asked = [one for one in _submitted(row, left_out) if _is_ranking(one.value) and len(one.value)]
    named = {option["value"] for one in asked for option in one.value}
    records: list[Record] = []
    for one in asked:
        ranks = _ranks(one, fields)
        with counting(left_out):
            prompt, columns = _prompt(fields, named), _columns(row, fields, named, one, Ranking)
            responses = [_response(fields, name) for name in ranks]
            places = ranks_of(-rank for rank in ranks.values())
            records.append(ranking(prompt, responses, places, columns))
        left_out[Reason.UNRATED] += len(named) - len(ranks)
    return found_of(records, left_out, "responses", "a ranking")


def to_ratings(row: Row) -> Converted:
    """A rating for each labeler who answered the question `likert` with a number from 1 to 7.

    Raises:
        ValueError: nobody has, or a field is bad.
    """
    fields, left_out = _fields(row), Counter[Reason]()
    records: list[Record] = []
    for one in _submitted(row, left_out):
        if one.question == "likert" and number(one.value) is not None:
            answer = _answer_field(fields)
            columns = _columns(row, fields, {answer}, one, Rating)
            with counting(left_out):
                prompt = _prompt(fields, {answer})
                records.append(rating(prompt, _text(fields, answer), one.value, columns))
    return found_of(records, left_out, "responses", "an answer to `likert`")


def to_demonstrations(row: Row) -> Converted:
    """A demonstration for each text that a labeler wrote.

    Raises:
        ValueError: nobody has written one, or a field is bad.
    """
    fields, left_out = _fields(row), Counter[Reason]()
    records: list[Record] = []
    for one in _submitted(row, left_out):
        if isinstance(one.value, str) and one.question in ("response", "answer", "completion"):
            columns = _columns(row, fields, set(), one, Demonstration)
            with counting(left_out):
                records.append(demonstration(_prompt(fields, set()), one.value, columns))
    return found_of(records, left_out, "responses", "a text as `response`")


def _fields(row: Row) -> Mapping[str, Any]:
    fields = row.get("fields")
    if not isinstance(fields, dict):
        raise wrong("fields", "an object", fields)
    return fields


def _submitted(row: Row, left_out: Counter[Reason]) -> Iterator[Submitted]:
    for question, one in _responses(row.get("responses")):
        if one.get("status", "submitted") == "submitted":
            yield Submitted(question, one.get("value"), one.get("user_id"))
        else:
            left_out[Reason.NOT_SUBMITTED] += 1


def _responses(responses: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each answer with its question: Argilla 2 lists them by question, Argilla 1 by labeler."""
    if isinstance(responses, dict):
        for question, given in responses.items():
            for one in objects(given, f"responses.{question}", least=0):
                yield question, one
    else:
        for one in objects(responses, "responses", least=0):
            values = one.get("values")
            for question, value in (values if isinstance(values, dict) else {}).items():
                found = value.get("value") if isinstance(value, dict) else value
                yield question, {**one, "value": found}


def _is_ranking(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(one, dict) and isinstance(one.get("value"), str) and "rank" in one
        for one in value
    )


def _ranks(one: Submitted, fields: Mapping[str, Any]) -> dict[str, float]:
    """The rank of each option that has one, in the order of the record's fields."""
    given: dict[str, float] = {}
    for option in one.value:
        rank = number(option["rank"])
        if rank is None and option["rank"] is not None:
            raise wrong(f"responses.{one.question}", "ranks that are numbers", option["rank"])
        if option["value"] not in fields:
            raise wrong(f"responses.{one.question}", "names of fields", option["value"])
        if rank is not None:
            given[option["value"]] = rank
    return {name: given[name] for name in fields if name in given}


def _prompt(fields: Mapping[str, Any], answers: set[str]) -> Any:
    """The field that is called so, or the only one that is no answer."""
    name = prompt_name(fields, answers, CHATS)
    if name is None:
        raise no_prompt("fields", fields)
    value = fields[name]
    if isinstance(value, list) and value and all(isinstance(turn, dict) for turn in value):
        return prompt_of(
            Turn(role_of(turn.get("role"), f"fields.{name}.role"), _content(turn, name))
            for turn in value
        )
    return _text(fields, name)


def _content(turn: Mapping[str, Any], name: str) -> str:
    if not isinstance(turn.get("content"), str):
        raise wrong(f"fields.{name}.content", "a text", turn.get("content"))
    return turn["content"]


def _text(fields: Mapping[str, Any], name: str) -> str:
    if not isinstance(fields.get(name), str):
        raise wrong(f"fields.{name}", "a text", fields.get(name))
    return fields[name]


def _answer_field(fields: Mapping[str, Any]) -> str:
    names = [name for name in fields if name in ("response", "answer", "completion")]
    if len(names) != 1:
        raise wrong("fields", "one that is called response", list(fields))
    return names[0]


def _columns(
    row: Row, fields: Mapping[str, Any], answers: set[str], one: Submitted, kind: type[Record]
) -> Row:
    """What is kept of a record: its own keys, its metadata, other fields, who answered what."""
    metadata = row.get("metadata")
    prompt = prompt_name(fields, answers, CHATS)
    left = {name: fields[name] for name in fields if name not in answers and name != prompt}
    columns = {
        **others(left, (), kind),
        **(others(metadata, (), kind) if isinstance(metadata, dict) else {}),
        **others(row, (*_USED, "metadata"), kind),
        **({} if one.question in USUAL else {"question": one.question}),
    }
    return columns if one.user_id is None else {**columns, "labeler_id": str(one.user_id)}


def _response(fields: Mapping[str, Any], name: str) -> Row:
    """An answer, with the name of its field where that says more than a number."""
    said = {"text": _text(fields, name)}
    return said if re.fullmatch(r"response_\d+", name) else {**said, "field": name}


def fits(row: Row) -> bool:
    """Whether the row has fields and responses to questions."""
    return isinstance(row.get("fields"), dict) and isinstance(row.get("responses"), dict | list)


FORMAT = Format(
    name="argilla",
    main=Ranking,
    readers={Ranking: to_rankings, Rating: to_ratings, Demonstration: to_demonstrations},
    fits=fits,
    example={
        "id": "r1",
        "status": "completed",
        "fields": {"prompt": "Name a sea.", "response_1": "The Baltic.", "response_2": "The Alps."},
        "responses": {
            "ranking": [
                {
                    "value": [
                        {"rank": 1, "value": "response_1"},
                        {"rank": 2, "value": "response_2"},
                    ],
                    "user_id": "u1",
                    "status": "submitted",
                }
            ]
        },
    },
    says="Argilla's export",
)
