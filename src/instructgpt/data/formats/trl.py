"""TRL's dataset types: prompt-only, language modelling, prompt-completion and preference.

Each comes as plain text or as lists of messages. Columns beyond a type's own are kept.
"""

from itertools import takewhile
from typing import TypeVar

from instructgpt.data.jsonl import Row
from instructgpt.data.records import Demonstration, Message, PromptText, Ranking, Record

ASSISTANT_TURN = "\n\nAssistant:"
"""Where an answer begins in a dialogue written as plain text (HH-RLHF's convention)."""

Turns = TypeVar("Turns", str, tuple[Message, ...])


class _PromptCompletion(Record):
    prompt: PromptText
    completion: PromptText


class _Conversation(Record):
    messages: tuple[Message, ...]


class _LanguageModelling(Record):
    text: str


class _Preference(Record):
    prompt: PromptText | None = None
    chosen: PromptText
    rejected: PromptText


def from_prompt_completion(row: Row) -> list[Record]:
    """A demonstration from `prompt` and `completion`."""
    pair = _PromptCompletion.model_validate(row)
    return [_demonstration(pair, pair.prompt, _answer("completion", pair.completion))]


def from_messages(row: Row) -> list[Record]:
    """A demonstration of a conversation's last assistant turn; turns after it are left out.

    Raises:
        ValueError: no turn is the assistant's.
    """
    conversation = _Conversation.model_validate(row)
    turns = conversation.messages
    answers = [i for i, turn in enumerate(turns) if turn.role == "assistant"]
    if not answers:
        raise ValueError("messages: no assistant turn to learn from")
    return [_demonstration(conversation, turns[: answers[-1]], turns[answers[-1]].content)]


def from_text(row: Row) -> list[Record]:
    """A demonstration of the last assistant turn of a dialogue written as plain text.

    Raises:
        ValueError: no turn marker tells the prompt from the answer.
    """
    dialogue = _LanguageModelling.model_validate(row)
    before, marker, answer = dialogue.text.rpartition(ASSISTANT_TURN)
    if not marker:
        raise ValueError(
            f"text: no {ASSISTANT_TURN!r} tells the prompt from the answer; "
            "give prompt and completion"
        )
    return [_demonstration(dialogue, before + marker, answer)]


def from_preference(row: Row) -> list[Record]:
    """A ranking of two from `chosen`, `rejected` and `prompt`, or the beginning the two share.

    Raises:
        ValueError: without a `prompt` the two share no beginning, or an answer is several turns.
    """
    pair = _Preference.model_validate(row)
    prompt, chosen, rejected = pair.prompt, pair.chosen, pair.rejected
    if prompt is None:
        prompt = _shared_beginning(chosen, rejected)
        chosen, rejected = chosen[len(prompt) :], rejected[len(prompt) :]
    answers = [_answer("chosen", chosen), _answer("rejected", rejected)]
    responses = [{"text": answer} for answer in answers]
    fields = {"prompt": prompt, "responses": responses, "ranks": (1, 2)}
    return [Ranking.model_validate({**(pair.model_extra or {}), **fields})]


def _demonstration(source: Record, prompt: PromptText, response: str) -> Demonstration:
    fields = {"prompt": prompt, "response": response}
    return Demonstration.model_validate({**(source.model_extra or {}), **fields})


def _answer(field: str, answer: PromptText) -> str:
    if isinstance(answer, str):
        return answer
    roles = [turn.role for turn in answer]
    if roles != ["assistant"]:
        raise ValueError(f"{field}: expected one assistant turn after the prompt, found {roles}")
    return answer[0].content


def _shared_beginning(chosen: PromptText, rejected: PromptText) -> PromptText:
    """The prompt of a pair that has none of its own.

    Of messages, those that both share. Of texts, the shared characters up to the last turn marker;
    where there is none, up to the last whitespace, which goes to the answers as tokenizers like it.
    """
    if isinstance(chosen, str) and isinstance(rejected, str):
        shared = _common_prefix(chosen, rejected)
        before, marker, _ = shared.rpartition(ASSISTANT_TURN)
        # The "|" stands for the next word, so that whitespace at the end is a boundary as well.
        words = (shared + "|").rsplit(maxsplit=1)
        prompt = before + marker if marker else "".join(words[:-1])
    elif isinstance(chosen, tuple) and isinstance(rejected, tuple):
        prompt = _common_prefix(chosen[:-1], rejected[:-1])
    else:
        raise ValueError("chosen and rejected must both be texts or both be messages")
    if not prompt:
        raise ValueError(
            "chosen and rejected share no beginning; give the prompt in a field of its own"
        )
    return prompt


def _common_prefix(one: Turns, other: Turns) -> Turns:
    same = takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return one[: sum(1 for _ in same)]
