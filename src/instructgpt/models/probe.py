"""Whether a network reads rows as the three stages need it, found by trying a few tokens.

Axes: T time over a row.
"""

import torch
from torch import Tensor
from transformers import PreTrainedModel

from instructgpt.errors import UserError
from instructgpt.models.device import compute_device
from instructgpt.models.fit import context_length, embedding_rows
from instructgpt.models.forward import (
    ENTER,
    evaluating,
    exact,
    hidden_states,
    last_token_scores,
    model_logits,
)
from instructgpt.models.once import once_per_model
from instructgpt.models.opening import first_line
from instructgpt.models.rows import Rows, pad_rows

LENGTHS = (9, 5)
"""Of the rows that are tried."""
LARGEST_ERROR = 1e-3
"""Relative: between rounding (1e-6) and a token that is seen by mistake (1e-2)."""
LARGEST_ERROR_16 = 5e-2
"""The same where weights have 16 bits."""
UNABLE = {"reformer": "whose layers go backward in training mode alone"}
"""Architectures of which no forward pass tells that they cannot be trained here, and why."""


def require_readable(model: PreTrainedModel, *, role: str) -> None:
    """A row's numbers may depend neither on what comes later nor on what it is padded with; a score
    must be the last token's.

    Args:
        model: a causal language model, or a classifier with one label.
        role: what it is called, such as its path.

    Raises:
        UserError: one does.
    """
    device = compute_device(model)
    if hasattr(model, ENTER) or device.type == "meta":
        return
    name = type(model).__name__
    if why := UNABLE.get(model.config.model_type):
        raise UserError(f"{role} is a {name}, {why}; choose another architecture")
    try:
        with exact(device), torch.no_grad(), evaluating(model):
            fault = _fault(model)
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"{role}: {name} does not run ({first_line(error)}); choose another model or depth"
        ) from error
    if fault:
        raise UserError(f"{role} is a {name}, {fault}; choose another architecture")


@once_per_model
def _fault(model: PreTrainedModel) -> str:
    """What is wrong with how a model reads rows, or nothing."""
    is_scorer = "SequenceClassification" in type(model).__name__
    read = hidden_states if is_scorer else model_logits
    long, short = _rows(model)
    if len(short) < 2:
        return ""
    device = compute_device(model)

    def laid_out(*rows: list[int]) -> Rows:
        return pad_rows(list(rows), [[]] * len(rows), device=device)

    both = read(model, laid_out(long, short))
    alone = read(model, laid_out(short))[0]
    if _differ(both[0, : len(short)], alone):
        return "in which a token sees those that come after it"
    if _differ(both[1, : len(short)], alone):
        return "in which a row sees what it is padded with"
    if is_scorer:
        raw = model(input_ids=torch.tensor([long], device=device)).logits[0]
        if _differ(last_token_scores(model, laid_out(long)), raw):
            return "whose score is not a linear layer on the last token's state"
    return ""


def _rows(model: PreTrainedModel) -> list[list[int]]:
    """A row, and its beginning; without the padding token, which transformers does not score."""
    room = context_length(model.config) or LENGTHS[0]
    padding = model.config.get_text_config().pad_token_id
    tokens = [token for token in range(min(embedding_rows(model), 16)) if token != padding]
    return [tokens[: min(length, room)] for length in LENGTHS]


def _differ(one: Tensor, other: Tensor) -> bool:
    largest = LARGEST_ERROR if one.dtype.itemsize > 2 else LARGEST_ERROR_16
    one, other = one.float().nan_to_num(), other.float().nan_to_num()  # NaN is refused elsewhere
    return bool((one - other).norm() > largest * other.norm())
