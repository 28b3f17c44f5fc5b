"""What can be set in supervised fine-tuning; the defaults are appendix C.1's, but for dropout."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from instructgpt.data.formats import format_key
from instructgpt.run.config import LENGTHS, HeldOut, StageConfig
from instructgpt.run.inputs import Demonstrations, Mendable, Policy, ProseMix, ScorerPath


class SFTConfig(StageConfig):
    """Configuration of the SFT stage."""

    aliases: ClassVar = LENGTHS

    blank: ClassVar = {"model": "", "out": ""}

    model: Policy = Field(description="model to start from: a directory or a Hub id")
    data: Demonstrations = Field((), description="demonstrations (several files: repeat the flag)")
    format: str = format_key("demonstrations")
    eval_data: Annotated[Demonstrations, Mendable("validation")] = Field(
        (), description="held-out demonstrations for the validation loss"
    )
    eval_split: str = Field(
        "", description="hold out the demonstrations in `data` whose `split` field says this"
    )
    pretrain_data: ProseMix = Field(
        (),
        description="pretraining text to mix in: .txt or .jsonl, or sources by weight, as in "
        "web.jsonl:3 books.parquet:1",
    )
    eval_pretrain_data: Annotated[ProseMix, Mendable("validation")] = Field(
        (), description="held-out pretraining text for its own validation loss"
    )
    pretrain_fraction: float = Field(
        0.0, ge=0, le=1, description="share of each batch's examples that is pretraining text"
    )
    pretrain_length: int = Field(2048, ge=2, description="tokens per pretraining example")
    loss: Literal["completion", "all"] = Field(
        "completion", description="completion: the answer's tokens alone; all: the prompt's as well"
    )
    epochs: int = Field(16, ge=1, description="passes over the demonstrations")
    max_steps: int = Field(
        0, ge=0, description="stop after so many optimizer steps (0: after the epochs)"
    )
    batch_size: int = Field(32, ge=1, description="examples per optimizer step")
    learning_rate: float = Field(9.65e-6, gt=0, description="peak learning rate")
    schedule: Literal["cosine", "linear", "constant"] = Field(
        "cosine", description="learning-rate decay, per step"
    )
    min_lr_ratio: float = Field(
        0.1, ge=0, le=1, description="the cosine ends at this share of the peak"
    )
    warmup: int = Field(0, ge=0, description="warm-up steps")
    dropout: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="residual dropout, on attention and MLP outputs (null: what the model was "
        "trained with, by its own configuration; 0 where that has none)",
    )
    max_length: int = Field(2048, ge=2, description="longest prompt + answer, in tokens")
    on_long: Literal["stop", "skip", "truncate"] = Field(
        "stop",
        description="a longer example: stop, skip it and say so, or cut its answer (no end taught)",
    )
    eval_every: Annotated[int, Mendable("validation")] = Field(
        0, ge=0, description="steps between validations (0: at each epoch's end)"
    )
    reward_model: Annotated[ScorerPath, Mendable("validation")] = Field(
        "", description="reward model that scores samples to choose the checkpoint"
    )
    reward_prompts: Annotated[int, Mendable("validation")] = Field(
        64, ge=1, description="validation prompts that the reward model judges"
    )
    response_length: Annotated[int, Mendable("validation")] = Field(
        128, ge=1, description="longest answer sampled for the reward model, in tokens"
    )
    select_by: Annotated[
        Literal["auto", "last", "validation_loss", "reward"], Mendable("validation")
    ] = Field(
        "auto",
        description="which step becomes model/: auto is reward where a reward_model is given, "
        "else last",
    )

    @model_validator(mode="after")
    def _check(self) -> "SFTConfig":
        if self.pretrain_fraction == 1 and not self.max_steps:
            raise ValueError("pretrain_fraction 1 has no epochs: give max_steps")
        if self.select_by == "reward" and not self.reward_model:
            raise ValueError(
                "select_by 'reward' needs 'reward_model': give a reward model's directory"
            )
        if self.eval_data and self.eval_split:
            raise ValueError("eval_data and eval_split exclude each other: give one")
        is_held_out = self.eval_data or self.eval_split
        if self.reward_model and not is_held_out:
            raise ValueError(
                "reward_model needs 'eval_data' or 'eval_split': it judges answers to those prompts"
            )
        if self.selection != "last" and not is_held_out:
            raise ValueError(
                f"select_by '{self.selection}' needs 'eval_data' or 'eval_split': give held-out "
                "demonstrations"
            )
        return self

    def require_inputs(self) -> None:
        """Models and files of a whole stage.

        Raises:
            ValueError: one is not named.
        """
        if not self.data and self.pretrain_fraction < 1:
            raise ValueError(
                "'data' is needed: give demonstrations, or pretrain_fraction 1 to train on text "
                "alone"
            )
        if self.pretrain_fraction and not self.pretrain_data:
            raise ValueError("pretrain_fraction needs 'pretrain_data': give a text file")
        super().require_inputs()

    @property
    def selection(self) -> Literal["last", "validation_loss", "reward"]:
        """`select_by` with `auto` resolved."""
        if self.select_by != "auto":
            return self.select_by
        return "reward" if self.reward_model else "last"

    def held_out(self, stage: str) -> HeldOut:
        """What the step is chosen by, if it is, else the validation loss."""
        if self.selection == "reward":
            return HeldOut(f"{stage}/reward_score", higher_is_better=True)
        return HeldOut(f"{stage}/validation_loss", higher_is_better=False)

    @property
    def chooses_best(self) -> bool:
        """Unless `select_by` is last."""
        return self.selection != "last"

    @property
    def pretrain_per_step(self) -> int:
        """Pretraining examples in each batch: the share, rounded, at least one."""
        count = round(self.batch_size * self.pretrain_fraction)
        return max(count, 1) if self.pretrain_fraction else 0
