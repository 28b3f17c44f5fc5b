"""`RewardModel`: a scalar head on a copy of a policy's trunk."""

from pathlib import Path
from typing import TYPE_CHECKING

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from instructgpt.models.load import scorer_from_policy
from instructgpt.models.scorer import Scorer
from instructgpt.run.seeds import derive

if TYPE_CHECKING:
    from instructgpt.sft.model import SFTModel


class RewardModel(Scorer):
    """r(x, y): how much a labeler would like the answer (section 3.5).

    Args:
        model: a policy (`SFTModel`), whose trunk is copied and gets a new head; or a trained reward
            model: a directory, a Hub id, or a loaded sequence classifier with one label and its
            `tokenizer`.
        tokenizer: replaces the one beside the model.
        template: how a prompt becomes text; a policy hands on its own.
        seed: decides a new head.
        depth: share of the policy's layers that a new reward model copies, from the first on.
        device: where the model lives; a policy hands on its own.
    """

    def __init__(
        self,
        model: "SFTModel | str | Path | PreTrainedModel",
        tokenizer: PreTrainedTokenizerBase | None = None,
        *,
        template: str = "auto",
        seed: int = 0,
        depth: float = 1.0,
        device: str = "cpu",
    ) -> None:
        if isinstance(model, str | Path | PreTrainedModel):
            super().__init__(model, tokenizer, template=template, device=device)
        else:
            scorer = scorer_from_policy(model.model, seed=derive(seed, "reward/head"), depth=depth)
            super().__init__(
                scorer,
                tokenizer or model.tokenizer,
                template=model.text.template,
                device=str(model.device),
            )
