"""Demonstrations as token sequences, and the batches of one training run."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from instructgpt.data.records import Demonstration
from instructgpt.errors import UserError
from instructgpt.models.text import TextCodec
from instructgpt.run.seeds import permutation
from instructgpt.sft.config import SFTConfig
from instructgpt.training.cursor import ShuffledCursor
from instructgpt.training.mix import Pretraining


@dataclass(frozen=True)
class Example:
    """Tokens to read (`prompt`) and to learn (`response`, with its end-of-text token)."""

    prompt: list[int]
    response: list[int]

    def __len__(self) -> int:
        return len(self.prompt) + len(self.response)


def encode(demonstration: Demonstration, text: TextCodec, *, loss: str = "completion") -> Example:
    """One demonstration as tokens; `loss="all"` learns everything but the first."""
    example = Example(text.prompt(demonstration.prompt), text.response(demonstration.response))
    return example if loss == "completion" else whole_sequence(example.prompt + example.response)


def whole_sequence(tokens: Sequence[int]) -> Example:
    """A text in which every token but the first is learnt."""
    return Example(list(tokens[:1]), list(tokens[1:]))


def encode_all(
    demonstrations: Iterable[Demonstration],
    text: TextCodec,
    *,
    max_length: int,
    on_long: Literal["stop", "skip", "truncate"],
    on_error: Literal["stop", "skip"] = "stop",
    loss: Literal["completion", "all"] = "completion",
) -> tuple[list[Example], list[str]]:
    """Encode demonstrations; returns the examples and a sentence for each one left out.

    Raises:
        UserError: an example is too long and `on_long` is stop, the template refuses its prompt and
            `on_error` is stop, or nothing is left.
    """
    examples, skipped = [], []
    for number, demonstration in enumerate(demonstrations, 1):
        try:
            example = encode(demonstration, text, loss=loss)
        except UserError as error:
            sentence = f"{demonstration.place or f'demonstration {number}'}: {error}"
            if on_error == "stop":
                raise UserError(f"{sentence}, or pass --on_error skip") from None
            skipped.append(sentence)
            continue
        if len(example) > max_length:
            sentence = (
                f"{_name(demonstration, number)} has {len(example)} tokens, more than the "
                f"{max_length} that fit"
            )
            room = max_length - len(example.prompt)
            if on_long == "stop":
                raise UserError(f"{sentence}; shorten it, or pass --on_long skip or truncate")
            if on_long == "skip" or room < 1:
                skipped.append(sentence)
                continue
            example = replace(example, response=example.response[:room])
        examples.append(example)
    if not examples:
        raise UserError("no demonstration is left; raise --max_length or give other demonstrations")
    return examples, skipped


def _name(demonstration: Demonstration, number: int) -> str:
    """Where a demonstration stands in its file, or among those that are given."""
    if demonstration.place:
        return f"{demonstration.place}: the demonstration"
    return f"demonstration {number} (prompt {demonstration.prompt_id})"


class SFTBatches:
    """The batches of one run: shuffled epochs, each batch with its pretraining text.

    Two cursors are its whole state; `positions` reads and sets them.
    """

    def __init__(
        self, examples: Sequence[Example], pretrain: Pretraining | None, config: SFTConfig
    ) -> None:
        self.examples, self.pretrain, self.config = examples, pretrain, config
        self.per_step = config.batch_size - config.pretrain_per_step
        if examples and self.per_step < 1:
            raise UserError("pretrain_fraction leaves no room for demonstrations; raise batch_size")
        self.demos = (
            ShuffledCursor(len(examples), seed=config.seed, stream="sft/order")
            if examples
            else None
        )

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in one pass over the demonstrations; the last batch may be smaller."""
        return -(-len(self.examples) // self.per_step) if self.examples else self.config.max_steps

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the whole run."""
        steps = (
            self.steps_per_epoch * self.config.epochs if self.examples else self.config.max_steps
        )
        return min(steps, self.config.max_steps) if self.config.max_steps else steps

    @property
    def total_tokens(self) -> int:
        """Tokens that the whole run learns, each as often as it is shown."""
        steps, total = self.total_steps, 0
        if self.demos:
            epochs, rest = divmod(steps, self.steps_per_epoch)
            learnt = [len(example.response) for example in self.examples]
            order = permutation(len(learnt), self.config.seed, self.demos.stream, epochs)
            total += epochs * sum(learnt) + sum(learnt[i] for i in order[: rest * self.per_step])
        if self.pretrain:
            total += self.pretrain.learnt_in(steps * self.config.pretrain_per_step)
        return total

    @property
    def positions(self) -> dict[str, int]:
        """Where the run stands in its data."""
        return {
            "demonstrations": self.demos.position if self.demos else 0,
            "pretraining": self.pretrain.position if self.pretrain else 0,
        }

    @positions.setter
    def positions(self, positions: dict[str, int]) -> None:
        if self.demos:
            self.demos.position = positions["demonstrations"]
        if self.pretrain:
            self.pretrain.position = positions["pretraining"]

    def next(self) -> list[Example]:
        """The next batch."""
        batch = []
        if self.demos:
            batch += [self.examples[i] for i in self.demos.take_rest_of_epoch(self.per_step)]
        if self.pretrain:
            batch += [
                whole_sequence(window)
                for window in self.pretrain.take(self.config.pretrain_per_step)
            ]
        return batch
