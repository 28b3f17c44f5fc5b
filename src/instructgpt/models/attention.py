"""Attention as two batched products, for the short and ragged rows of this work on a CPU.

The fused CPU kernel is made for long rows: with one query per row most of its time is overhead, and
its backward pass is slow up to some hundred tokens. Here, heads that share keys are rows of one
product. What the products cannot do, or would need too much memory for, the fused kernel does.

Axes: B rows, T new tokens, W width (the longest row), H query heads, K key heads, G query heads
    that share a key head, N = G * T, D head size.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "batched"
LARGEST_SCORES = 2**25
"""With more scores than this in a layer (128 MiB in float32), the fused kernel saves memory."""
LARGEST_TRAINED = 10 * 2**20
"""The same where there is a backward pass, until which every layer keeps them (40 MiB)."""
EXTRAS = ("softcap", "position_bias", "s_aux")
"""What some architectures add to the scores: left to the fused kernel's own wrapper."""


def takes_batched_products(model: PreTrainedModel) -> bool:
    """Whether `attend` can be a model's kernel, and is worth it: on a CPU."""
    usual = model._supports_sdpa and model._can_set_attn_implementation()
    return usual and model.device.type == "cpu"


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
    given_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    """The attention function of a transformers model: the heads' outputs (B, T, H, D)."""
    B, H, T, D = query_BHTD.shape
    K, W = key_BKWD.shape[1:3]
    attention_mask = given_mask
    if attention_mask is None and T == W > 1 and _is_causal(module, is_causal):
        attention_mask = torch.ones(1, 1, T, T, dtype=torch.bool, device=query_BHTD.device).tril()
    by_flag = attention_mask is None and T > 1
    by_head = attention_mask is not None and attention_mask.shape[1] > 1
    has_extras = dropout > 0 or any(kwargs.get(name) is not None for name in EXTRAS)
    is_trained = torch.is_grad_enabled() and query_BHTD.requires_grad
    is_large = (LARGEST_TRAINED if is_trained else LARGEST_SCORES) < B * H * T * W
    if by_flag or by_head or has_extras or is_large or query_BHTD.is_cuda:
        kwargs |= {"dropout": dropout, "scaling": scaling, "is_causal": is_causal}
        return sdpa_attention_forward(
            module, query_BHTD, key_BKWD, value_BKWD, given_mask, **kwargs
        )
    query_BHTD = query_BHTD * (D**-0.5 if scaling is None else scaling)
    keys_BKDW = key_BKWD.contiguous().transpose(2, 3)  # or the product copies them, transposing
    scores_BKNW = query_BHTD.reshape(B, K, -1, D) @ keys_BKDW
    if attention_mask is not None:  # true where a query sees a key
        # Not -inf: where a left-padded row begins, a query sees nothing, and NaN would spread.
        nothing = torch.finfo(scores_BKNW.dtype).min
        scores_BKNW.view(B, K, -1, T, W).masked_fill_(~attention_mask[:, :, None], nothing)
    out_BKND = scores_BKNW.softmax(-1) @ value_BKWD
    return out_BKND.view(B, H, T, -1).transpose(1, 2), None


def _is_causal(module: nn.Module, given: bool | None) -> bool:
    return getattr(module, "is_causal", True) if given is None else given


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, sdpa_mask)
