"""OpenAI's chat files (`messages`) and preference files (`preferred_output` and its rival)."""

from collections.abc import Mapping, Sequence
from typing import Any

from instructgpt.data.formats.fields import others, ranking, wrong
from instructgpt.data.formats.format import Converted, Format, Skip
from instructgpt.data.formats.reasons import Reason
from instructgpt.data.formats.turns import NAMES, Turn, learned, objects, prompt_of, role_of
from instructgpt.data.jsonl import Row
from instructgpt.data.records import Demonstration, Ranking, Record

_OUTPUTS = ("preferred_output", "non_preferred_output")
_MORE = {"completion", "chosen", "rejected"}


def to_demonstration(row: Row) -> Converted:
    """The demonstration of the assistant's last turn that has not the weight 0.

    Raises:
        ValueError: it has none, a turn is a tool's, a part is no text, or a field is bad.
    """
    if kind_of(row) is Ranking:
        raise Skip(Reason.OTHER_KIND, "preferred_output: the row is a ranking")
    return learned(
        _turns(row.get("messages"), "messages"), others(row, ("messages",), Demonstration)
    )


def to_ranking(row: Row) -> list[Record]:
    """A ranking of the preferred output and the other.

    Raises:
        ValueError: they are not there, are not one assistant turn each, or a field is bad.
    """
    if kind_of(row) is not Ranking:
        raise Skip(
            Reason.OTHER_KIND, "preferred_output: it is not there, the row is a demonstration"
        )
    asked = row.get("input")
    if not isinstance(asked, dict):
        raise wrong("input", "an object with messages", asked)
    answers = []
    for field in _OUTPUTS:
        turns = _turns(row.get(field), field)
        if len(turns) != 1 or turns[0].role == "user" or turns[0].role == "system":
            raise Skip(Reason.NOT_ASSISTANT, f"{field}: expected one turn of the assistant")
        answers.append({"text": turns[0].message()["content"]})
    prompt = prompt_of(_turns(asked.get("messages"), "input.messages"))
    columns = {
        **others(asked, ("messages",), Ranking),
        **others(row, ("input", *_OUTPUTS), Ranking),
    }
    return [ranking(prompt, answers, [1, 2], columns)]


def _turns(messages: Any, field: str) -> list[Turn]:
    found = objects(messages, field)
    return [_turn(message, f"{field}.{place}.") for place, message in enumerate(found)]


def _turn(message: Mapping[str, Any], at: str) -> Turn:
    role = role_of(message.get("role"), f"{at}role")
    if message.get("tool_calls") or message.get("function_call"):
        role = "tool"
    weight = message.get("weight", 1)
    if isinstance(weight, bool) or weight not in (0, 1, None):
        raise wrong(f"{at}weight", "0 or 1", weight)
    return Turn(role, _content(message.get("content"), f"{at}content"), weight != 0)


def _content(content: Any, field: str) -> str:
    """The text of a message: its parts as they stand, one after the other."""
    if isinstance(content, str) or content is None:
        return content or ""
    texts: list[str] = []
    for part in objects(content, field, least=0):
        if part.get("type") not in ("text", "refusal"):
            raise Skip(Reason.NOT_TEXT, f"{field}: a part is no text")
        said = part.get(part["type"])
        if not isinstance(said, str):
            raise wrong(field, "parts with a text", said)
        texts.append(said)
    return "".join(texts)


def fits(row: Row) -> bool:
    """Whether the row has messages with a role each, or two outputs to an input."""
    if kind_of(row) is Ranking:
        return isinstance(row.get("input"), dict)
    if not isinstance(row.get("prompt", ""), str) or row.keys() & _MORE:
        return False  # TRL's, which has an answer beside the messages
    return _is_conversation(row.get("messages"))


def kind_of(row: Row) -> type[Record]:
    """A ranking where there are two outputs."""
    return Ranking if all(isinstance(row.get(key), list) for key in _OUTPUTS) else Demonstration


def _is_conversation(messages: object) -> bool:
    return (
        isinstance(messages, Sequence)
        and bool(messages)
        and all(
            isinstance(one, dict) and isinstance(one.get("role"), str) and one["role"] in NAMES
            for one in messages
        )
    )


FORMAT = Format(
    name="openai",
    main=Demonstration,
    readers={Demonstration: to_demonstration, Ranking: to_ranking},
    fits=fits,
    example={
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Name a fruit."},
            {"role": "assistant", "content": [{"type": "text", "text": "A pear."}]},
        ]
    },
    says="OpenAI's chat and preference files",
    rather_than=("trl",),
    kind_of=kind_of,
)
