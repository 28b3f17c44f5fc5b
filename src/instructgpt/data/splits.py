"""What is trained on, and what is held out: as the records say, or by a draw of their prompts."""

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

from instructgpt.data.records import Candidates, Prompt
from instructgpt.errors import UserError
from instructgpt.run.seeds import derive

HELD_OUT = "heldout"
"""The split whose answers only the held-out labelers rank; nothing is trained on them."""
HELD_OUT_SHARE = 5
"""One in so many prompts is held out, where their records name no split."""


class HasPrompt(Protocol):
    """Whatever belongs to a prompt."""

    @property
    def prompt_id(self) -> str:
        """Which one."""
        ...


R = TypeVar("R", bound=Prompt | Candidates)
P = TypeVar("P", bound=HasPrompt)


def split_by_field(records: Iterable[R], split: str) -> tuple[list[R], list[R]]:
    """The records whose `split` field does not say this, and those where it does."""
    sides: tuple[list[R], list[R]] = [], []
    for record in records:
        sides[record.split == split].append(record)
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


def with_splits(prompts: Iterable[Prompt]) -> list[Prompt]:
    """The prompts with a split each, by its id alone: what is added later moves none."""
    return [
        prompt.model_copy(
            update={"split": "train" if derive(0, prompt.id) % HELD_OUT_SHARE else HELD_OUT}
        )
        for prompt in prompts
    ]
