"""Where a network computes, which is not always where its weights lie."""

import torch
from torch import nn

COMPUTES_ON = "_instructgpt_computes_on"
"""An attribute of a model whose weights wait in the CPU's memory: the GPU that they visit."""


def compute_device(model: nn.Module) -> torch.device:
    """The device on which a model computes: inputs go there, outputs come from there."""
    visited = getattr(model, COMPUTES_ON, None)
    return next(model.parameters()).device if visited is None else visited
