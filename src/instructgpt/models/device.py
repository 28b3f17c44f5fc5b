"""Where a network computes, which is not always where its weights lie."""

from weakref import WeakKeyDictionary

import torch
from torch import nn

VISITED: WeakKeyDictionary[nn.Module, torch.device] = WeakKeyDictionary()
"""The GPUs of models whose weights wait in the CPU's memory."""


def compute_device(model: nn.Module) -> torch.device:
    """The device on which a model computes: inputs go there, outputs come from there."""
    return VISITED.get(model) or next(model.parameters()).device
