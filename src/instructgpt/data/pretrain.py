"""The pretraining mix: documents joined, cut into windows, visited in shuffled epochs."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from instructgpt.data.cursor import ShuffledCursor
from instructgpt.data.text import TextCodec
from instructgpt.errors import UserError
from instructgpt.run.outline import counted
from instructgpt.run.progress import say


def encode_documents(documents: Sequence[str], text: TextCodec) -> list[list[int]]:
    """The tokens of each document that has text; says how many have none."""
    encoded = [ids for document in documents if (ids := text.document(document))]
    if empty := len(documents) - len(encoded):
        say(f"{counted(empty, 'document')} without text left out")
    return encoded


class PretrainingText:
    """Windows of `length` tokens over all documents (C.4).

    The last window may be shorter. `position` is the whole state.

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
            raise UserError("pretrain_data: no text in it; give documents to mix in")
        self.tokens: NDArray[np.int32] = np.asarray(tokens, dtype=np.int32)
        self.length = length
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

    def take(self, number: int) -> list[list[int]]:
        """The next `number` windows."""
        return [self.window(index) for index in self._cursor.take(number)]
