"""Who labels where there are no people: simulated labelers, and what they look at."""

from typing import TYPE_CHECKING

from instructgpt._lazy import lazy

if TYPE_CHECKING:
    from instructgpt.label.simulated.audit import (
        checks_outside_the_rubric as checks_outside_the_rubric,
    )
    from instructgpt.label.simulated.labelers import Labeler as Labeler
    from instructgpt.label.simulated.labelers import SimulatedJudge as SimulatedJudge
    from instructgpt.label.simulated.labelers import held_out_labelers as held_out_labelers
    from instructgpt.label.simulated.labelers import training_labelers as training_labelers
    from instructgpt.label.simulated.rubric import Quality as Quality
    from instructgpt.label.simulated.rubric import quality as quality

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
        "Labeler": "simulated.labelers",
        "Quality": "simulated.rubric",
        "SimulatedJudge": "simulated.labelers",
        "checks_outside_the_rubric": "simulated.audit",
        "held_out_labelers": "simulated.labelers",
        "quality": "simulated.rubric",
        "training_labelers": "simulated.labelers",
    },
)
