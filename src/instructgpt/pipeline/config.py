"""What can be set in sampling for the labelers, and in ranking."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from instructgpt.data.formats import format_key
from instructgpt.label.simulated.config import SimulatedLabelers, StoreUrl
from instructgpt.run.config import LENGTHS, Config, Device
from instructgpt.run.inputs import Answers, Mendable, Policy, Prompts, Rankings


class SampleConfig(Config):
    """Configuration of the `sample` command."""

    aliases: ClassVar = LENGTHS

    model: Policy = Field(description="policy to sample from")
    data: Prompts = Field(description="prompts (several files: repeat the flag)")
    out: str = Field(description="run directory; the answers go to OUT/candidates.jsonl")
    format: str = format_key("prompts")
    split: str = Field(
        "", description="use only the prompts whose `split` field says this (empty: all)"
    )
    use: str = Field(
        "", description="use only the prompts whose `use` field says this (empty: all)"
    )
    k: int = Field(4, ge=1, description="answers per prompt (the paper's labelers ranked 4 to 9)")
    k_max: int = Field(
        0, ge=0, description="draw each prompt's number from k to this (0: always k)"
    )
    response_length: int = Field(128, ge=1, description="longest answer in tokens")
    temperature: float = Field(1.0, ge=0, description="0 takes the likeliest token")
    top_p: float = Field(1.0, gt=0, le=1, description="keep the likeliest tokens up to this mass")
    top_k: int = Field(0, ge=0, description="keep so many likeliest tokens (0: all)")
    seed: int = Field(
        0, ge=0, description="an answer depends on this, its prompt's place and its number"
    )
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
        "auto", description="auto: go on where there is a run; never: refuse"
    )
    on_error: Literal["stop", "skip"] = Field(
        "stop", description="what a bad or over-long prompt does: stop, or skip and count"
    )

    @model_validator(mode="after")
    def _check(self) -> "SampleConfig":
        if 0 < self.k_max < self.k:
            raise ValueError(
                f"k_max {self.k_max} is less than k {self.k}: numbers of answers are drawn from k "
                "to k_max, so raise it, or set it to 0"
            )
        return self


class RankConfig(SimulatedLabelers):
    """Configuration of the `rank` stage."""

    data: Answers = Field(
        (), description="answers to rank (a pipeline takes them from its sample stage)"
    )
    rankings: Annotated[Rankings, Mendable("end")] = Field(
        (), description="rankings that people made; then nothing is ranked here"
    )
    by: Literal["people", "me", "web", "simulated", "rule"] = Field(
        "people",
        description="people: wait for `rankings`; me: ask in this terminal; web: ask in a browser "
        "on this machine; simulated: the simulated labelers; rule: the written rule of "
        "instructgpt.label.simulated.rule",
    )
    store: StoreUrl = Field(
        "",
        description="a store in which people, or the simulated labelers, rank: sqlite:///FILE or "
        "postgresql+psycopg://HOST/NAME (empty: none)",
    )
    prompts: Annotated[int, Mendable("end")] = Field(
        12, ge=1, description="by me or web: how many prompts to ask about"
    )
    port: int = Field(
        8765, ge=0, le=65535, description="by web: the port of 127.0.0.1; 0 for any that is free"
    )
    out: str = Field(description="run directory; the rankings go to OUT/rankings.jsonl")

    @model_validator(mode="after")
    def _check_store(self) -> "RankConfig":
        if self.store and self.by not in ("people", "simulated"):
            raise ValueError(f"by {self.by} ranks without a store; take out `store`")
        if self.store and self.rankings:
            raise ValueError("people rank in `store` or in the files of `rankings`; give one")
        return self
