"""The pretraining mix of several sources with weights, and how a stage opens what it mixes in."""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from instructgpt.data.reading import load_documents
from instructgpt.errors import placed
from instructgpt.models.text import TextCodec
from instructgpt.run.given import Given
from instructgpt.run.outline import Row, counted
from instructgpt.run.weighted import Weighted, shown, weight_of
from instructgpt.training.pretraining import PretrainingText, TokenWindows
from instructgpt.training.shares import Shares
from instructgpt.training.tokens import tokens_of


class Source(NamedTuple):
    """One of a mix: what it is called, its weight, and its windows."""

    name: str
    weight: float
    text: TokenWindows


class PretrainingMix:
    """Windows of several sources: `shares.Shares` says which source is next, and each is walked in
    shuffled epochs of its own. `position` is the whole state.

    Args:
        sources: at least one; each with a walk that stands at its beginning.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        self.sources = tuple(sources)
        self._shares = Shares([source.weight for source in self.sources])

    @property
    def position(self) -> int:
        """How many windows have been taken, of all sources together."""
        return self._shares.position

    @position.setter
    def position(self, position: int) -> None:
        self._shares.position = position
        for source, count in zip(self.sources, self._shares.counts, strict=True):
            source.text.position = count

    @property
    def parts(self) -> list[tuple[float, TokenWindows]]:
        """The share of each source, and all of its windows."""
        total = sum(source.weight for source in self.sources)
        return [(source.weight / total, source.text) for source in self.sources]

    def rows(self, key: str) -> Iterator[Row]:
        """In words, for a dry run."""
        yield key, f"{counted(self.sources, 'source')} of windows, by weight"
        for source, (share, text) in zip(self.sources, self.parts, strict=True):
            weight = f"{100 * share:.3g} % (weight {shown(source.weight)})"
            yield "", f"{source.name}: {weight}, {text.described}"

    def learnt_in(self, number: int) -> int:
        """Tokens that the first `number` windows of the whole walk teach."""
        shares = Shares([source.weight for source in self.sources])
        shares.position = number
        return sum(
            source.text.learnt_in(count)
            for source, count in zip(self.sources, shares.counts, strict=True)
        )

    def take(self, number: int) -> list[list[int]]:
        """The next `number` windows."""
        return [self.sources[i].text.take(1)[0] for i in self._shares.take(number)]


Pretraining = PretrainingText | PretrainingMix
"""Text that is mixed in: of a plain list of files, or of weighted sources."""


def open_pretraining(
    paths: Sequence[str],
    text: TextCodec,
    length: int,
    *,
    seed: int,
    stream: str,
    on_error: Literal["stop", "skip"] | None = None,
) -> Pretraining | None:
    """What a key of a configuration names; None where it names nothing.

    Args:
        paths: files of a plain list, which are read into memory and joined; or weighted sources,
            whose tokens are mapped from the cache (documents from Python among them have weight 1).
        text: tokenizes.
        length: tokens per window.
        seed: the run's seed.
        stream: the name of this walk; a source's has its number behind it.
        on_error: what a bad record does.

    Raises:
        UserError: a file cannot be used, or holds no text; the sentence names it.
    """
    if not paths:
        return None
    if not any(isinstance(path, Weighted) for path in paths):
        documents = load_documents(paths, on_error)
        with placed(", ".join(paths)):
            return PretrainingText(documents, text, length, seed=seed, stream=stream)
    sources = []
    for number, path in enumerate(paths):
        walk = {"seed": seed, "stream": f"{stream}/{number}"}
        if isinstance(path, Given):
            with placed(path):
                windows = PretrainingText(load_documents([path], on_error), text, length, **walk)
        else:
            windows = TokenWindows(tokens_of(path, text, on_error), length, **walk)
        sources.append(Source(path, weight_of(path) or 1.0, windows))
    return PretrainingMix(sources)
