"""Prompts that begin alike: few-shot examples or an instruction stand before each of them, and are
read once.
"""

from collections.abc import Sequence
from itertools import takewhile
from typing import NamedTuple

SHORTEST = 128
"""Tokens from which on it is worth a forward of its own. What begins alike for less, such as a chat
template's system turn, is read with each prompt.
"""


class Beginning(NamedTuple):
    """What some prompts begin with.

    Attributes:
        tokens: those that they share; each goes on with one more at least.
        places: which prompts.
    """

    tokens: tuple[int, ...]
    places: list[int]


def beginnings(prompts: Sequence[tuple[int, ...]]) -> list[Beginning]:
    """The beginnings to read once, of two prompts or more each; none where it saves too little.

    >>> examples = tuple(range(200))
    >>> [(len(b.tokens), b.places) for b in beginnings([(*examples, 7), (*examples, 8, 9)])]
    [(200, [0, 1])]
    >>> beginnings([(1, 2, 3), (1, 2, 4)])
    []
    """
    alike: dict[tuple[int, ...], list[int]] = {}
    for place, prompt in enumerate(prompts):
        if len(prompt) > SHORTEST:
            alike.setdefault(prompt[:SHORTEST], []).append(place)
    found = []
    for places in alike.values():
        if len(places) > 1:
            own = [prompts[place] for place in places]
            found.append(Beginning(_common(own), places))
    width = max(map(len, prompts))
    read = sum(len(one.tokens) for one in found) + len(prompts) * left_to_read(prompts, found)
    return found if 4 * read < 3 * len(prompts) * width else []


def _common(prompts: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """What all begin with, short of the last token of any."""
    first, last = min(prompts), max(prompts)  # in the order of a dictionary: all others are between
    shared = takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    return tuple(token for token, _ in shared)[: min(map(len, prompts)) - 1]


def left_to_read(prompts: Sequence[tuple[int, ...]], found: Sequence[Beginning]) -> int:
    """How many tokens of its end each prompt is read for, as all are in one forward."""
    shared = {place: len(one.tokens) for one in found for place in one.places}
    return max(len(prompt) - shared.get(place, 0) for place, prompt in enumerate(prompts))
