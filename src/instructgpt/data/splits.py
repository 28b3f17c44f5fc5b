"""What is trained on, and what is held out: as the records say, or by a draw of their prompts."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

from instructgpt.data.records import Prompt
from instructgpt.errors import UserError
from instructgpt.run.seeds import derive

HELD_OUT = "heldout"
"""The split whose answers only the held-out labelers rank; nothing is trained on them."""
STANDS_FOR = {HELD_OUT: frozenset({HELD_OUT, "valid", "test"})}
"""Splits that one name covers: of a snapshot's, `valid` and `test` are held out."""
HELD_OUT_SHARE = 5
"""One in so many prompts is held out, where their records name no split."""


class HasSplit(Protocol):
    """Whatever may be held out."""

    @property
    def split(self) -> str | None:
        """Where it stands."""
        ...


class HasPrompt(Protocol):
    """Whatever belongs to a prompt."""

    @property
    def prompt_id(self) -> str:
        """Which one."""
        ...


R = TypeVar("R", bound=HasSplit)
P = TypeVar("P", bound=HasPrompt)


def split_by_field(records: Iterable[R], split: str) -> tuple[list[R], list[R]]:
    """The records whose `split` field does not say this, and those where it does; `heldout` is said
    by `valid` and `test`, too.
    """
    names = STANDS_FOR.get(split, {split})
    sides: tuple[list[R], list[R]] = [], []
    for record in records:
        sides[record.split in names].append(record)
    return sides


def split_by_prompt(items: Sequence[P], fraction: float, *, seed: int) -> tuple[list[P], list[P]]:
    """What is trained on, and a share that is held out; all of a prompt fall on the same side.

    Raises:
        UserError: one side is empty.
    """
    ids = sorted({c.prompt_id for c in items}, key=lambda i: derive(seed, f"reward/split/{i}"))
    held = set(ids[: round(len(ids) * fraction)])
    train = [c for c in items if c.prompt_id not in held]
    test = [c for c in items if c.prompt_id in held]
    if fraction and not (train and test):
        raise UserError(
            f"eval_fraction {fraction} of {len(ids)} prompts leaves one side empty; give more "
            f"rankings or change it"
        )
    return train, test


def side_of(number: int, parts: Mapping[str, int]) -> str:
    """On which side a number falls that was drawn from many.

    Args:
        number: whole, not negative.
        parts: the sides, and how many of so many parts fall on each.

    >>> [side_of(number, {"heldout": 1, "train": 2}) for number in (0, 1, 2, 3)]
    ['heldout', 'train', 'train', 'heldout']
    """
    left = number % sum(parts.values())
    for side, part in parts.items():
        if left < part:
            return side
        left -= part
    raise AssertionError(parts)


def owner_of(id: str, user_id: str | None, org_id: str | None = None) -> str:
    """By whom a prompt is put on a side: its organization where one is given, else its user; a
    prompt of nobody by its own id.

    >>> owner_of("p1", "ann"), owner_of("p1", "ann", "acme"), owner_of("p1", None)
    ('user/ann', 'org/acme', 'p1')
    """
    if org_id:
        return f"org/{org_id}"
    return f"user/{user_id}" if user_id else id


def with_splits(
    prompts: Iterable[Prompt],
    draw: Callable[[str], int] = lambda owner: derive(0, owner),
    parts: Mapping[str, int] = {HELD_OUT: 1, "train": HELD_OUT_SHARE - 1},
) -> list[Prompt]:
    """The prompts with a split each, by their users, or by their own ids where they have none:
    nobody is on two sides, and what is added later moves none.

    Args:
        prompts: in any order.
        draw: a number for an owner; a store draws it with its secret key.
        parts: the sides.
    """
    return [
        prompt.model_copy(
            update={"split": side_of(draw(owner_of(prompt.id, prompt.user_id)), parts)}
        )
        for prompt in prompts
    ]
