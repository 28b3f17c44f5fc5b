"""A linear layer whose weight lies as the CPU's library multiplies it fastest.

oneDNN turns a plain weight around in every product. Packed once, it is read as it lies: a decode
step's products take 0.6 to 0.8 of the time (`benchmarks/NOTES.md`).

Axes: N tokens, I and O a weight's inputs and outputs.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers.pytorch_utils import Conv1D

Product = Callable[[Tensor], Tensor]
"""Of states (N, I): x Wᵀ + b, (N, O)."""
Layer = nn.Linear | Conv1D
LARGEST_ERROR = {False: 1e-5, True: 2e-2}
"""Relative, between packed and plain, in float32 and in bfloat16."""


def product(layers: Sequence[Layer], dtype: torch.dtype, rows: int) -> Product:
    """The layers, side by side, as one product.

    Args:
        layers: all with the same inputs, and all with a bias or none. A single one whose weight
            cannot be packed is multiplied where it lies.
        dtype: that of the states and of the product.
        rows: how many states are usually multiplied at a time, for which the weight is laid out.
    """
    weight_OI = _joined([_weight(layer) for layer in layers]).to(dtype)
    biases = [layer.bias.detach() for layer in layers if layer.bias is not None]
    assert len(biases) in (0, len(layers))
    bias_O = _joined(biases).to(dtype) if biases else None
    packed = _packed(weight_OI, rows)
    if packed is None:
        return lambda states_NI: linear(states_NI, weight_OI, bias_O)
    multiply = torch.ops.mkldnn._linear_pointwise
    return lambda states_NI: multiply(states_NI, packed, bias_O, "none", [], "")


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def _weight(layer: Layer) -> Tensor:
    weight = layer.weight.detach()
    return weight.T if isinstance(layer, Conv1D) else weight


def _packed(weight_OI: Tensor, rows: int) -> Tensor | None:
    """The weight in oneDNN's own layout; None where torch would not multiply with oneDNN either,
    has none, or gets another product by it.
    """
    is_half = weight_OI.dtype == torch.bfloat16
    if not is_half and torch.get_float32_matmul_precision() == "highest":
        return None
    try:
        packed = torch.ops.mkldnn._reorder_linear_weight(weight_OI.contiguous(), rows)
        state_1I = torch.linspace(-1, 1, weight_OI.shape[1], dtype=weight_OI.dtype)[None]
        found = torch.ops.mkldnn._linear_pointwise(state_1I, packed, None, "none", [], "")
    except (RuntimeError, AttributeError, NotImplementedError):
        return None
    gap = (found - linear(state_1I, weight_OI)).float().norm()
    return packed if gap <= LARGEST_ERROR[is_half] * found.float().norm() else None
