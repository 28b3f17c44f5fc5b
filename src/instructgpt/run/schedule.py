"""Learning-rate schedules: what the peak learning rate is multiplied by at each step.

`step` counts updates (in PPO, iterations) from 0, as in torch's `LambdaLR`: the first of `total`
updates uses step 0 and the last uses step total - 1. The value at `total` is approached, not used.
"""

import math
from typing import Literal

from instructgpt.errors import UserError

Schedule = Literal["constant", "cosine", "linear"]


def multiplier(
    name: Schedule,
    step: int,
    total: int,
    warmup: int = 0,
    floor: float = 0.1,
    start: float = 0.1,
) -> float:
    """The named schedule times a linear warm-up over `warmup` steps; only the cosine has a `floor`.

    >>> multiplier("constant", 5, total=500, warmup=10)  # InstructGPT C.4: 0.1 + 0.9 · 5 / 10
    0.55
    >>> multiplier("cosine", 50, total=100)  # C.1 and C.2: halfway from 1 to 0.1
    0.55
    """
    assert 0 <= step <= total, f"step {step} is outside a schedule of {total} steps"
    match name:
        case "constant":
            decay = constant()
        case "cosine":
            decay = cosine(step, total, floor)
        case "linear":
            decay = linear(step, total)
    return decay * linear_warmup(step, warmup, start)


def scheduled(
    name: Schedule, step: int, total: int, warmup: int = 0, floor: float = 0.1, *, length: str
) -> float:
    """`multiplier` for a training loop, which may be a user's own and go on as long as they like:
    beyond `total` the cosine stays at its floor.

    Args:
        name: as in `multiplier`, and so are `step`, `warmup` and `floor`.
        total: 0 where the length of the training is not known.
        length: what gives it, for the sentence.

    Raises:
        UserError: it decays over an unknown length, or has come down to 0.
    """
    if name != "constant" and not total:
        raise UserError(
            f"the {name} schedule decays over the whole training, whose length is not known: give "
            f"{length}, or the schedule 'constant'"
        )
    if name == "linear" and step >= total:
        raise UserError(
            f"the linear schedule has come down to 0 after {total:,} steps: give a greater "
            f"{length}, or the schedule 'constant'"
        )
    total = max(step, 1) if name == "constant" else total
    return multiplier(name, min(step, total), total, warmup, floor)


def constant() -> float:
    """1 at every step (InstructGPT C.4, after the warm-up)."""
    return 1.0


def cosine(step: int, total: int, floor: float = 0.1) -> float:
    """floor + (1 - floor) · (1 + cos(π · step / total)) / 2: from 1 to 10 % (InstructGPT C.1, C.2).

    >>> [round(cosine(step, 4), 4) for step in range(5)]
    [1.0, 0.8682, 0.55, 0.2318, 0.1]
    """
    return floor + (1 - floor) * (1 + math.cos(math.pi * step / total)) / 2


def linear(step: int, total: int) -> float:
    """1 - step / total: from 1 to 0 (Ziegler 2019; Stiennon 2020, appendix B.1).

    >>> [linear(step, 4) for step in range(5)]
    [1.0, 0.75, 0.5, 0.25, 0.0]
    """
    return 1 - step / total


def linear_warmup(step: int, warmup_steps: int, start: float = 0.1) -> float:
    """start + (1 - start) · step / warmup_steps, then 1 (InstructGPT C.4: 10 iterations from 0.1).

    >>> [round(linear_warmup(step, 3), 4) for step in range(5)]
    [0.1, 0.4, 0.7, 1.0, 1.0]
    """
    return start + (1 - start) * step / warmup_steps if step < warmup_steps else 1.0
