"""The pretraining mix: documents joined, cut into windows, visited in shuffled epochs."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instructgpt.data.brought import described, rows_of
from instructgpt.errors import UserError
from instructgpt.models.text import TextCodec, encode_documents
from instructgpt.run.outline import Row, counted
from instructgpt.training.cursor import ShuffledCursor


class TokenWindows:
    """Windows of `length` tokens (C.4), visited in shuffled epochs; the last one may be shorter.

    `position` is the whole state.

    Args:
        tokens: documents one after the other, at least two tokens.
        length: tokens per window.
        seed: the run's seed.
        stream: the name of this walk.
    """

    def __init__(self, tokens: NDArray[Any], length: int, *, seed: int, stream: str) -> None:
        self.tokens, self.length = tokens, length
        count = -(-len(tokens) // length)
        if len(tokens) - (count - 1) * length < 2 and count > 1:
            count -= 1  # a last window of one token has nothing to predict
        self._cursor = ShuffledCursor(count, seed=seed, stream=stream)

    def __len__(self) -> int:
        return self._cursor.count

    @property
    def position(self) -> int:
        """How many windows have been taken."""
        return self._cursor.position

    @position.setter
    def position(self, position: int) -> None:
        self._cursor.position = position

    @property
    def described(self) -> str:
        """In words, for a dry run."""
        return (
            f"{len(self.tokens):,} tokens in {counted(len(self), 'window')} of at most "
            f"{self.length:,}"
        )

    @property
    def parts(self) -> "list[tuple[float, TokenWindows]]":
        """Itself, with the share 1: see `mix.PretrainingMix.parts`."""
        return [(1.0, self)]

    def rows(self, key: str) -> list[Row]:
        """In words, for a dry run."""
        return [(key, self.described)]

    def learnt_in(self, number: int) -> int:
        """Tokens that the first `number` windows of the whole walk teach: all but each one's
        first.
        """
        shown = ShuffledCursor(len(self), seed=self._cursor.seed, stream=self._cursor.stream)
        last = shown.take(number).count(len(self) - 1)
        short = self.length - len(self.window(len(self) - 1))
        return number * (self.length - 1) - last * short

    def window(self, index: int) -> list[int]:
        """The tokens of one window."""
        return self.tokens[index * self.length : (index + 1) * self.length].tolist()

    @property
    def windows(self) -> Iterator[list[int]]:
        """All windows, in the order of the text."""
        return map(self.window, range(len(self)))

    def take(self, number: int) -> list[list[int]]:
        """The next `number` windows."""
        return [self.window(index) for index in self._cursor.take(number)]


class PretrainingText(TokenWindows):
    """The windows of documents that are in memory.

    Args:
        documents: the texts.
        text: tokenizes; each document is ended by the end-of-text token, and begins with the
            beginning-of-text token if the tokenizer uses one.
        length: tokens per window.
        seed: the run's seed.
        stream: the name of this walk.

    Raises:
        UserError: there is no text.
    """

    def __init__(
        self,
        documents: Sequence[str],
        text: TextCodec,
        length: int,
        *,
        seed: int,
        stream: str = "pretrain/order",
    ) -> None:
        tokens = [token for ids in encode_documents(documents, text) for token in ids]
        if len(tokens) < 2:
            raise UserError("no text in it; give documents to mix in")
        super().__init__(np.asarray(tokens, dtype=np.int32), length, seed=seed, stream=stream)


def as_windows(batch: Any, text: TextCodec, length: int) -> list[list[int]]:
    """Pretraining text as token windows.

    Args:
        batch: windows of token ids; texts, or dictionaries with a `text`, each one example as far
            as it fits; a tensor, or a dictionary with `input_ids` (B, T) and perhaps
            `attention_mask`; or None.
        text: the policy's tokenizer.
        length: tokens of an example made from a text.

    Raises:
        UserError: it is none of these, or an example has fewer than two tokens.
    """
    if batch is None:
        return []
    if isinstance(batch, Mapping) and "input_ids" in batch:
        ids = _plain(batch["input_ids"])
        real = _plain(batch.get("attention_mask", [[1] * len(row) for row in ids]))
        batch = [
            [token for token, kept in zip(row, flags, strict=True) if kept]
            for row, flags in zip(ids, real, strict=True)
        ]
    windows = []
    for number, item in enumerate(rows_of(_plain(batch), "pretraining batch"), 1):
        item = item.get("text") if isinstance(item, Mapping) else item
        window = text.document(item)[:length] if isinstance(item, str) else _plain(item)
        if not isinstance(window, list | tuple) or not all(type(t) is int for t in window):
            raise UserError(
                f"pretraining example {number} must be a text or token ids, found {described(item)}"
            )
        if len(window) < 2:
            raise UserError(f"pretraining example {number} has fewer than two tokens; take it out")
        windows.append(list(window))
    return windows


def _plain(value: Any) -> Any:
    """A tensor or an array as lists."""
    return value.tolist() if hasattr(value, "tolist") else value
