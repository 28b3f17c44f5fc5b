"""The one optimizer of all stages: Adam, clipped, never stepped on what is not finite."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from torch import Tensor, nn
from torch.optim import AdamW

from instructgpt.distributed.sharding import full
from instructgpt.distributed.state import TrainState
from instructgpt.distributed.world import World
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


class Losses:
    """The loss of one optimizer step, as its micro-batches come, and which of them was not finite.

    Args:
        world: the processes that share the micro-batches.
        name: names an item of the batch for a message.
    """

    def __init__(self, world: World, name: Callable[[int], str]) -> None:
        self._world, self._name = world, name
        self._parts: list[tuple[Sequence[int], Tensor]] = []

    def add(self, indices: Sequence[int], loss: Tensor) -> None:
        """A micro-batch: its items and its part of the loss, on the device."""
        self._parts.append((indices, loss.detach()))

    def culprits(self) -> list[str]:
        """The items of the micro-batches whose loss is not finite, of all processes, each once."""
        own = [
            self._name(index)
            for indices, loss in self._parts
            if not math.isfinite(loss.item())
            for index in indices
        ]
        return list(dict.fromkeys(name for names in self._world.gather(own) for name in names))


def take_step(
    state: TrainState, rates: Mapping[str, float], config: StageConfig, losses: Losses
) -> dict[str, float]:
    """Clip each network's gradient, step all networks, and clear the gradients.

    Args:
        state: networks and optimizers; the parameters hold the gradient.
        rates: each network's learning rate for this step.
        config: `max_grad_norm`, per network, and `on_nonfinite`.
        losses: the step's micro-batches.

    Returns:
        The gradients' norms before clipping, by network; empty if the step was left out, which is
        counted in `state.counters["skipped"]`.

    Raises:
        NotFiniteError: a gradient is NaN or infinite and `on_nonfinite` is `stop`; weights and
            moments are untouched.
    """
    norms: dict[str, float] = {}
    for name in rates:
        parameters = [p for group in state.optimizers[name].param_groups for p in group["params"]]
        norm = _total_norm(parameters)
        norms[name] = full(norm).item()
        if norms[name] > config.max_grad_norm:  # torch's `clip_grad_norm_` would multiply by 1
            nn.utils.clip_grads_with_norm_(parameters, config.max_grad_norm, norm)
    broken = [name for name, norm in norms.items() if not math.isfinite(norm)]
    for name, rate in rates.items():
        optimizer = state.optimizers[name]
        if not broken:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    if not broken:
        return norms
    if config.on_nonfinite == "stop":
        raise NotFiniteError(_explanation(broken, losses.culprits()))
    state.counters["skipped"] = state.counters.get("skipped", 0) + 1
    return {}


def _explanation(networks: Sequence[str], culprits: Sequence[str]) -> str:
    if culprits:
        shown = ", ".join(repr(name) for name in culprits[:NAMED])
        more = f" and {len(culprits) - NAMED} more" if len(culprits) > NAMED else ""
        what = f"the loss of {shown}{more} is not finite"
    else:
        what = f"the gradient of the {' and the '.join(networks)} is not finite, every loss is"
    return (
        f"{what}; the step was not taken. Likely causes: a learning rate that is too high, "
        "bfloat16 where float32 is needed, or a damaged record; --on_nonfinite skip leaves such "
        "steps out"
    )


NAMED = 3
"""How many items of a batch a message names."""


def gradient_norm(module: nn.Module) -> float:
    """The norm of the gradient that has accumulated so far."""
    return full(_total_norm(module.parameters())).item()


def _total_norm(parameters: Iterable[nn.Parameter]) -> Tensor:
    return nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
