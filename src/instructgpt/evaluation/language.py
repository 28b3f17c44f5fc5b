"""The language-model loss of a policy on plain text: does it forget what it read?"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from instructgpt.errors import UserError
from instructgpt.models.budget import pass_tokens
from instructgpt.models.fit import context_length
from instructgpt.models.forward import autocast, response_logprobs
from instructgpt.models.rows import budget_groups, text_rows
from instructgpt.models.text import encode_documents

if TYPE_CHECKING:
    from instructgpt.rollout.policy import SFTModel


@torch.no_grad()
def language_model_loss(
    policy: "SFTModel",
    documents: Sequence[str],
    *,
    length: int = 512,
    dtype: str = "float32",
    micro_batch_tokens: int = 0,
) -> float:
    """Mean −log p in nats per token, given what precedes it in its window.

    Args:
        policy: a language model.
        documents: the texts; each ends with the end-of-text token, and begins with the
            beginning-of-text token if the tokenizer uses one.
        length: longest window in tokens (at most the model's context); a longer document is cut
            into several.
        dtype: precision of the forward pass.
        micro_batch_tokens: padded tokens per forward pass (0: what suits the device).

    Raises:
        UserError: there is no text.
    """
    length = min(length, context_length(policy.model.config) or length)
    tokens = encode_documents(documents, policy.text)
    windows = [ids[i : i + length] for ids in tokens for i in range(0, len(ids), length)]
    windows = [window for window in windows if len(window) > 1]
    if not windows:
        raise UserError("prose: no text in it; give documents to measure the loss on")
    total = 0.0
    budget = pass_tokens(micro_batch_tokens, policy.model)
    for group in budget_groups([len(window) for window in windows], budget):
        rows = text_rows([windows[i] for i in group], device=policy.device)
        with autocast(dtype, policy.device):
            total -= response_logprobs(policy.model, rows).sum().item()
    return total / sum(len(window) - 1 for window in windows)
