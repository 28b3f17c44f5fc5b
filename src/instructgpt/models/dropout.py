"""Residual dropout of SFT: on attention and MLP outputs, before the residual add.

The paper has 0.2 (C.1), for models of its own. Most models of today were trained without, and lose
most of what they know under it: by default a model gets the rate in its own configuration.

Every architecture names its own dropout differently and some have none, so one pair of hooks serves
them all.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from inspect import signature
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel

from instructgpt.errors import UserError
from instructgpt.models.parts import trunk
from instructgpt.models.source import source_of
from instructgpt.run.progress import say

ATTENTION = frozenset({"attn", "self_attn", "attention", "self_attention"})
MLP = frozenset({"mlp", "feed_forward", "ffn"})

RATES = (
    *("resid_pdrop", "resid_dropout", "residual_dropout"),
    *("hidden_dropout", "hidden_dropout_prob", "dropout"),
)
"""What configurations call the rate of residual dropout."""


def own_rate(model: PreTrainedModel) -> float:
    """The residual dropout that the model's own configuration names; 0 where it names none, or
    where its attention and MLP blocks are not found, which is said.
    """
    original = source_of(model).dropout  # loading switches off what the file has
    values = (original.get(key, getattr(model.config, key, None)) for key in RATES)
    rate = next((float(value) for value in values if isinstance(value, float | int)), 0.0)
    if rate:
        try:
            _blocks(model)
        except UserError:
            say(
                f"dropout: the attention and MLP blocks of {type(model).__name__} were not found, "
                f"so that its configuration's {rate:g} has no effect"
            )
            return 0.0
    return rate


@contextmanager
def residual_dropout(model: PreTrainedModel, rate: float) -> Iterator[None]:
    """Dropout of `rate` on the output of every attention and MLP block, while the context lasts.

    Raises:
        UserError: the blocks of this architecture were not found.
    """
    handles = [block.register_forward_hook(_hook(rate)) for block in _blocks(model)] if rate else []
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _blocks(model: PreTrainedModel) -> list[nn.Module]:
    layers = decoder_layers(model)
    blocks = [
        child
        for layer in layers
        for kind in (ATTENTION, MLP)
        for name, child in layer.named_children()
        if name in kind
        and "residual" not in signature(child.forward).parameters  # Bloom and MPT add it inside
    ]
    if len(blocks) != 2 * len(layers):
        raise UserError(
            f"dropout: the attention and MLP blocks of {type(model).__name__} were not found; set "
            f"--dropout 0"
        )
    return blocks


def decoder_layers(model: PreTrainedModel) -> list[nn.Module]:
    """The transformer's layers, in order: the longest list of modules in the trunk."""
    lists = [module for module in trunk(model).modules() if isinstance(module, nn.ModuleList)]
    return list(max(lists, key=len)) if lists else []


def _hook(rate: float) -> Any:
    def drop(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        if isinstance(output, Tensor):
            return nn.functional.dropout(output, rate)
        return (nn.functional.dropout(output[0], rate), *output[1:])

    return drop
