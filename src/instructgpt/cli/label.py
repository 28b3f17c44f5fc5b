"""`label simulate`: simulated labelers rank sampled answers."""

from typing import Annotated

from cyclopts import Parameter

from instructgpt.cli.flags import Layers, flags_of, given, load
from instructgpt.cli.stages import Files
from instructgpt.label.config import LabelConfig

LabelFlags = flags_of(LabelConfig)


def simulate(
    candidates: Annotated[
        str | None, Parameter(help="the answers, as `sample` writes them")
    ] = None,
    *configs: Files,
    layers: Layers | None = None,
    flags: Annotated[LabelFlags | None, Parameter(name="*")] = None,  # type: ignore[valid-type]
) -> None:
    """Simulated labelers rank sampled answers; the rankings go to OUT/rankings.jsonl."""
    from instructgpt.label.stage import simulate_labels

    flags = LabelFlags(**{**given(flags), **({"data": [candidates]} if candidates else {})})
    if resolved := load(LabelConfig, "label", configs, layers, flags):
        simulate_labels(resolved)
