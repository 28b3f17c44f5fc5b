"""Word F1 of QuAC, as its official scorer (Choi et al. 2018): several people have answered."""

from collections.abc import Sequence
from statistics import fmean
from typing import TypeVar

from instructgpt.evaluation.metrics.squad import f1, normalized

_T = TypeVar("_T")
NO_ANSWER = "CANNOTANSWER"
"""What stands in the set where a question has no answer."""
LEAST_HUMAN_F1 = 0.4
"""The official figure leaves out questions on whose answer people agree less than this."""


def spans(answers: Sequence[str]) -> list[str]:
    """The references that count: where at least half say that there is no answer, only this.

    >>> spans(["x", "CANNOTANSWER", "y"]), spans(["x", "CANNOTANSWER"])
    (['x', 'y'], ['CANNOTANSWER'])
    """
    found = [answer for answer in answers if answer != NO_ANSWER]
    return found if len(found) > len(answers) - len(found) else [NO_ANSWER]


def human_f1(answers: Sequence[str]) -> float:
    """How well each answer agrees with the best of the others: the mean; 1 for a single one."""
    own = spans(answers)
    if len(own) == 1:
        return 1.0
    return fmean(max(_f1(one, other) for other in _others(own, i)) for i, one in enumerate(own))


def quac_f1(text: str, answers: Sequence[str]) -> float:
    """The highest F1 over the references, averaged over leaving each of several out.

    So a text is measured as a person is, who cannot be compared with oneself. `CANNOTANSWER` is
    equal to itself alone.

    >>> quac_f1("the red fox", ["red fox", "fox"])  # without the first 2/3, without the second 1
    0.8333333333333333
    """
    own = spans(answers)
    each = [_f1(text, one) for one in own]
    if len(each) == 1:
        return each[0]
    return fmean(max(_others(each, i)) for i in range(len(each)))


def _f1(text: str, reference: str) -> float:
    if reference == NO_ANSWER:
        return float(text == NO_ANSWER)
    return f1(text, [reference]) if normalized(reference) else 0.0


def _others(values: Sequence[_T], place: int) -> list[_T]:
    return [*values[:place], *values[place + 1 :]]
