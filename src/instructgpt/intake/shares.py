"""Steps 4 to 6: how many of a user's prompts stay, which split and which stage each one serves."""

from collections.abc import Iterable, Mapping
from typing import Literal

from instructgpt.data.splits import owner_of, side_of
from instructgpt.errors import UserError
from instructgpt.intake.entry import Entry
from instructgpt.intake.keyed import draw

Per = Literal["user", "org"]
SPLITS = ("train", "valid", "test")
USES = ("sft", "reward", "ppo")
PAPER_CUSTOMERS = {"sft": 1430, "reward": 26584, "ppo": 31144}
PAPER_LABELERS = {"sft": 11295, "reward": 6623, "ppo": 0}
"""Table 6: prompts of the training sets, by who wrote them."""


def over_the_cap(entries: Iterable[Entry], cap: int, per: Per, key: bytes) -> set[str]:
    """The keys of those that one too many comes from: of each user's (or organization's) prompts,
    the first `cap` in an order that the secret key decides stay. Prompts of nobody all stay, and
    labelers', too: they were written for the data set, and the paper caps its customers.

    Args:
        entries: the prompts.
        cap: how many stay of each.
        per: of whom.
        key: the store's.
    """
    by_owner: dict[str, list[tuple[int, str]]] = {}
    for entry in entries:
        owner = entry.org or entry.user if per == "org" else entry.user
        if owner and not entry.is_labelers:
            by_owner.setdefault(owner, []).append((draw(key, "cap", entry.key), entry.key))
    return {key for own in by_owner.values() for _, key in sorted(own)[cap:]}


def split_of(entry: Entry, parts: Mapping[str, int], per: Per, key: bytes) -> str:
    """The split of a prompt, by its user or organization.

    Args:
        entry: the prompt.
        parts: how many of so many parts each split has.
        per: whose prompts stay together.
        key: the store's.
    """
    owner = owner_of(entry.id, entry.user, entry.org if per == "org" else None)
    return side_of(draw(key, "split", owner), parts)


def use_of(
    entry: Entry,
    split: str,
    customers: Mapping[str, int],
    labelers: Mapping[str, int],
    key: bytes,
) -> str:
    """Which stage a prompt serves; none where it is for tests.

    Args:
        entry: the prompt.
        split: its own.
        customers: how many of so many parts of customers' prompts serve each stage.
        labelers: the same of labelers' prompts.
        key: the store's.
    """
    if split == "test":
        return ""
    if entry.pairs:  # it is demonstrations
        return "sft"
    return side_of(draw(key, "use", entry.id), labelers if entry.is_labelers else customers)


def parts_of(text: str, names: tuple[str, ...], flag: str) -> dict[str, int]:
    """The parts that a flag gives, as in `80/10/10`.

    >>> parts_of("80/10/10", SPLITS, "splits")
    {'train': 80, 'valid': 10, 'test': 10}

    Raises:
        UserError: they are no whole numbers, one for each name, of which one is more than 0.
    """
    words = text.split("/")
    numbers = [int(word) if word.strip().isdecimal() else -1 for word in words]
    if len(words) != len(names) or min(numbers) < 0 or not sum(numbers):
        raise UserError(
            f"--{flag} {text}: are no parts of {', '.join(names)}; give {len(names)} whole "
            f"numbers, as in --{flag} {'/'.join(['80', '10', '10'][: len(names)])}"
        )
    return dict(zip(names, numbers, strict=True))
