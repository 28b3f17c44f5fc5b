"""What can be set for simulated labelers."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from instructgpt.run.config import Config
from instructgpt.run.inputs import Answers

PASSWORD = re.compile("//[^/@]*:[^/@]+@")
NOISE = 0.13
"""Standard deviation of a judgement on the rubric's scale 0..1, calibrated so that two training
labelers agree on 73 % of pairs (docs/simulated-labelers.md; the paper's: 72.6 %, section 3.4).
"""
TASTE = 0.6
"""Standard deviation of the logarithm of a labeler's weights."""


def _without_password(url: str) -> str:
    if PASSWORD.search(url):
        raise ValueError(
            "a password would stand in the run's files; put it into PGPASSWORD or ~/.pgpass"
        )
    return url


StoreUrl = Annotated[str, AfterValidator(_without_password)]
"""The URL of a store, in a configuration; empty for none."""


class SimulatedLabelers(Config):
    """Who the simulated labelers are, and who of them ranks what."""

    labelers: int = Field(6, ge=1, le=1000, description="how many labelers the group has")
    per_prompt: int = Field(3, ge=1, description="how many of them rank each prompt's answers")
    noise: float = Field(
        NOISE, ge=0, description="standard deviation of a judgement, on the rubric's scale 0 to 1"
    )
    taste: float = Field(
        TASTE, ge=0, description="standard deviation of the logarithm of a labeler's weights"
    )
    seed: int = Field(0, ge=0, description="decides who ranks what, the order shown, and the noise")

    @model_validator(mode="after")
    def _check_labelers(self) -> "SimulatedLabelers":
        if self.per_prompt > self.labelers:
            raise ValueError(
                f"{self.labelers} labelers cannot rank a prompt {self.per_prompt} times "
                "(per_prompt); give more labelers"
            )
        return self


class LabelConfig(SimulatedLabelers):
    """Configuration of `label simulate`."""

    data: Answers = Field(description="answers to rank, as `sample` writes them")
    out: str = Field(description="run directory; the rankings go to OUT/rankings.jsonl")
    group: Literal["training", "heldout"] = Field(
        "training",
        description="training: labelers for a reward model; heldout: judges with other tastes",
    )
    db: StoreUrl = Field(
        "",
        description="a store through which they rank: sqlite:///FILE or "
        "postgresql+psycopg://HOST/NAME (empty: none)",
    )
    on_error: Literal["stop", "skip"] = Field(
        "stop", description="what a bad record does: stop, or skip and say so"
    )
