"""What can be set in PPO; the defaults are C.4's, or the ancestors' where it is silent."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from instructgpt.data.formats import format_key
from instructgpt.run.config import LENGTHS, HeldOut, StageConfig
from instructgpt.run.inputs import (
    Mendable,
    PluggedRewardName,
    Policy,
    Prompts,
    ProseMix,
    ScorerPath,
)


class PPOConfig(StageConfig):
    """Configuration of the PPO stage. Batch sizes count episodes: answers to prompts."""

    aliases: ClassVar = {"pretrain_coef": "ptx_coef", **LENGTHS}

    model: Policy = Field(
        description="policy to start from, and the reference of the KL penalty (the C.3 model)"
    )
    reward_model: ScorerPath = Field(
        "", description="reward model; the value function starts from it"
    )
    reward: PluggedRewardName = Field(
        "",
        description="instead of a reward model, a function of your own, (prompts, responses) -> "
        "scores, as module:function",
    )
    critic: ScorerPath = Field(
        "", description="start the value function from this directory instead"
    )
    data: Prompts = Field(description="prompts (several files: repeat the flag)")
    format: str = format_key("prompts")
    split: str = Field(
        "", description="use only the prompts whose `split` field says this (empty: all)"
    )
    use: str = Field(
        "", description="use only the prompts whose `use` field says this (empty: all)"
    )
    pretrain_data: ProseMix = Field(
        (),
        description="pretraining text for PPO-ptx: .txt or .jsonl, or sources by weight, as in "
        "web.jsonl:3 books.parquet:1",
    )
    eval_data: Annotated[Prompts, Mendable("validation")] = Field(
        (), description="validation prompts"
    )
    eval_every: Annotated[int, Mendable("validation")] = Field(
        10, ge=1, description="iterations between validations"
    )
    eval_prompts: Annotated[int, Mendable("validation")] = Field(
        64, ge=1, description="how many validation prompts are sampled"
    )

    total_episodes: int = Field(256_000, ge=1, description="episodes in all")
    batch_size: int = Field(512, ge=1, description="episodes per iteration")
    num_mini_batches: int = Field(8, ge=1, description="optimizer steps per pass over the batch")
    num_ppo_epochs: int = Field(1, ge=1, description="passes over the batch per iteration")
    response_length: int = Field(
        1024, ge=1, description="longest answer in tokens; a cut answer is terminal"
    )
    temperature: float = Field(1.0, gt=0, description="of sampling, and of every log-probability")
    missing_eos_penalty: float = Field(
        0.0, ge=0, description="subtracted from the score of a cut answer"
    )

    learning_rate: float = Field(5e-6, gt=0, description="policy's peak learning rate")
    critic_learning_rate: float = Field(
        9e-6, gt=0, description="value function's peak learning rate"
    )
    schedule: Literal["constant", "linear", "cosine"] = Field(
        "constant", description="after the warm-up, per iteration"
    )
    warmup: int = Field(10, ge=0, description="iterations of warm-up, from a tenth of the peak")

    kl_coef: float = Field(0.02, ge=0, description="β: the per-token KL penalty")
    kl_target: float | None = Field(
        None, gt=0, description="adapt β towards this KL in nats (Ziegler; not in the paper)"
    )
    kl_horizon: int = Field(10_000, ge=1, description="episodes over which β adapts")
    gamma: float = Field(1.0, gt=0, le=1, description="discount")
    lam: float = Field(0.95, ge=0, le=1, description="GAE's λ")
    cliprange: float = Field(0.2, gt=0, description="the ratio's clip")
    cliprange_value: float | None = Field(0.2, gt=0, description="the value's clip (null: none)")
    whiten_advantages: bool = Field(True, description="whiten the advantages over the batch")
    whiten_rewards: bool = Field(False, description="whiten the rewards, mean kept (Ziegler)")
    ema_decay: float = Field(
        0.992, ge=0, lt=1, description="decay of the averaged weights, per optimizer step"
    )

    ptx_coef: float = Field(
        27.8, ge=0, description="γ: weight of the pretraining loss (0: plain PPO)"
    )
    ptx_ratio: int = Field(8, ge=1, description="pretraining examples per episode")
    ptx_length: int = Field(2048, ge=2, description="tokens per pretraining example")
    grad_ratio_every: int = Field(
        10, ge=1, description="optimizer steps between readings of ptx/grad_ratio"
    )

    rollout_slots: int = Field(
        64, ge=1, description="answers that grow at a time; a hardware setting"
    )
    old_logprobs: Literal["auto", "rollout", "trainer"] = Field(
        "auto",
        description="log-probs of the sampling policy: from the sampler, or a forward of the "
        "trainer (auto: "
        "the sampler in float32, else the trainer)",
    )

    @model_validator(mode="after")
    def _check(self) -> "PPOConfig":
        if self.reward and self.reward_model:
            raise ValueError("reward and reward_model exclude each other: give one")
        if self.batch_size % self.num_mini_batches:
            raise ValueError(
                f"batch_size {self.batch_size} is not divisible by num_mini_batches "
                f"{self.num_mini_batches}: change one"
            )
        if self.total_episodes < self.batch_size:
            raise ValueError(
                f"total_episodes {self.total_episodes} is less than one batch of "
                f"{self.batch_size}: raise it"
            )
        return self

    def require_inputs(self) -> None:
        """Models and files of a whole stage.

        Raises:
            ValueError: one is not named.
        """
        super().require_inputs()
        if not (self.reward_model or self.reward):
            raise ValueError(
                "needs 'reward_model': give --reward_model or put 'reward_model:' into a YAML file "
                "(or --reward module:function for a reward of your own)"
            )
        if self.ptx_coef and not self.pretrain_data:
            raise ValueError(
                "ptx_coef needs 'pretrain_data': give pretraining text, or set ptx_coef 0 for "
                "plain PPO"
            )

    def held_out(self, stage: str) -> HeldOut:  # noqa: ARG002
        """The reward model's score on the validation prompts."""
        return HeldOut("validation/scores", higher_is_better=True)

    @property
    def mini_batch_size(self) -> int:
        """Episodes per optimizer step."""
        return self.batch_size // self.num_mini_batches

    @property
    def updates_per_iteration(self) -> int:
        """Optimizer steps per iteration."""
        return self.num_mini_batches * self.num_ppo_epochs

    @property
    def total_iterations(self) -> int:
        """Full batches in `total_episodes`; a remainder smaller than a batch is not sampled."""
        return self.total_episodes // self.batch_size

    @property
    def ptx_per_update(self) -> int:
        """Pretraining examples per optimizer step: the paper's 8 per episode (C.4)."""
        return self.mini_batch_size * self.ptx_ratio if self.ptx_coef else 0
