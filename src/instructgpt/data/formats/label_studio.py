"""Label Studio's export: tasks with people's annotations.

A pairwise choice and a ranker's list are rankings, a text area is a demonstration, each annotator's
own. Predictions are a machine's and are not read.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from instructgpt.data.formats.fields import demonstration, others, ranking, rating, wrong
from instructgpt.data.formats.format import Converted, Format, Skip
from instructgpt.data.formats.labeled import counting, found_of, no_prompt, prompt_name
from instructgpt.data.formats.reasons import Reason
from instructgpt.data.formats.turns import objects
from instructgpt.data.jsonl import Row
from instructgpt.data.records import Demonstration, Ranking, Rating, Record

TEXTS = ("text",)
"""Names of a prompt in the tool's own templates."""
POOL = "_"
"""The ranker's bucket of items that were not moved, where there is another."""
_USED = ("data", "annotations", "predictions")


class Result(NamedTuple):
    """What an annotator gave in one control, and the annotation that it is part of."""

    type: str
    value: Mapping[str, Any]
    to_name: str
    annotation: Mapping[str, Any]


def to_rankings(row: Row) -> Converted:
    """A ranking for each annotator, of a pair or of the items of a ranker.

    Raises:
        ValueError: nobody has submitted one, or a field is bad.
    """
    data, left_out = _data(row), Counter[Reason]()
    records: list[Record] = []
    for result in _results(row, left_out):
        if result.type not in ("pairwise", "ranker"):
            continue
        with counting(left_out):
            if result.type == "pairwise":
                responses, ranks, used = _pair(data, result)
            else:
                responses, ranks, used = _ranked(data, result, left_out)
            columns = _columns(row, data, used, result, Ranking)
            records.append(ranking(_prompt(data, used), responses, ranks, columns))
    return found_of(records, left_out, "annotations", "a ranking")


def to_ratings(row: Row) -> Converted:
    """A rating for each annotator who gave one to the task's `response`.

    Raises:
        ValueError: nobody has, or a field is bad.
    """
    data, left_out = _data(row), Counter[Reason]()
    records: list[Record] = []
    for result in _results(row, left_out):
        if result.type == "rating":
            columns = _columns(row, data, ("response",), result, Rating)
            answer = _text(data, "response")
            stars = result.value.get("rating")
            with counting(left_out):
                records.append(rating(_prompt(data, ("response",)), answer, stars, columns))
    return found_of(records, left_out, "annotations", "a rating")


def to_demonstrations(row: Row) -> Converted:
    """A demonstration for each text that an annotator wrote.

    Raises:
        ValueError: nobody has written one, or a field is bad.
    """
    data, left_out = _data(row), Counter[Reason]()
    records: list[Record] = []
    for result in _results(row, left_out):
        if result.type != "textarea":
            continue
        written = result.value.get("text")
        texts = [written] if isinstance(written, str) else written
        if not isinstance(texts, list) or not all(isinstance(one, str) for one in texts):
            raise wrong("annotations.result.value.text", "texts", written)
        columns = _columns(row, data, (), result, Demonstration)
        with counting(left_out):
            records.append(demonstration(_prompt(data, ()), "\n".join(texts), columns))
    return found_of(records, left_out, "annotations", "a text")


def _data(row: Row) -> Mapping[str, Any]:
    data = row.get("data")
    if not isinstance(data, dict):
        raise wrong("data", "an object", data)
    return data


def _results(row: Row, left_out: Counter[Reason]) -> Iterator[Result]:
    for annotation in objects(row.get("annotations"), "annotations", least=0):
        if annotation.get("was_cancelled"):
            left_out[Reason.NOT_SUBMITTED] += 1
            continue
        for result in objects(annotation.get("result"), "annotations.result", least=0):
            value = result.get("value")
            if not isinstance(value, dict):
                raise wrong("annotations.result.value", "an object", value)
            yield Result(str(result.get("type")), value, str(result.get("to_name", "")), annotation)


def _pair(data: Mapping[str, Any], result: Result) -> tuple[list[Row], list[int], tuple[str, ...]]:
    """The two answers of a pairwise choice: those that it names, or the only two that there are."""
    selected = result.value.get("selected")
    if selected not in ("left", "right"):
        raise Skip(Reason.NO_JUDGMENT, "annotations.result.value.selected: neither left nor right")
    names = tuple(name.strip() for name in result.to_name.split(","))
    if len(names) != 2 or not all(isinstance(data.get(name), str) for name in names):
        prompt = prompt_name(data, (), TEXTS)
        names = tuple(k for k, v in data.items() if isinstance(v, str) and k != prompt)
    if len(names) != 2:
        raise wrong("data", "two answers beside the prompt", list(data))
    responses = [{"text": _text(data, name), "field": name} for name in names]
    return responses, [1, 2] if selected == "left" else [2, 1], names


def _ranked(
    data: Mapping[str, Any], result: Result, left_out: Counter[Reason]
) -> tuple[list[Row], list[int], tuple[str, ...]]:
    """The items of a ranker in the order of the task, and their places in its one bucket."""
    buckets = result.value.get("ranker")
    if not isinstance(buckets, dict):
        raise wrong("annotations.result.value.ranker", "buckets of item ids", buckets)
    named = {key: ids for key, ids in buckets.items() if ids and key != POOL}
    if len(named) > 1:
        raise Skip(Reason.NO_ORDER, "annotations.result.value.ranker: several buckets are no order")
    ids = next(iter(named.values()), buckets.get(POOL, []))
    if not isinstance(ids, list):
        raise wrong("annotations.result.value.ranker", "lists of item ids", ids)
    places = {str(one): place for place, one in enumerate(ids, start=1)}
    key = next((k for k, v in data.items() if _is_items(v)), None)
    if key is None:
        raise wrong("data", "a list of items with id and body", list(data))
    items = {str(item["id"]): item for item in data[key]}
    if not places.keys() <= items.keys():
        raise wrong("annotations.result.value.ranker", f"ids of {key}", ids)
    left_out[Reason.UNRATED] += len(items) - len(places)
    chosen = [(place, one) for place, one in enumerate(items, start=1) if one in places]
    responses = [_item(items[one], place) for place, one in chosen]
    return responses, [places[one] for _, one in chosen], (key,)


def _item(item: Mapping[str, Any], place: int) -> Row:
    """An answer, with the id and the title of its item where they say more than its place."""
    said = {"id": str(place), "title": f"Answer {place}"}
    kept = {key: item[key] for key in said if key in item and str(item[key]) != said[key]}
    return {**kept, "text": _text(item, "body")}


def _is_items(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(item, dict) and {"id", "body"} <= item.keys() for item in value)
    )


def _prompt(data: Mapping[str, Any], used: Sequence[str]) -> str:
    name = prompt_name(data, used, TEXTS)
    if name is None:
        raise no_prompt("data", data)
    return _text(data, name)


def _text(data: Mapping[str, Any], name: str) -> str:
    if not isinstance(data.get(name), str):
        raise wrong(name, "a text", data.get(name))
    return data[name]


def _columns(
    row: Row, data: Mapping[str, Any], used: Sequence[str], result: Result, kind: type[Record]
) -> Row:
    """What is kept of a task: its own keys, other data, who annotated, and for how long."""
    prompt = prompt_name(data, used, TEXTS)
    left = {name: data[name] for name in data if name not in used and name != prompt}
    by = result.annotation.get("completed_by")
    by = by.get("id") if isinstance(by, dict) else by
    took = result.annotation.get("lead_time")
    return {
        **others(left, (), kind),
        **others(row, _USED, kind),
        **({"lead_time": took} if took is not None else {}),
        **({"labeler_id": str(by)} if isinstance(by, int | str) else {}),
    }


def fits(row: Row) -> bool:
    """Whether the row has data and annotations."""
    return isinstance(row.get("data"), dict) and isinstance(row.get("annotations"), list)


FORMAT = Format(
    name="label-studio",
    main=Ranking,
    readers={Ranking: to_rankings, Rating: to_ratings, Demonstration: to_demonstrations},
    fits=fits,
    example={
        "id": 1,
        "data": {
            "prompt": "Name a sea.",
            "answers": [{"id": "a", "body": "The Baltic."}, {"id": "b", "body": "The Alps."}],
        },
        "annotations": [
            {
                "completed_by": 3,
                "was_cancelled": False,
                "result": [{"type": "ranker", "value": {"ranker": {"_": ["a", "b"]}}}],
            }
        ],
    },
    says="Label Studio's export (JSON)",
)
