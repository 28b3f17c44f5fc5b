"""The prompts that a policy is to answer: those of the split, and those that fit."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

from instructgpt.data.records import Demonstration, Prompt
from instructgpt.data.splits import split_by_field
from instructgpt.errors import UserError, placed
from instructgpt.models.facts import ModelFacts
from instructgpt.models.outlook import Outlook
from instructgpt.models.text import TextCodec, same_reading
from instructgpt.run.outline import counted
from instructgpt.run.progress import say_skipped

P = TypeVar("P", Prompt, Demonstration)


class Asking(Protocol):
    """The settings of a stage that has prompts answered."""

    @property
    def format(self) -> str:
        """Of the files."""
        ...

    @property
    def split(self) -> str:
        """Which prompts to take; empty for all."""
        ...

    @property
    def use(self) -> str:
        """Those that serve which stage; empty for all."""
        ...

    @property
    def on_error(self) -> Literal["stop", "skip"]:
        """What a bad or over-long prompt does."""
        ...


@dataclass(frozen=True)
class Room:
    """Where prompts and answers to them must fit.

    Attributes:
        reader: what reads them, in words.
        text: its tokenizer and template.
        context: how many tokens it reads; None where it does not say.
        answer: the tokens of the longest answer.
        key: the setting that says so.
    """

    reader: str
    text: TextCodec
    context: int | None
    answer: int
    key: str = "response_length"

    @property
    def for_prompt(self) -> int:
        """How many tokens a prompt may have."""
        return 10**9 if self.context is None else self.context - self.answer

    def require_any(self) -> None:
        """There must be room for some prompt.

        Raises:
            UserError: the longest answer alone fills the context.
        """
        if self.for_prompt < 1:
            raise UserError(
                f"{self.key} {self.answer} leaves no room for a prompt in the {self.reader}'s "
                f"context of {self.context} tokens; lower it"
            )

    def complaint(self, record: Prompt | Demonstration) -> str:
        """That a prompt is too long, or the empty string.

        Raises:
            UserError: the template refuses it, or it comes to no token.
        """
        with placed(self.reader):
            length = len(self.text.prompt(record.prompt))
        if length <= self.for_prompt:
            return ""
        return (
            f"the prompt has {length} tokens, more than the {self.for_prompt} that leave room for "
            f"{self.key} {self.answer} in the {self.reader}'s context of {self.context}"
        )


def room_behind(
    reader: str, facts: ModelFacts, writer: ModelFacts, template: str, answer: int
) -> Room:
    """The room in a model that reads what another has written.

    Where it has another vocabulary, nobody knows how many tokens it makes of an answer, and what
    does not fit is cut: then the prompt must fit with a single token.
    """
    text = facts.text(template)
    if same_reading(text, writer.text(template)):
        return Room(reader, text, facts.context, answer)
    return Room(reader, text, facts.context, 1, "an answer of")


def prompts_to_answer(
    key: str, paths: Sequence[str], config: Asking, rooms: Sequence[Room], outlook: Outlook
) -> list[Prompt]:
    """The prompts of some files that are of the split, for the use, and fit.

    Raises:
        UserError: a file, a line or a prompt cannot be used, or none is left.
    """
    records = outlook.records(key, paths, Prompt, format=config.format, on_error=config.on_error)
    wanted = _of_use(key, _of_split(key, records, config.split), config.use)
    return fitting(key, wanted, rooms, config.on_error)


def fitting(
    key: str, records: Sequence[P], rooms: Sequence[Room], on_error: Literal["stop", "skip"]
) -> list[P]:
    """The prompts that fit everywhere; says which do not.

    Raises:
        UserError: one does not fit and `on_error` is stop, or none can.
    """
    for room in rooms:
        room.require_any()
    kept, skipped = [], []
    for number, record in enumerate(records, 1):
        remedy = f"; shorten it, lower {rooms[0].key}"
        try:
            complaint = next(filter(None, (room.complaint(record) for room in rooms)), "")
        except UserError as error:
            complaint, remedy = str(error), ""
        if not complaint:
            kept.append(record)
            continue
        sentence = f"{key}: {record.place or f'prompt {number}'}: {complaint}"
        if on_error == "stop":
            raise UserError(f"{sentence}{remedy}, or pass --on_error skip")
        skipped.append(sentence)
    say_skipped(skipped)
    if records and not kept:
        raise UserError(f"{key}: no prompt is left; give shorter ones, or lower {rooms[0].key}")
    return kept


def _of_split(key: str, records: Sequence[Prompt], split: str) -> list[Prompt]:
    """The prompts whose `split` field says this; all where none is named.

    Raises:
        UserError: there are none.
    """
    if not split:
        return list(records)
    others, kept = split_by_field(records, split)
    if others and not kept:
        splits = sorted({record.split or "" for record in others} - {""})
        there = f"their splits are {', '.join(splits)}" if splits else "none has the field"
        raise UserError(f"{key}: no prompt with split '{split}', {there}; give other prompts")
    return kept


def _of_use(key: str, records: Sequence[Prompt], use: str) -> list[Prompt]:
    """The prompts whose `use` field says this; all where none is named.

    Raises:
        UserError: there are none.
    """
    kept = [record for record in records if not use or record.use == use]
    if records and not kept:
        uses = ", ".join(sorted({record.use for record in records if record.use}))
        there = f"their uses are {uses}" if uses else "none has the field"
        raise UserError(f"{key}: no prompt with use '{use}', {there}; give other prompts")
    return kept


def prompts_described(prompts: Sequence[Prompt], text: TextCodec) -> str:
    """Prompts in words, for a dry run."""
    lengths = [len(text.prompt(prompt.prompt)) for prompt in prompts]
    return f"{counted(prompts, 'prompt')}, {sum(lengths):,} tokens, the longest {max(lengths):,}"
