"""`TrainState`: everything that decides a stage's future, to save and restore.

Weights, running averages, optimizer moments, batches in flight, and the counters from which every
random stream and every position in the data follow (`run.seeds`: a stream is a function of seed,
name and counters, so its state is its counters). What is not in here must not influence a result.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from instructgpt.models.device import compute_device


class TensorInfo(NamedTuple):
    """What a checkpoint tells of a tensor before it is read."""

    size: torch.Size
    dtype: torch.dtype


@dataclass
class TrainState:
    """The mutable state of one stage.

    Attributes:
        modules: the networks being trained, by name.
        optimizers: each network's optimizer, under the same name.
        averages: running averages of weights (EMA), by network and parameter name.
        tensors: batches in flight, such as PPO's experience between two minibatches.
        counters: JSON-ready numbers: optimizer step, iteration, position in the data, adaptive
            coefficients.
    """

    modules: dict[str, nn.Module]
    optimizers: dict[str, Optimizer]
    averages: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    counters: dict[str, Any] = field(default_factory=dict)

    @property
    def updates(self) -> int:
        """Updates gone through: optimizer steps taken, and those left out (`on_nonfinite`)."""
        return self.counters["step"] + self.counters.get("skipped", 0)

    def to_tensors(self) -> dict[str, Tensor]:
        """All tensors under flat names, `group.network.parameter`."""
        flat: dict[str, Tensor] = {f"batch.{name}": tensor for name, tensor in self.tensors.items()}
        for network, module in self.modules.items():
            flat |= {f"weight.{network}.{name}": p for name, p in module.named_parameters()}
        for network, average in self.averages.items():
            flat |= {f"average.{network}.{name}": tensor for name, tensor in average.items()}
        for network, optimizer in self.optimizers.items():
            for name, parameter in _trained(self.modules[network]).items():
                for key, value in optimizer.state.get(parameter, {}).items():
                    flat[f"{key}.{network}.{name}"] = value
        return flat

    def places(self, shapes: Mapping[str, TensorInfo]) -> dict[str, Tensor]:
        """Where a checkpoint's tensors go, sharded like the networks: the weights, averages and
        moments themselves, and new tensors for batches.
        """
        places = {
            name: tensor.detach()
            for name, tensor in self.to_tensors().items()
            if name.startswith(("weight.", "average.")) or (name in shapes and _is_moment(name))
        }
        for name, shape in shapes.items():
            if name.startswith(("step.", "batch.")) and name not in places:
                places[name] = torch.empty(shape.size, dtype=shape.dtype)
        return places

    @torch.no_grad()
    def restore(self, tensors: Mapping[str, Tensor], counters: Mapping[str, Any]) -> None:
        """Take back what `to_tensors` gave, or what was read into `places`, to the bit."""
        for network, module in self.modules.items():
            for name, parameter in module.named_parameters():
                _copy(parameter, tensors[f"weight.{network}.{name}"])
        for network, average in self.averages.items():
            for name, tensor in average.items():
                _copy(tensor, tensors[f"average.{network}.{name}"])
        for network, optimizer in self.optimizers.items():
            self._restore_optimizer(network, optimizer, tensors)
        device = compute_device(next(iter(self.modules.values())))
        in_flight = {
            name.removeprefix("batch."): tensor.to(device)
            for name, tensor in tensors.items()
            if name.startswith("batch.")
        }
        self.replace(counters, in_flight)

    def replace(self, counters: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Other counters and batches in flight, in place: who holds the old ones sees them."""
        for own, other in ((self.counters, dict(counters)), (self.tensors, dict(tensors))):
            own.clear()
            own.update(other)

    def _restore_optimizer(
        self, network: str, optimizer: Optimizer, tensors: Mapping[str, Tensor]
    ) -> None:
        """Adam's two moments and its step count; a parameter that has none yet gets none."""
        for name, parameter in _trained(self.modules[network]).items():
            if f"exp_avg.{network}.{name}" not in tensors:
                optimizer.state.pop(parameter, None)
                continue
            moments = optimizer.state.setdefault(parameter, {})
            for key in MOMENTS:
                found = tensors[f"{key}.{network}.{name}"]
                if key in moments:
                    _copy(moments[key], found)
                else:
                    moments[key] = found.to(parameter.device, copy=True)


MOMENTS = ("step", "exp_avg", "exp_avg_sq")
"""What Adam knows of a parameter."""


def _is_moment(name: str) -> bool:
    return name.split(".", 1)[0] in MOMENTS


def _copy(place: Tensor, tensor: Tensor) -> None:
    if place.data_ptr() != tensor.data_ptr():  # it was read into its place
        place.copy_(tensor)


def _trained(module: nn.Module) -> dict[str, nn.Parameter]:
    return {name: p for name, p in module.named_parameters() if p.requires_grad}
