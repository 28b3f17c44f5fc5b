"""`Scorer`: a trunk with a scalar head and a tokenizer: (prompt, response) → score."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, overload

import torch
from torch import Tensor
from transformers import PreTrainedModel

from instructgpt.data.brought import as_prompt, as_prompts, is_one_prompt, require_pairs
from instructgpt.data.records import PromptText
from instructgpt.errors import UserError
from instructgpt.models.budget import pass_tokens
from instructgpt.models.fit import require_tokens, size_of
from instructgpt.models.forward import in_groups, last_token_scores
from instructgpt.models.load import SHIFT_KEY, load_scorer
from instructgpt.models.network import Network
from instructgpt.models.turns import for_plain_reading
from instructgpt.run.progress import say


class Scorer(Network):
    """Scores answers; the score is read at the response's last token, whatever that token is.

    Opened as a `Network` is; a loaded model is a sequence classifier with one label.

    Attributes:
        on_long: what becomes of an answer that does not fit the model with its prompt: `stop`
            refuses it, `truncate` reads as much of it as fits and says so once.
    """

    on_long: Literal["stop", "truncate"] = "stop"
    _role = "the reward model"
    _has_cut = False

    def _open(self, path: str | Path, device: str) -> PreTrainedModel:
        self._role = f"the reward model {path}"
        return load_scorer(path, device=device)

    @property
    def shift(self) -> float:
        """Subtracted from the raw output, so that demonstrations score 0 on average (3.5)."""
        return float(getattr(self.model.config, SHIFT_KEY, 0.0))

    @shift.setter
    def shift(self, value: float) -> None:
        setattr(self.model.config, SHIFT_KEY, float(value))

    @overload
    def score(
        self,
        prompts: PromptText,
        responses: str,
        *,
        finished: bool = ...,
        dtype: str = ...,
        micro_batch_tokens: int = ...,
    ) -> float: ...
    @overload
    def score(
        self,
        prompts: Sequence[PromptText],
        responses: Sequence[str],
        *,
        finished: Sequence[bool] | bool = ...,
        dtype: str = ...,
        micro_batch_tokens: int = ...,
    ) -> Tensor: ...

    def score(
        self,
        prompts: PromptText | Sequence[PromptText],
        responses: str | Sequence[str],
        *,
        finished: Sequence[bool] | bool = True,
        dtype: str = "float32",
        micro_batch_tokens: int = 0,
    ) -> float | Tensor:
        """Scores of texts, float32 (N,) on the CPU; the score of one answer is a number.

        Args:
            prompts: N prompts (strings or conversations), or one.
            responses: N answers, or one.
            finished: whether each answer ended by itself; a cut one is scored without an
                end-of-text token.
            dtype: precision of the forward pass.
            micro_batch_tokens: padded tokens per forward pass (0: what suits the device).

        Raises:
            UserError: an answer does not fit the model with its prompt, or there are not as many
                answers as prompts.
        """
        settings = {"dtype": dtype, "micro_batch_tokens": micro_batch_tokens}
        if isinstance(responses, str):
            ended = [finished] if isinstance(finished, bool) else finished
            [score] = self.score([as_prompt(prompts)], [responses], finished=ended, **settings)
            return float(score)
        if is_one_prompt(prompts):
            raise UserError("score: one prompt and a list of answers; give as many prompts")
        asked = as_prompts(prompts)
        ended = [finished] * len(responses) if isinstance(finished, bool) else finished
        require_pairs(asked, responses, ended)
        prompt_ids = [self.text.prompt(prompt) for prompt in asked]
        answer_ids = [
            self.text.response(text, finished=end)
            for text, end in zip(responses, ended, strict=True)
        ]
        if self.on_long == "truncate":
            answer_ids = self._cut(prompt_ids, answer_ids)
        return self.score_tokens(prompt_ids, answer_ids, **settings)

    @torch.no_grad()
    def score_tokens(
        self,
        prompts: Sequence[Sequence[int]],
        responses: Sequence[Sequence[int]],
        *,
        dtype: str = "float32",
        micro_batch_tokens: int = 0,
    ) -> Tensor:
        """Scores of token sequences in this model's own vocabulary, float32 (N,) on the CPU.

        Raises:
            UserError: a sequence does not fit the model.
        """
        if not prompts:
            return torch.zeros(0)
        rows = ([*p, *r] for p, r in zip(prompts, responses, strict=True))
        require_tokens(size_of(self.model), rows, role=self._role, text="prompt and answer")
        scores = in_groups(
            lambda rows: last_token_scores(self.model, rows),
            prompts,
            responses,
            device=self.device,
            dtype=dtype,
            budget=pass_tokens(micro_batch_tokens, self.model),
        )
        return scores - self.shift

    def _cut(self, prompts: list[list[int]], answers: list[list[int]]) -> list[list[int]]:
        """As much of each answer as fits behind its prompt."""
        context = size_of(self.model).context
        if context is None:
            return answers
        cut = [a[: max(0, context - len(p))] for p, a in zip(prompts, answers, strict=True)]
        if cut != answers and not self._has_cut:
            self._has_cut = True
            say(
                f"{self._role} reads {context} tokens at most: what an answer has beyond them, with"
                f" its prompt, is not scored"
            )
        return cut

    def save(self, path: str | Path, weights: Mapping[str, Tensor] | None = None) -> Path:
        """As any network, with its shift; its chat template ends a conversation where the score is
        read.
        """
        self.shift = self.shift  # written also where it is 0
        with for_plain_reading(self.model, self.text):
            return super().save(path, weights)
