"""An answer while it grows (`Episode`), when it has ended (`Sample`), and with its text
(`Completion`).

Axes: B rows, W width.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from instructgpt.rollout.sampling import Sampling, uniforms


@dataclass(frozen=True)
class Sample:
    """An answer: its tokens up to and including a stop token, or the cut."""

    tokens: list[int]
    logprobs: list[float]
    """Of each token under softmax(logits / temperature), before top-k and top-p."""
    finished: bool
    """Ended by a stop token."""


@dataclass(frozen=True)
class Completion:
    """A sample with its text."""

    text: str
    tokens: list[int]
    logprobs: list[float]
    finished: bool


@dataclass
class Episode:
    """A prompt and its answer so far.

    Attributes:
        index: its place among the prompts.
        prompt: token ids.
        seed: decides the answer.
        draws: the most tokens it may have.
    """

    index: int
    prompt: Sequence[int]
    seed: int
    draws: int
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)

    @property
    def length(self) -> int:
        """Tokens of prompt and answer."""
        return len(self.prompt) + len(self.tokens)

    @cached_property
    def uniforms(self) -> list[float]:
        """A number for each token to be drawn."""
        return uniforms(self.seed, self.draws)

    def add(self, token: int, logprob: float) -> None:
        """Take the next token.

        Raises:
            RuntimeError: its log-probability is not finite.
        """
        if not math.isfinite(logprob):
            raise RuntimeError(
                f"episode {self.index} has non-finite logits after {len(self.tokens)} tokens of "
                "its answer: the weights have diverged, or the dtype overflows"
            )
        self.tokens.append(token)
        self.logprobs.append(logprob)

    def ended(self, sampling: Sampling) -> Sample | None:
        """The answer, if its newest token is its last."""
        finished = self.tokens[-1] in sampling.stop_tokens
        if finished or len(self.tokens) == self.draws:
            return Sample(self.tokens, self.logprobs, finished)
        return None


def distinct_prompts(episodes: Iterable[Episode]) -> tuple[list[tuple[int, ...]], list[int]]:
    """Each prompt once, as it is read whatever the number of its answers; each episode's place."""
    places: dict[tuple[int, ...], int] = {}
    rows = [places.setdefault(tuple(episode.prompt), len(places)) for episode in episodes]
    return list(places), rows


def left_padded(prompts: Sequence[Sequence[int]]) -> list[list[int]]:
    """Rows that end together, filled with token 0, which a mask is to hide."""
    width = max(map(len, prompts))
    return [[0] * (width - len(prompt)) + list(prompt) for prompt in prompts]


def token_positions(width: int, lengths_B: Tensor) -> Tensor:
    """How far each column lies past its row's first token, [B, W]; padding is below 0."""
    return torch.arange(width, device=lengths_B.device) - (width - lengths_B[:, None])
