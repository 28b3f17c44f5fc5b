"""Who labels where there are no people: simulated labelers, and what they look at."""

from typing import TYPE_CHECKING

from instructgpt._lazy import lazy

if TYPE_CHECKING:
    from instructgpt.label.audit import checks_outside_the_rubric as checks_outside_the_rubric
    from instructgpt.label.rubric import Quality as Quality
    from instructgpt.label.rubric import quality as quality
    from instructgpt.label.simulate import Labeler as Labeler
    from instructgpt.label.simulate import SimulatedJudge as SimulatedJudge
    from instructgpt.label.simulate import held_out_labelers as held_out_labelers
    from instructgpt.label.simulate import training_labelers as training_labelers

__all__ = [
    "Labeler",
    "Quality",
    "SimulatedJudge",
    "checks_outside_the_rubric",
    "held_out_labelers",
    "quality",
    "training_labelers",
]

__getattr__, __dir__ = lazy(
    __name__,
    {
        "Labeler": "simulate",
        "Quality": "rubric",
        "SimulatedJudge": "simulate",
        "checks_outside_the_rubric": "audit",
        "held_out_labelers": "simulate",
        "quality": "rubric",
        "training_labelers": "simulate",
    },
)
