"""How many tokens a pass may hold, padding included, where the configuration leaves it open."""

import torch
from transformers import PreTrainedConfig, PreTrainedModel

from instructgpt.models.device import compute_device

CPU_TOKENS = 1024
"""On a CPU larger passes are no faster, hold more memory, and pad rows of less similar length."""
GPU_TOKENS = 1024, 32768
"""Fewest and most on a GPU, where a pass of few tokens waits for its kernels to be launched."""
GPU_SHARE = 0.35
"""Of a GPU's memory, for what a training pass keeps until its backward pass."""


def pass_tokens(configured: int, model: PreTrainedModel) -> int:
    """`micro_batch_tokens` as configured, or if that is 0 what suits the model and its device."""
    if configured:
        return configured
    device = compute_device(model)
    if device.type != "cuda":
        return CPU_TOKENS
    memory = torch.cuda.get_device_properties(device).total_memory
    return tokens_that_fit(model.config.get_text_config(), memory)


def tokens_that_fit(config: PreTrainedConfig, memory: int) -> int:
    """The greatest power of two whose training pass in bfloat16 takes its share of `memory` bytes.

    A layer keeps some 24 bytes per token and unit of its width, and 8 per unit of its MLP: 783 kB a
    token of SmolLM2-135M, of which 738 were measured.
    """
    width = config.hidden_size
    inner = getattr(config, "intermediate_size", None) or 4 * width
    per_token = config.num_hidden_layers * (24 * width + 8 * inner)
    fewest, most = GPU_TOKENS
    fitting = int(GPU_SHARE * memory / per_token)
    return min(most, max(fewest, 1 << fitting.bit_length() >> 1))
