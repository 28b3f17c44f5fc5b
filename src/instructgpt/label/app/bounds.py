"""How many letters a field takes: what is checked is what the pages say."""

from typing import NamedTuple

from instructgpt.store.accounts import LONGEST_NAME


class Bounds(NamedTuple):
    """The longest text of each."""

    name: int = LONGEST_NAME
    password: int = 1_000
    note: int = 10_000
    order: int = 1_000
    skip: int = 1_000
    guidelines: int = 100_000


LONGEST = Bounds()
