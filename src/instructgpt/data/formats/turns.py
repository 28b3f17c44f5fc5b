"""Conversations as lists of turns, whatever a format calls its roles and texts."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from instructgpt.data.formats.fields import demonstration, wrong
from instructgpt.data.formats.format import Converted, Skip
from instructgpt.data.formats.reasons import Reason
from instructgpt.data.jsonl import Row

NAMES = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "model", "bot"), "assistant"),
    **dict.fromkeys(("tool", "function", "function_call", "observation"), "tool"),
}
"""What formats call the roles of a conversation, and what we call them."""


@dataclass(frozen=True)
class Turn:
    """A turn: system, user, assistant or tool; `learned` is false where its file gives it no weight
    in training.
    """

    role: str
    content: str
    learned: bool = True

    def message(self) -> dict[str, str]:
        """It as a message of a record.

        Raises:
            Skip: it is a tool's.
        """
        if self.role == "tool":
            raise Skip(Reason.TOOL_TURN, "messages: a turn is a tool's or calls one")
        return {"role": self.role, "content": self.content}


def role_of(value: Any, field: str) -> str:
    """What we call a role.

    Raises:
        Skip: it is none that we know.
    """
    if isinstance(value, str) and value in NAMES:
        return NAMES[value]
    raise wrong(field, f"a role ({', '.join(NAMES)})", value)


def objects(value: Any, field: str, *, least: int = 1) -> list[Mapping[str, Any]]:
    """A field that must be a list of objects.

    Raises:
        Skip: it is not, or has too few.
    """
    if (
        not isinstance(value, list)
        or len(value) < least
        or not all(isinstance(one, dict) for one in value)
    ):
        raise wrong(field, "a list of objects", value)
    return value


def learned(turns: Sequence[Turn], columns: Row) -> Converted:
    """The demonstration of a conversation: its last answer that is to be learned, with all turns
    before it as the prompt; turns after it are left out, and counted.

    Raises:
        ValueError: there is no such answer, or a turn is a tool's.
    """
    messages = [turn.message() for turn in turns]
    answers = [i for i, turn in enumerate(turns) if turn.role == "assistant"]
    usable = [i for i in answers if turns[i].learned and turns[i].content.strip()]
    if not usable:
        if any(not turns[i].learned for i in answers):
            raise Skip(Reason.WEIGHT_ZERO, "weight: no answer of the conversation is to be learned")
        raise Skip(Reason.NO_ANSWER, "messages: no turn of the assistant with text to learn from")
    last = usable[-1]
    record = demonstration(messages[:last], messages[last]["content"], columns)
    return Converted([record], Counter(map(_reason, turns[last + 1 :])))


def prompt_of(turns: Iterable[Turn]) -> list[dict[str, str]]:
    """The turns before an answer.

    Raises:
        Skip: a turn is a tool's.
    """
    return [turn.message() for turn in turns]


def _reason(turn: Turn) -> Reason:
    if turn.role != "assistant":
        return Reason.AFTER_ANSWER
    return Reason.EMPTY_ANSWER if turn.learned else Reason.WEIGHT_ZERO
