"""ShareGPT's conversations, and LLaMA-Factory's pairs of answers to one.

Turns have `from` and `value`, or `role` and `content`.
"""

from collections.abc import Mapping
from typing import Any

from instructgpt.data.formats.fields import others, ranking, text, wrong
from instructgpt.data.formats.format import Converted, Format, Skip
from instructgpt.data.formats.reasons import Reason
from instructgpt.data.formats.turns import Turn, learned, objects, prompt_of, role_of
from instructgpt.data.jsonl import Row
from instructgpt.data.records import Demonstration, Ranking, Record

_USED = ("conversations", "system")
_PAIR = ("chosen", "rejected")


def to_demonstration(row: Row) -> Converted:
    """The demonstration of the assistant's last turn.

    Raises:
        ValueError: it has none, a turn is a tool's, or a field is bad.
    """
    if kind_of(row) is Ranking:
        raise Skip(Reason.OTHER_KIND, "chosen: the row is a ranking")
    return learned(_turns(row), others(row, _USED, Demonstration))


def to_ranking(row: Row) -> list[Record]:
    """A ranking of `chosen` and `rejected`.

    Raises:
        ValueError: they are not there, or a field is bad.
    """
    if kind_of(row) is not Ranking:
        raise Skip(Reason.OTHER_KIND, "chosen: it is not there; the row is a demonstration")
    answers = []
    for field in _PAIR:
        turn = _turn(row[field], f"{field}.")
        if turn.role != "assistant":
            raise Skip(Reason.NOT_ASSISTANT, f"{field}.from: the answer is not the assistant's")
        answers.append({"text": turn.content})
    columns = others(row, (*_USED, *_PAIR), Ranking)
    return [ranking(prompt_of(_turns(row)), answers, [1, 2], columns)]


def _turns(row: Row) -> list[Turn]:
    said = objects(row.get("conversations"), "conversations")
    turns = [_turn(turn, f"conversations.{place}.") for place, turn in enumerate(said)]
    return [Turn("system", text(row, "system")), *turns] if row.get("system") else turns


def _turn(turn: Mapping[str, Any], at: str) -> Turn:
    if not isinstance(turn, dict):
        raise wrong(at.rstrip("."), "a turn", turn)
    who, said = ("role", "content") if "role" in turn else ("from", "value")
    return Turn(role_of(turn.get(who), f"{at}{who}"), text(turn, said, at=at))


def fits(row: Row) -> bool:
    """Whether the conversation is a list of turns."""
    said = row.get("conversations")
    return (
        isinstance(said, list)
        and bool(said)
        and all(isinstance(turn, dict) and _is_turn(turn) for turn in said)
    )


def _is_turn(turn: Row) -> bool:
    return {"from", "value"} <= turn.keys() or {"role", "content"} <= turn.keys()


def kind_of(row: Row) -> type[Record]:
    """A ranking where there are two answers."""
    return Ranking if all(isinstance(row.get(key), dict) for key in _PAIR) else Demonstration


FORMAT = Format(
    name="sharegpt",
    main=Demonstration,
    readers={Demonstration: to_demonstration, Ranking: to_ranking},
    fits=fits,
    example={
        "conversations": [
            {"from": "human", "value": "Name a fruit."},
            {"from": "gpt", "value": "A pear."},
        ]
    },
    says="ShareGPT, and LLaMA-Factory's pairs",
    rather_than=("trl",),
    kind_of=kind_of,
)
