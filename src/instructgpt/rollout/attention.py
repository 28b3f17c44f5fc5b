"""Attention as two batched products, for the short and ragged rows of sampling on a CPU.

The fused CPU kernel is made for long rows: with one query per row most of its time is overhead, up
to half of a decode step. Here, heads that share keys are rows of one product.

Axes: B rows, T new tokens, W width (the longest live row), H query heads, K key heads, G query
    heads that share a key head, N = G * T, D head size.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "rollout_sdpa"
LARGEST_SCORES = 2**25
"""With more scores than this in a layer (128 MiB in float32), the fused kernel saves memory."""
EXTRAS = ("softcap", "position_bias", "s_aux")
"""What some architectures add to the scores: left to the fused kernel's own wrapper."""


@contextmanager
def batched_products(model: PreTrainedModel) -> Iterator[None]:
    """While the context lasts, a model on a CPU takes `attend` for its own kernel."""
    config = model.config.get_text_config()
    kernels = config._attn_implementation
    usual = kernels in ("sdpa", "eager") and model._supports_sdpa
    if not (usual and model._can_set_attn_implementation()) or model.device.type != "cpu":
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
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """The attention function of a transformers model: the heads' outputs (B, T, H, D)."""
    B, H, T, D = query_BHTD.shape
    K, W = key_BKWD.shape[1:3]
    causal_by_flag = T > 1 and attention_mask is None
    masked_by_head = attention_mask is not None and attention_mask.shape[1] > 1
    has_extras = any(kwargs.get(name) is not None for name in EXTRAS)
    if causal_by_flag or masked_by_head or has_extras or B * H * T * W > LARGEST_SCORES:
        return sdpa_attention_forward(
            module, query_BHTD, key_BKWD, value_BKWD, attention_mask, scaling=scaling, **kwargs
        )
    query_BHTD = query_BHTD * (D**-0.5 if scaling is None else scaling)
    scores_BKNW = query_BHTD.reshape(B, K, -1, D) @ key_BKWD.transpose(2, 3)
    if attention_mask is not None:  # true where a query sees a key
        # Not -inf: where a left-padded row begins, a query sees nothing, and NaN would spread.
        nothing = torch.finfo(scores_BKNW.dtype).min
        scores_BKNW.view(B, K, -1, T, W).masked_fill_(~attention_mask[:, :, None], nothing)
    out_BKND = scores_BKNW.softmax(-1) @ value_BKWD
    return out_BKND.view(B, H, T, -1).transpose(1, 2), None


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, sdpa_mask)
