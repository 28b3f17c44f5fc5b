"""`RewardModel`: a scalar head on a copy of a policy's trunk."""

from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from instructgpt.models.fit import require_vocabulary, size_of
from instructgpt.models.load import scorer_from_policy
from instructgpt.models.scorer import Scorer
from instructgpt.models.text import TextCodec
from instructgpt.rollout.policy import SFTModel
from instructgpt.run.seeds import derive


class RewardModel(Scorer):
    """r(x, y): how much a labeler would like the answer (section 3.5).

    Args:
        model: a policy (`SFTModel`), whose trunk is copied and gets a new head when the reward
            model is first used (so that the policy may still be trained before); or a trained
            reward model: a directory, a Hub id, or a loaded sequence classifier with one label and
            its `tokenizer`.
        tokenizer: replaces the one beside the model.
        template: how a prompt becomes text; a policy hands on its own.
        seed: decides a new head.
        depth: share of the policy's layers that a new reward model copies, from the first on.
        device: where the model lives; a policy hands on its own.
    """

    _policy: SFTModel | None = None
    """The policy that it is to be made of, until it is."""

    def __init__(
        self,
        model: SFTModel | str | Path | PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase | None = None,
        *,
        template: str = "auto",
        seed: int = 0,
        depth: float = 1.0,
        device: str = "cpu",
    ) -> None:
        if not isinstance(model, SFTModel):
            super().__init__(model, tokenizer, template=template, device=device)
            return
        self._policy, self._seed, self._depth = model, seed, depth
        self.tokenizer = tokenizer or model.tokenizer
        require_vocabulary(size_of(model.model), self.tokenizer, role=self._role)
        self.text = TextCodec(tokenizer, model.text.template) if tokenizer else model.text

    @property
    def model(self) -> PreTrainedModel:
        """The network; of a new reward model it is made when it is first asked for."""
        if self._policy is not None:
            seed = derive(self._seed, "reward/head")
            made = scorer_from_policy(self._policy.model, seed=seed, depth=self._depth)
            self._accept(made, self.text.template, brought=True)
            self._policy = None
        return super().model

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self._policy.device if self._policy else super().device
