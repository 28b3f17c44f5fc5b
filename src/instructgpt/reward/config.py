"""What can be set in reward modelling; the defaults are appendix C.2's."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from instructgpt.data.formats import format_key
from instructgpt.run.config import HeldOut, StageConfig
from instructgpt.run.inputs import Demonstrations, Mendable, Rankings, Reads


class RewardConfig(StageConfig):
    """Configuration of the reward-model stage."""

    model: Annotated[str, Reads("trunk")] = Field(
        description="policy whose trunk gets a scalar head, or a reward model to train on"
    )
    data: Rankings = Field(description="rankings (several files: repeat the flag)")
    format: str = format_key("rankings")
    eval_data: Annotated[Rankings, Mendable("validation")] = Field(
        (), description="held-out rankings"
    )
    eval_fraction: float = Field(
        0.0, ge=0, lt=1, description="without eval_data: hold out this share of the prompts"
    )
    eval_split: str = Field(
        "", description="hold out the rankings in `data` whose `split` field says this"
    )
    demonstrations: Annotated[Demonstrations, Mendable("end")] = Field(
        (), description="demonstrations whose mean score becomes 0"
    )
    epochs: int = Field(1, ge=1, description="passes over the rankings (more overfit quickly)")
    max_steps: int = Field(
        0, ge=0, description="stop after so many optimizer steps (0: after the epochs)"
    )
    batch_size: int = Field(
        64, ge=1, description="prompts per optimizer step, each with all its pairs"
    )
    learning_rate: float = Field(9e-6, gt=0, description="peak learning rate")
    schedule: Literal["cosine", "linear", "constant"] = Field(
        "cosine", description="learning-rate decay, per step"
    )
    min_lr_ratio: float = Field(
        0.1, ge=0, le=1, description="the cosine ends at this share of the peak"
    )
    warmup: int = Field(0, ge=0, description="warm-up steps")
    depth: float = Field(
        1.0, gt=0, le=1, description="share of the policy's layers to copy, from the first on"
    )
    fit_head: bool = Field(
        False,
        description="first fit the scalar head to convergence on the frozen trunk (not in C.2)",
    )
    head_l2: float = Field(
        0.1, ge=0, description="fit_head: L2 penalty, for states scaled to variance 1"
    )
    shared_prefix: bool = Field(
        True,
        description="read a prompt once, its answers as branches after it, where the architecture "
        "allows; a hardware setting",
    )
    ties: Literal["drop", "half"] = Field(
        "drop", description="tied pairs: dropped, or half a win each way"
    )
    max_length: int = Field(2048, ge=2, description="longest prompt + response, in tokens")
    on_long: Literal["stop", "skip", "truncate"] = Field(
        "stop",
        description="a longer answer: stop, skip its ranking and say so, or cut it (no end token)",
    )
    eval_every: Annotated[int, Mendable("validation")] = Field(
        0, ge=0, description="steps between validations (0: at the end only)"
    )

    def held_out(self, stage: str) -> HeldOut:  # noqa: ARG002
        """The share of held-out pairs that is ordered right."""
        return HeldOut("reward/validation_accuracy", higher_is_better=True)

    @model_validator(mode="after")
    def _check(self) -> "RewardConfig":
        if sum(map(bool, (self.eval_data, self.eval_fraction, self.eval_split))) > 1:
            raise ValueError("eval_data, eval_fraction and eval_split exclude each other: give one")
        return self
