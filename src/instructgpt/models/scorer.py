"""`Scorer`: a trunk with a scalar head and a tokenizer: (prompt, response) → score."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from instructgpt.data.records import PromptText
from instructgpt.data.text import TextCodec
from instructgpt.models.forward import in_groups, last_token_scores
from instructgpt.models.load import load_scorer, load_tokenizer, save_model

SHIFT_KEY = "reward_shift"


class Scorer:
    """Scores answers; the score is read at the response's last token, whatever that token is.

    Args:
        model: a directory, a Hub id, or a loaded sequence classifier with one label (then
            `tokenizer` is needed).
        tokenizer: replaces the one beside the model.
        template: how a prompt becomes text (see `TextCodec`).
        device: where the model lives.
    """

    def __init__(
        self,
        model: str | Path | PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase | None = None,
        *,
        template: str = "auto",
        device: str = "cpu",
    ) -> None:
        if isinstance(model, PreTrainedModel):
            if tokenizer is None:
                raise TypeError(
                    f"a loaded model needs its tokenizer: {type(self).__name__}(model, tokenizer)"
                )
            self.model = model.to(device).eval()  # type: ignore[arg-type]
            self.tokenizer = tokenizer
        else:
            self.tokenizer = tokenizer or load_tokenizer(model)
            self.model = load_scorer(model, device=device)
        self.text = TextCodec(self.tokenizer, template)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.model.parameters()).device

    @property
    def shift(self) -> float:
        """Subtracted from the raw output, so that demonstrations score 0 on average (3.5)."""
        return float(getattr(self.model.config, SHIFT_KEY, 0.0))

    @shift.setter
    def shift(self, value: float) -> None:
        setattr(self.model.config, SHIFT_KEY, float(value))

    def score(
        self,
        prompts: Sequence[PromptText],
        responses: Sequence[str],
        *,
        finished: Sequence[bool] | bool = True,
        dtype: str = "float32",
        micro_batch_tokens: int = 0,
    ) -> Tensor:
        """Scores of texts, float32 (N,) on the CPU.

        Args:
            prompts: N prompts (strings or conversations).
            responses: N answers.
            finished: whether each answer ended by itself; a cut one is scored without an
                end-of-text token.
            dtype: precision of the forward pass.
            micro_batch_tokens: padded tokens per forward pass (0: what suits the device).
        """
        ended = [finished] * len(responses) if isinstance(finished, bool) else finished
        return self.score_tokens(
            [self.text.prompt(prompt) for prompt in prompts],
            [
                self.text.response(text, finished=end)
                for text, end in zip(responses, ended, strict=True)
            ],
            dtype=dtype,
            micro_batch_tokens=micro_batch_tokens,
        )

    @torch.no_grad()
    def score_tokens(
        self,
        prompts: Sequence[Sequence[int]],
        responses: Sequence[Sequence[int]],
        *,
        dtype: str = "float32",
        micro_batch_tokens: int = 0,
    ) -> Tensor:
        """Scores of token sequences in this model's own vocabulary, float32 (N,) on the CPU."""
        if not prompts:
            return torch.zeros(0)
        scores = in_groups(
            lambda rows: last_token_scores(self.model, rows),
            prompts,
            responses,
            device=self.device,
            dtype=dtype,
            micro_batch_tokens=micro_batch_tokens,
        )
        return scores - self.shift

    def save(self, path: str | Path, weights: Mapping[str, Tensor] | None = None) -> Path:
        """Write the model, its shift and its tokenizer as a Hugging Face directory (`weights`:
        those of a sharded model, whole).
        """
        return save_model(self.model, self.tokenizer, Path(path), weights)
