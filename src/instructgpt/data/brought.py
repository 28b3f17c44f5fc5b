"""What people bring from Python, as what the trainers take: batches as rows, prompts, records."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import ValidationError

from instructgpt.data.formats import read_objects
from instructgpt.data.records import Message, Prompt, PromptText, Record
from instructgpt.errors import UserError

R = TypeVar("R", bound=Record)


def as_prompt(value: Any) -> PromptText:
    """A prompt from a text, a conversation (`Message`s, or dictionaries with role and content), or
    whatever holds one (a record, or a dictionary with the key `prompt`).

    Raises:
        UserError: it is none of these.
    """
    if isinstance(value, str):
        return value
    if is_conversation(value):
        return tuple(map(_message, value))
    if isinstance(value, Mapping) and "prompt" in value:
        return as_prompt(value["prompt"])
    if isinstance(value, Record) and hasattr(value, "prompt"):
        return as_prompt(value.prompt)  # type: ignore[attr-defined]
    raise UserError(
        f"a prompt is a text, or a list of messages with role and content, found {described(value)}"
    )


def as_prompts(values: Any) -> list[PromptText]:
    """Prompts from a list of whatever `as_prompt` takes, or from a dictionary with a list of them
    under `prompt`, as torch's DataLoader makes it.

    Raises:
        UserError: it is neither.
    """
    return [as_prompt(value) for value in rows_of(values, "prompts")]


def is_one_prompt(value: Any) -> bool:
    """Whether this is a prompt, and not a list of prompts."""
    return isinstance(value, str | Prompt) or is_conversation(value)


def is_conversation(value: Any) -> bool:
    """Whether this is a list of messages."""
    return (
        isinstance(value, list | tuple)
        and bool(value)
        and all(
            isinstance(turn, Message) or (isinstance(turn, Mapping) and "role" in turn)
            for turn in value
        )
    )


def require_pairs(
    prompts: Sequence[PromptText], responses: Sequence[str], finished: Sequence[bool]
) -> None:
    """As many answers as prompts, each a text, and as many flags.

    Raises:
        UserError: they are not.
    """
    counts = {"prompts": len(prompts), "answers": len(responses), "finished": len(finished)}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{count} {name}" for name, count in counts.items())
        raise UserError(f"there must be as many answers as prompts, found {told}")
    for number, response in enumerate(responses, 1):
        if not isinstance(response, str):
            raise UserError(f"answer {number} must be a text, found {described(response)}")


def as_records(batch: Any, kind: type[R]) -> list[R]:
    """Records from a batch of records or dictionaries, or of columns.

    Raises:
        UserError: one cannot be used, or the batch is empty.
    """
    name = kind.__name__.lower()
    return read_objects(rows_of(batch, f"{name}s"), kind, name=name).records


def rows_of(batch: Any, what: str) -> list[Any]:
    """The items of a batch: those of a list, or the rows of a dictionary of columns.

    Args:
        batch: a sequence, or a mapping from names to columns of one length (torch's DataLoader
            makes it of dictionaries).
        what: what the items are called in messages.

    Raises:
        UserError: it is neither, or its columns differ in length.
    """
    if isinstance(batch, Mapping):
        columns = {str(key): column for key, column in batch.items()}
        if any(_is_collated_conversation(column) for column in columns.values()):
            raise UserError(
                f"{what}: the DataLoader has torn the messages apart; give it collate_fn=list"
            )
        if any(map(_is_of_one_row, columns.values())):
            return [batch]
        lengths = {key: len(column) for key, column in columns.items()}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{key} {length}" for key, length in lengths.items())
            raise UserError(f"{what}: the columns differ in length ({told}); make them equal")
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    if isinstance(batch, str) or not isinstance(batch, Sequence):
        raise UserError(f"{what}: expected a list, found {described(batch)}")
    return list(batch)


def _is_of_one_row(value: Any) -> bool:
    return isinstance(value, str) or not hasattr(value, "__len__") or is_conversation(value)


def _is_collated_conversation(column: Any) -> bool:
    """Whether torch's default collate has made one column of many conversations."""
    return (
        isinstance(column, list | tuple)
        and bool(column)
        and isinstance(column[0], Mapping)
        and isinstance(column[0].get("role"), list | tuple)
    )


def _message(turn: Any) -> Message:
    if isinstance(turn, Message):
        return turn
    try:
        return Message.model_validate(dict(turn))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"]))
        raise UserError(
            f"a message has role (system, user or assistant) and content: {field}: {first['msg']}"
        ) from None


def described(value: Any) -> str:
    """What was brought, in a few words for a message."""
    text = repr(value)
    return f"{type(value).__name__} ({text if len(text) <= 60 else text[:59] + '…'})"
