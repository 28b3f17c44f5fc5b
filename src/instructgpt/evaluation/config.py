"""What can be set when two policies are compared."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from instructgpt.data.formats import format_key
from instructgpt.run.config import LENGTHS, Config, Device
from instructgpt.run.inputs import Mendable, Policies, Policy, Prompts, Prose, Reads


class CompareConfig(Config):
    """Configuration of `eval compare`."""

    aliases: ClassVar = LENGTHS

    a: Policy = Field(description="policy that is measured")
    b: Policy = Field(description="policy it is measured against")
    base: Policy = Field("", description="model that training began with, to measure against b too")
    others: Policies = Field((), description="further policies to measure against b")
    data: Prompts = Field(description="prompts (several files: repeat the flag)")
    judge: Annotated[str, Reads("judge"), Mendable("end")] = Field(
        "",
        description="who judges: a reward model's directory; simulated (held-out simulated "
        "labelers); rule (the written rule of the tiny pipeline)",
    )
    prose: Prose = Field(
        (), description="text on which each policy's language-model loss is measured"
    )
    out: str = Field(description="run directory; the figures go to OUT/evaluation.json")
    format: str = format_key("prompts")
    split: str = Field(
        "", description="use only the prompts whose `split` field says this (empty: all)"
    )
    use: str = Field(
        "", description="use only the prompts whose `use` field says this (empty: all)"
    )
    on_error: Literal["stop", "skip"] = Field(
        "stop", description="what a bad or over-long prompt does: stop, or skip and count"
    )
    samples: int = Field(1, ge=1, description="answers per prompt and policy")
    response_length: int = Field(128, ge=1, description="longest answer in tokens")
    temperature: float = Field(1.0, ge=0, description="of both policies")
    seed: int = Field(0, ge=0, description="decides the samples")
    template: str = Field(
        "auto",
        description="how a prompt becomes text: auto, chat, plain, or a pattern with {prompt}",
    )
    device: Device = Field("auto", description="cpu, cuda, cuda:N, or auto")
    dtype: Literal["float32", "bfloat16", "auto"] = Field(
        "float32", description="precision of the forward pass"
    )
    rollout_slots: int = Field(
        64, ge=1, description="answers that grow at a time; a hardware setting"
    )
    resume: Literal["auto", "never"] = Field(
        "auto", description="auto: keep a finished comparison; never: refuse"
    )

    @property
    def further(self) -> list[str]:
        """All that is measured besides a and b, in the order of training."""
        return [*([self.base] if self.base else []), *self.others]
