"""The one optimizer of all stages: Adam, clipped, never stepped on what is not finite."""

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from instructgpt.run.config import StageConfig


class NotFiniteError(RuntimeError):
    """A loss or a gradient is NaN or infinite; the optimizer step was not taken."""


def make_adam(module: nn.Module, config: StageConfig) -> AdamW:
    """Adam(0.9, 0.95) unless set otherwise (appendix C), over the parameters that train."""
    return AdamW(
        [parameter for parameter in module.parameters() if parameter.requires_grad],
        lr=0.0,
        betas=(config.adam_beta1, config.adam_beta2),
        eps=config.adam_epsilon,
        weight_decay=config.weight_decay,
        fused=True,
    )


def clip_and_step(
    optimizer: Optimizer, *, learning_rate: float, max_norm: float, what: str
) -> float:
    """Clip the gradient, set the learning rate, step, and clear the gradient.

    Args:
        optimizer: its parameters hold the gradient.
        learning_rate: for this step.
        max_norm: the norm to clip to.
        what: names the network in an error.

    Returns:
        The gradient's norm before clipping.

    Raises:
        NotFiniteError: the norm is NaN or infinite; weights and moments are untouched.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    norm = nn.utils.clip_grad_norm_(parameters, max_norm)
    if not torch.isfinite(norm):
        raise NotFiniteError(
            f"the gradient of the {what} is not finite; the step was not taken. "
            "Likely causes: a learning rate that is too high, or bfloat16 where float32 is needed"
        )
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return norm.item()


def gradient_norm(module: nn.Module) -> Tensor:
    """The norm of the gradient that has accumulated so far."""
    grads = [p.grad for p in module.parameters() if p.grad is not None]
    return torch.nn.utils.get_total_norm(grads)
