"""Step 3: prompts that an older one stands for (section 3.2, appendix A.2).

The oldest come first, and a prompt is dropped where one that was kept is like it: equal, or with a
long common prefix, or nearly the same words. So whoever was dropped is like the one that stands for
it, and what is kept does not depend on the order in which prompts came.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from instructgpt.errors import UserError
from instructgpt.intake.entry import LEAST_PREFIX, Entry
from instructgpt.intake.ranges import Oldest, Painted, common_prefix, stretches

LEAST_TENTHS = 9
"""Tenths of the shorter prompt that are a long common prefix, from `LEAST_PREFIX` characters (ours;
the paper gives no number)."""
EQUAL, SAME_ID, PREFIX, NEAR = "equal", "same id", "common prefix", "near duplicate"
WORDS = 3
"""Words of a shingle. With five, one changed word in twenty already goes below 0.8."""
HASHES, BANDS = 128, 16
"""Of MinHash: 16 bands of 8 find 99 % of the pairs that share 0.8 of their shingles."""

Texts = Callable[[Sequence[str]], Iterable[tuple[str, str]]]
"""Keys to keys and normal forms, in any order."""


class Stands(NamedTuple):
    """Who stands for a dropped prompt, and why."""

    key: str
    reason: str


def duplicates(entries: Iterable[Entry], texts: Texts, near: float = 0) -> dict[str, Stands]:
    """Who of these prompts is dropped, by key.

    Args:
        entries: the prompts, in any order.
        texts: gives the normal forms of some.
        near: the least share of shingles of near duplicates; 0 looks for none.
    """
    ordered = sorted(entries, key=lambda entry: entry.age)
    found: dict[str, Stands] = {}
    firsts: dict[bytes | str, str] = {}
    for entry in ordered:
        if stands := firsts.get(entry.same):
            found[entry.key] = Stands(stands, EQUAL)
        elif stands := firsts.get(entry.id):  # another text under the same name
            found[entry.key] = Stands(stands, SAME_ID)
        else:
            firsts[entry.same] = firsts[entry.id] = entry.key
    left = [entry for entry in ordered if entry.key not in found]
    found |= _by_prefix(left, texts)
    if near:
        left = [entry for entry in left if entry.key not in found]
        found |= _near(left, texts, near)
    return {key: Stands(_last(found, stands.key), stands.reason) for key, stands in found.items()}


def _last(found: dict[str, Stands], key: str) -> str:
    """Who stands for a prompt in the end: for its older equal, too, another may stand."""
    while key in found:
        key = found[key].key
    return key


def _by_prefix(ordered: Sequence[Entry], texts: Texts) -> dict[str, Stands]:
    """Those with a long common prefix; only texts that begin like another are fetched."""
    once: set[bytes] = set()
    often: set[bytes] = set()
    for entry in ordered:
        (often if entry.start in once else once).add(entry.start)
    keys = [entry.key for entry in ordered if entry.start and entry.start in often]
    by_key = dict(texts(keys))
    found = prefix_duplicates([by_key[key] for key in keys])
    return {keys[young]: Stands(keys[old], PREFIX) for young, old in found.items()}


def prefix_duplicates(texts: Sequence[str]) -> dict[int, int]:
    """Which texts have a long prefix in common with an older one that is kept, and with which.

    Two are alike if they share `LEAST_PREFIX` characters and `LEAST_TENTHS` tenths of the shorter
    one. In a sorted list, those like a text that is the shorter one are a stretch around it.

    Args:
        texts: normal forms, the oldest first.

    Returns:
        Dropped → the oldest kept one that is like it, both by their place.
    """
    order = sorted(range(len(texts)), key=lambda number: texts[number])
    shared = [common_prefix(texts[one], texts[other]) for one, other in itertools.pairwise(order)]
    wanted = [max(LEAST_PREFIX, -(-LEAST_TENTHS * len(texts[number]) // 10)) for number in order]
    spans = stretches(shared, wanted)
    places = [0] * len(order)
    for place, number in enumerate(order):
        places[number] = place
    kept, claimed = Oldest(len(order)), Painted(len(order))
    found: dict[int, int] = {}
    for number, place in enumerate(places):
        # One of the two is the shorter: the kept one in this stretch, or this one in that of a kept
        if len(texts[number]) < LEAST_PREFIX:
            continue
        both = (kept.within(*spans[place]), claimed.owner(place))
        stands = min((one for one in both if one is not None), default=None)
        if stands is None:
            kept.add(place, number)
            claimed.claim(*spans[place], number)
        else:
            found[number] = stands
    return found


def shingles(text: str) -> frozenset[str]:
    """The runs of `WORDS` words in a normal form; all of it, if it has fewer.

    >>> sorted(shingles("one two three four"))
    ['one two three', 'two three four']
    """
    words = text.split()
    runs = range(max(1, len(words) - WORDS + 1))
    return frozenset(" ".join(words[start : start + WORDS]) for start in runs)


def similarity(one: frozenset[str], other: frozenset[str]) -> float:
    """The Jaccard similarity: what two sets share, of all they have."""
    return len(one & other) / len(one | other)


def _near(ordered: Sequence[Entry], texts: Texts, least: float) -> dict[str, Stands]:
    """Those whose shingles an older kept prompt shares; MinHash finds whom to compare with.

    Raises:
        UserError: rensa is not installed.
    """
    try:
        from rensa import RMinHash, RMinHashLSH  # type: ignore[attr-defined]
    except ModuleNotFoundError:
        raise UserError(
            "--near_duplicates needs rensa; run: pip install 'instructgpt[intake]'"
        ) from None
    by_key = dict(texts([entry.key for entry in ordered]))
    index = RMinHashLSH(threshold=least, num_perm=HASHES, num_bands=BANDS)
    found: dict[str, Stands] = {}
    for number, entry in enumerate(ordered):
        own = shingles(by_key[entry.key])
        sketch = RMinHash(num_perm=HASHES, seed=0)
        sketch.update(sorted(own))
        for other in sorted(index.query(sketch)):
            if similarity(own, shingles(by_key[ordered[other].key])) >= least:
                found[entry.key] = Stands(ordered[other].key, NEAR)
                break
        else:
            index.insert(number, sketch)
    return found


def others_of(found: dict[str, Stands]) -> Iterator[tuple[str, list[str]]]:
    """Everyone that stands for others, with these."""
    by_key: dict[str, list[str]] = {}
    for key, stands in found.items():
        by_key.setdefault(stands.key, []).append(key)
    yield from by_key.items()
