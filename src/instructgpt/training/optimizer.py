"""The one optimizer of all stages: Adam, clipped, never stepped on what is not finite."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import AdamW

from instructgpt.distributed.sharding import full_tensor, is_sharded
from instructgpt.distributed.world import World
from instructgpt.run.config import StageConfig
from instructgpt.run.progress import say
from instructgpt.training.state import TrainState


class NotFiniteError(RuntimeError):
    """A loss or a gradient is NaN or infinite; the optimizer step was not taken."""


class BrokenWeightsError(RuntimeError):
    """A weight is NaN or infinite: the network must not be written."""


def unfreeze(module: nn.Module) -> None:
    """A network that is frozen whole, as an earlier PPO leaves a reward model, is to be trained
    again; one of which a part is frozen stays as it is.
    """
    if not any(parameter.requires_grad for parameter in module.parameters()):
        module.requires_grad_(True)


def make_adam(module: nn.Module, config: StageConfig) -> AdamW:
    """Adam(0.9, 0.95) unless set otherwise (appendix C), over the parameters that train.

    Its moments are made at once. In the first step they would come to lie scattered among what a
    backward pass has just freed, and leave no room there for the next one.
    """
    adam = AdamW(
        [parameter for parameter in module.parameters() if parameter.requires_grad],
        lr=0.0,
        betas=(config.adam_beta1, config.adam_beta2),
        eps=config.adam_epsilon,
        weight_decay=config.weight_decay,
        fused=True,
    )
    for parameter in adam.param_groups[0]["params"]:
        adam.state[parameter] = {
            "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
            "exp_avg": torch.zeros_like(parameter, requires_grad=False),
            "exp_avg_sq": torch.zeros_like(parameter, requires_grad=False),
        }
    return adam


class Losses:
    """The loss of one optimizer step, as its micro-batches come, and which of them was not finite.

    Args:
        world: the processes that share the micro-batches.
        name: names an item of the batch for a message.
    """

    def __init__(self, world: World, name: Callable[[int], str]) -> None:
        self._world, self._name = world, name
        self._parts: list[_Part] = []

    def add(
        self,
        indices: Sequence[int],
        loss: Tensor,
        *,
        kind: str = "loss",
        name: Callable[[int], str] | None = None,
    ) -> None:
        """A micro-batch: its items and its part of the loss, on the device; `kind` and `name` are
        those of another loss than the batch's own.
        """
        self._parts.append(_Part(kind, name or self._name, indices, loss.detach()))

    def culprits(self) -> dict[str, list[str]]:
        """By kind of loss the items of the micro-batches in which it is not finite, of all
        processes, each once.
        """
        own = [
            (part.kind, shortened(part.name(index)))
            for part in self._parts
            if not math.isfinite(part.loss.item())
            for index in part.indices
        ]
        by_kind: dict[str, list[str]] = {}
        everyone = dict.fromkeys(item for items in self._world.gather(own) for item in items)
        for kind, name in everyone:
            by_kind.setdefault(kind, []).append(name)
        return by_kind


class _Part(NamedTuple):
    kind: str
    name: Callable[[int], str]
    indices: Sequence[int]
    loss: Tensor


def shortened(text: str, width: int = 80) -> str:
    """The beginning of a long text."""
    return text if len(text) <= width else f"{text[: width - 1]}…"


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
        norms[name] = full_tensor(norm).item()
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
    cause = _cause(broken, losses.culprits())
    if config.on_nonfinite == "stop":
        raise NotFiniteError(
            f"{cause}; the step was not taken. Likely causes: a learning rate that is too high, "
            "bfloat16 where float32 is needed, or a damaged record; --on_nonfinite skip leaves "
            "such steps out"
        )
    say(f"an update is left out: {cause}")
    state.counters["skipped"] = state.counters.get("skipped", 0) + 1
    return {}


def _cause(networks: Sequence[str], culprits: Mapping[str, Sequence[str]]) -> str:
    """Which losses are not finite, or else which gradients."""
    if not culprits:
        named = " and the ".join(NETWORKS.get(network, network) for network in networks)
        return f"the gradient of the {named} is not finite, every loss is"
    return " and ".join(
        f"the {kind} of {', '.join(map(repr, names[:NAMED]))}"
        f"{f' and {len(names) - NAMED} more' if len(names) > NAMED else ''} is not finite"
        for kind, names in culprits.items()
    )


def check_finite(tensors: Mapping[str, Tensor], world: World) -> None:
    """Nothing that is NaN or infinite is written.

    Args:
        tensors: weights and moments under `TrainState.to_tensors`' names, whole or this process's
            shards; others are passed over.
        world: the processes; all call this together.

    Raises:
        BrokenWeightsError: one is not finite, in any process; in all of them.
    """
    kept = {name: t for name, t in tensors.items() if name.partition(".")[0] in KINDS}
    local = {name: t.to_local() if hasattr(t, "to_local") else t for name, t in kept.items()}  # type: ignore[operator]
    present = {name: t.detach() for name, t in local.items() if t.numel()}
    fine = [torch.stack(torch.aminmax(t)).isfinite().all().cpu() for t in present.values()]
    broken = [name for name, is_fine in zip(present, fine, strict=True) if not is_fine]
    for name in (name for names in world.gather(broken[:1]) for name in names):
        kind, network, parameter = name.split(".", 2)
        raise BrokenWeightsError(
            f"the {KINDS[kind]} '{parameter}' of the {NETWORKS.get(network, network)} is not "
            "finite, so nothing is written and what was saved before stays; likely cause: a "
            "learning rate that is too high. Begin again with a lower one and another --out, or go "
            "on from an earlier checkpoint with --resume"
        )


KINDS = {
    "weight": "weight",
    "average": "averaged weight",
    "exp_avg": "first moment of",
    "exp_avg_sq": "second moment of",
}
"""What `check_finite` looks at, by the first part of its name."""


NETWORKS = {"reward": "reward model"}
"""What a network is called, where not by its name in the state."""
NAMED = 3
"""How many items of a batch a message names."""


class AddedGradient:
    """The norm of what a backward pass adds to the gradient that a module holds.

    As a copy of a gradient is much memory, what one pass adds is read as it comes, weight by
    weight; only where several passes add up, or other processes add theirs, the gradient before
    them is copied.

    Args:
        module: holds a gradient.
        passes: how many backward passes follow in all processes together.
    """

    def __init__(self, module: nn.Module, *, passes: int) -> None:
        self._parameters = [p for p in module.parameters() if p.grad is not None]
        self._norms: dict[nn.Parameter, Tensor] = {}
        self._before: list[Tensor] = []
        self._handles = []
        if passes == 1 and not is_sharded(module):  # a shard's gradient comes without a hook
            self._handles = [p.register_hook(partial(self._note, p)) for p in self._parameters]
        else:
            self._before = [p.grad.clone() for p in self._parameters if p.grad is not None]

    def _note(self, parameter: nn.Parameter, added: Tensor) -> None:
        assert parameter.grad is not None
        total = parameter.grad + added
        self._norms[parameter] = torch.linalg.vector_norm(total.sub_(parameter.grad))

    def norm(self) -> float:
        """After the passes."""
        for handle in self._handles:
            handle.remove()
        for parameter, before in zip(self._parameters, self._before, strict=False):
            assert parameter.grad is not None
            # In place: a third gradient beside these two would be the most that an update holds.
            before.neg_().add_(parameter.grad)
        if self._before:
            return full_tensor(nn.utils.get_total_norm(self._before)).item()
        norms = [self._norms[p] for p in self._parameters if p in self._norms]
        return torch.linalg.vector_norm(torch.stack(norms)).item()


def gradient_norm(module: nn.Module) -> float:
    """The norm of the gradient that has accumulated so far."""
    return full_tensor(_total_norm(module.parameters())).item()


def _total_norm(parameters: Iterable[nn.Parameter]) -> Tensor:
    return nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
