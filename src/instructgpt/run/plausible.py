"""Settings that go together and yet are hardly meant: said, not refused."""

from collections.abc import Sized

from instructgpt.run.progress import say
from instructgpt.run.schedule import linear_warmup


def say_unreached_peak(warmup: int, length: int, unit: str) -> None:
    """Say that the warm-up outlasts a training of `length` steps or iterations (the unit); 0 where
    the length is not known yet.
    """
    if length and warmup >= length:
        reached = linear_warmup(length - 1, warmup)
        say(
            f"warmup {warmup} outlasts the training of {length:,} {unit}, so the learning rate "
            f"comes to {reached:.0%} of its peak; lower warmup to reach it"
        )


def say_large_batch(batch_size: int, items: Sized, noun: str) -> None:
    """Say that a batch asks for more items (the noun) than there are; none where they are not known
    yet.
    """
    if len(items) and batch_size > len(items):
        say(f"batch_size {batch_size} is more than the {len(items):,} {noun} there are")
