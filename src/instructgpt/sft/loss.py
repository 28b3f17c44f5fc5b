"""The supervised loss in its reference form: all logits at once.

Training takes the same sum from `models.forward.response_logprobs`, which holds a few rows of
logits at a time; tests hold the two against each other.

Axes: B batch, T time over the whole row (prompt and response), V vocabulary, N response tokens.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy


def completion_loss(
    logits_BTV: Float[Tensor, "B T V"],
    tokens_BT: Int[Tensor, "B T"],
    is_response_BT: Bool[Tensor, "B T"],
) -> tuple[Float[Tensor, ""], Int[Tensor, ""]]:
    """Negative log-likelihood of the responses, as (sum, count of response tokens).

    -Σ log p(token_t | tokens before t) over the response tokens, where the logits at t - 1 predict
    the token at t (InstructGPT section 3.5). With every token but the first in the response it is
    the pretraining term of eq. 2. Outside the response, tokens and logits may hold anything.

    >>> logits = torch.tensor([[[0.0, 0.0], [0.0, 1.0986123]]])  # odds of 1:1, then of 1:3
    >>> total, count = completion_loss(
    ...     logits, torch.tensor([[0, 1]]), torch.tensor([[False, True]])
    ... )
    >>> round(total.item(), 4), count.item()  # -log(1/2): only the first row of logits predicts
    (0.6931, 1)
    """
    if is_response_BT[:, 0].any():
        raise ValueError(
            "is_response_BT marks the token at position 0, which nothing predicts: "
            "begin the row with a prompt or a BOS token"
        )
    is_predicted_BT = is_response_BT[:, 1:]
    logits_NV = logits_BTV[:, :-1][is_predicted_BT]
    logits_NV = logits_NV.to(torch.promote_types(logits_NV.dtype, torch.float32))
    targets_N = tokens_BT[:, 1:][is_predicted_BT].long()
    return cross_entropy(logits_NV, targets_N, reduction="sum"), is_predicted_BT.sum()
