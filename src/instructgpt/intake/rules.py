"""What a user decides of an intake."""

from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from instructgpt.intake.shares import PAPER_CUSTOMERS, PAPER_LABELERS, SPLITS, USES, Per, parts_of

VERSION = 2
"""Of the steps; it changes when the same prompts may end otherwise."""


def _parts(numbers: Any) -> str:
    return "/".join(map(str, numbers))


class Rules(BaseModel):
    """The rules of the ten steps; the same prompts, rules and secret give the same decisions."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tokenizer: str = Field(default="", description="model whose tokenizer counts tokens")
    max_tokens: int = Field(default=1000, ge=1, description="tokens of a prompt, at most")
    near_duplicates: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="share of words that makes near duplicates, as 0.8; 0: none",
    )
    cap: int = Field(default=200, ge=1, description="prompts of one customer, at most")
    per: Per = Field(default="user", description="whose prompts are capped, and stay in one split")
    splits: str = Field(default="80/10/10", description="parts of train, valid and test")
    uses: str = Field(
        default=_parts(PAPER_CUSTOMERS.values()),
        description="parts of customers' prompts for sft, reward and ppo",
    )
    labeler_uses: str = Field(
        default=_parts(PAPER_LABELERS.values()),
        description="parts of labelers' prompts for sft, reward and ppo",
    )
    pii: Literal["train", "all", "none"] = Field(
        default="train", description="the split that is searched for personal data"
    )
    pii_action: Literal["mask", "drop", "hold"] = Field(
        default="mask", description="what becomes of a prompt with personal data"
    )

    @field_validator("splits", "uses", "labeler_uses")
    @classmethod
    def _whole(cls, text: str, info: Any) -> str:
        parts_of(text, SPLITS if info.field_name == "splits" else USES, str(info.field_name))
        return text

    @cached_property
    def split_parts(self) -> dict[str, int]:
        """How many parts each split has."""
        return parts_of(self.splits, SPLITS, "splits")

    @cached_property
    def use_parts(self) -> tuple[dict[str, int], dict[str, int]]:
        """How many parts each stage has, of customers' and of labelers' prompts."""
        customers = parts_of(self.uses, USES, "uses")
        return customers, parts_of(self.labeler_uses, USES, "labeler_uses")
