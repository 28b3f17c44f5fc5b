"""Attention as two batched products, for the short and ragged rows of this work on a CPU.

The fused CPU kernel is made for long rows: with one query per row most of its time is overhead, and
its backward pass is slow up to some hundred tokens. Here, heads that share keys are rows of one
product. What the products cannot do, or would need too much memory for, the fused kernel does.

Axes: B rows, T new tokens, W width (the longest row), S new tokens and R columns of a block, H
    query heads, K key heads, G query heads that share a key head, N = G * S, D head size.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from instructgpt.models.device import compute_device

NAME = "batched"
BLOCK = 256
"""Queries that are multiplied with the keys up to their last together."""
LARGEST_SCORES = 2**25
"""With more scores than this in a layer (128 MiB in float32), the fused kernel saves memory."""
LARGEST_TRAINED = 10 * 2**20
"""The same where there is a backward pass, until which every layer keeps them (40 MiB)."""
EXTRAS = ("softcap", "position_bias", "s_aux")
"""What some architectures add to the scores: left to the fused kernel's own wrapper."""


def takes_batched_products(model: PreTrainedModel) -> bool:
    """Whether `attend` can be a model's kernel, and is worth it: on a CPU."""
    usual = model._supports_sdpa and model._can_set_attn_implementation()
    return usual and compute_device(model).type == "cpu" and not picks_tokens(model)


def picks_tokens(model: PreTrainedModel) -> bool:
    """Whether an indexer picks the tokens that are attended to (DeepSeek-V3.2 and its like): these
    models mask the others under the names `eager` and `sdpa` alone, and see all under any other.
    """
    return any(name.startswith("index_topk") for name in vars(model.config.get_text_config()))


@contextmanager
def batched_products(model: PreTrainedModel) -> Iterator[None]:
    """While the context lasts, a model on a CPU takes `attend` for its own kernel."""
    config = model.config.get_text_config()
    kernels = config._attn_implementation
    if kernels not in ("sdpa", "eager") or not takes_batched_products(model):
        yield
        return
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = kernels


def attend(
    module: nn.Module,
    query_BHTD: Tensor,
    key_BKWD: Tensor,
    value_BKWD: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    """The attention function of a transformers model: the heads' outputs (B, T, H, D)."""
    B, H, T, D = query_BHTD.shape
    K, W = key_BKWD.shape[1:3]
    mask = attention_mask
    if mask is None and T == W > 1 and _is_causal(module, is_causal):
        mask = torch.ones(1, 1, T, T, dtype=torch.bool, device=query_BHTD.device).tril()
    by_flag = mask is None and T > 1
    by_head = mask is not None and mask.shape[1] > 1
    has_extras = dropout > 0 or any(kwargs.get(name) is not None for name in EXTRAS)
    is_trained = torch.is_grad_enabled() and query_BHTD.requires_grad
    blocks = _blocks(mask, T, W)
    scores = B * H * sum((stop - start) * columns for start, stop, columns in blocks)
    is_large = scores > (LARGEST_TRAINED if is_trained else LARGEST_SCORES)
    if by_flag or by_head or has_extras or is_large or query_BHTD.is_cuda:
        kwargs |= {"dropout": dropout, "scaling": scaling, "is_causal": is_causal}
        return sdpa_attention_forward(
            module, query_BHTD, key_BKWD, value_BKWD, attention_mask, **kwargs
        )
    query_BKGTD = (query_BHTD * (D**-0.5 if scaling is None else scaling)).view(B, K, -1, T, D)
    keys_BKDW = key_BKWD.contiguous().transpose(2, 3)  # or the product copies them, transposing
    outs = []
    queries = query_BKGTD.split([stop - start for start, stop, _ in blocks], dim=3)
    for query_BKGSD, (start, stop, columns) in zip(queries, blocks, strict=True):
        scores_BKNR = query_BKGSD.reshape(B, K, -1, D) @ keys_BKDW[..., :columns]
        if mask is not None:  # true where a query sees a key
            is_hidden_B1SR = ~mask[:, :, start:stop, :columns]
            # Not -inf: where a left-padded row begins, a query sees nothing, and NaN would spread.
            nothing = torch.finfo(scores_BKNR.dtype).min
            bias_B1SR = torch.zeros_like(is_hidden_B1SR, dtype=scores_BKNR.dtype)
            bias_B1SR.masked_fill_(is_hidden_B1SR, nothing)
            # Added, as that has no backward pass: the gradient of a hidden score is 0 anyway.
            scores_BKNR.view(B, K, -1, stop - start, columns).add_(bias_B1SR[:, :, None])
        out_BKND = scores_BKNR.softmax(-1) @ value_BKWD[:, :, :columns]
        outs.append(out_BKND.view(B, H, stop - start, -1).transpose(1, 2))
    # Contiguous, as the fused kernel's wrapper gives it: some architectures take views of it.
    return (outs[0].contiguous() if len(outs) == 1 else torch.cat(outs, dim=1)), None


def _blocks(mask: Tensor | None, T: int, W: int) -> list[tuple[int, int, int]]:
    """First query, end of the queries, and columns to compute, of each block: the columns after a
    block's last query are left out where none of its queries sees them.
    """
    if mask is None or T != W:
        return [(0, T, W)]
    blocks = []
    for start in range(0, T, BLOCK):
        stop = min(start + BLOCK, T)
        sees_later = stop < W and bool(mask[:, :, start:stop, stop:].view(torch.uint8).amax())
        blocks.append((start, stop, W if sees_later else stop))
    return blocks


def _is_causal(module: nn.Module, given: bool | None) -> bool:
    return getattr(module, "is_causal", True) if given is None else given


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, sdpa_mask)
