"""Networks spread over processes: FSDP2 on a mesh (replicate × shard), whole where that is needed.

Parameters, gradients, moments and averages then exist once per shard group. Layers are gathered for
the time of a pass, in the forward's dtype; the shards themselves stay float32.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from types import MethodType
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from instructgpt.distributed.joining import BACKENDS
from instructgpt.distributed.world import Gathered, World
from instructgpt.errors import UserError
from instructgpt.models.device import VISITED, compute_device
from instructgpt.models.dropout import decoder_layers
from instructgpt.models.forward import ENTER, head_is_plain
from instructgpt.models.parts import trunk
from instructgpt.models.rows import pad_rows
from instructgpt.run.config import StageConfig
from instructgpt.run.tuning import forward_dtype


def shard(model: PreTrainedModel, config: StageConfig, world: World) -> None:
    """Spread a network over the processes, in place; recompute its layers if asked to.

    Each layer is a unit of its own, embeddings and head another. Alone on a GPU a network is spread
    too if it is to be offloaded: its weights then wait in the machine's memory, layer by layer.

    Raises:
        UserError: the processes cannot be divided into groups of `shard_size`.
    """
    layers = decoder_layers(model)
    if model.get_output_embeddings() is not None:
        head_is_plain(model)  # compares full weights, and remembers
    if config.activation_checkpointing:
        for layer in layers:
            layer.forward = _recomputed(layer.forward)
    device = compute_device(model)
    offloads = config.cpu_offload and device.type != "cpu"
    if world.size == 1 and not offloads:
        return
    from torch.distributed.fsdp import (
        CPUOffloadPolicy,
        MixedPrecisionPolicy,
        OffloadPolicy,
        fully_shard,
        register_fsdp_forward_method,
    )

    settings: dict[str, Any] = {
        "mesh": _mesh(device.type, world.size, config.shard_size or world.size),
        "mp_policy": MixedPrecisionPolicy(
            param_dtype=getattr(torch, forward_dtype(config.dtype)),
            reduce_dtype=torch.float32,
            cast_forward_inputs=False,
        ),
        "offload_policy": CPUOffloadPolicy() if offloads else OffloadPolicy(),
        # By default the root stays whole after a pass without gradient, and would be saved,
        # restored or assigned to as if it were the shards.
        "reshard_after_forward": True,
    }
    for layer in layers:
        fully_shard(layer, **settings)
    setattr(model, ENTER, MethodType(_enter, model))
    fully_shard(model, **settings)
    register_fsdp_forward_method(model, ENTER)
    for unit in _units(model):  # losses are divided by global counts: gradients add up
        unit.set_gradient_divide_factor(1.0)
        unit.set_force_sum_reduction_for_comms(True)
    if offloads:
        VISITED[model] = device


def _enter(self: PreTrainedModel, compute: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return compute(self, *args, **kwargs)


@cache
def _mesh(device: str, size: int, shard_size: int) -> Any:
    from torch.distributed.device_mesh import init_device_mesh

    if size % shard_size:
        raise UserError(
            f"shard_size {shard_size} does not divide the {size} processes; give a divisor"
        )
    if not dist.is_initialized():  # a process alone
        dist.init_process_group(BACKENDS, store=dist.HashStore(), rank=0, world_size=1)
    if shard_size == size:
        return init_device_mesh(device, (size,), mesh_dim_names=("shard",))
    shape = (size // shard_size, shard_size)
    return init_device_mesh(device, shape, mesh_dim_names=("replicate", "shard"))


def _recomputed(forward: Callable[..., Any]) -> Callable[..., Any]:
    """A layer's forward that keeps its inputs alone and runs again in the backward pass. It is
    marked: without gradient it is the layer's own.
    """

    def call(*args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*args, **kwargs)
        return checkpoint(forward, *args, use_reentrant=False, **kwargs)

    call.is_recomputed = True  # type: ignore[attr-defined]
    return call


def is_sharded(model: nn.Module) -> bool:
    """Whether a network is sharded, or waits in the machine's memory."""
    return bool(_units(model))


def _units(model: nn.Module) -> list[Any]:
    """The modules that FSDP gathers one by one, the root first; none where nothing is sharded."""
    return [module for module in model.modules() if hasattr(module, "unshard")]


# -------------------------------------------------------------------- reading


def gathered(models: Sequence[PreTrainedModel], config: StageConfig, world: World) -> Gathered:
    """Networks to be read by each process for itself (see `World.map_shares`).

    Weights are gathered once; where they do not fit (`gather_weights: false`), layer by layer in
    each pass, and a process that is done makes empty passes until all are.
    """
    if not any(map(is_sharded, models)):
        return Gathered()
    if config.gather_weights:
        return Gathered(_gathered_once(models))
    return Gathered(_in_step(models, world), in_step=True)


@contextmanager
def _gathered_once(models: Sequence[PreTrainedModel]) -> Iterator[None]:
    units = [unit for model in models for unit in _units(model)]
    for unit in units:
        unit.set_reshard_after_forward(False, recurse=False)
    try:
        for unit in units:
            unit.unshard()
        yield
    finally:
        for unit in units:
            unit.reshard()
            unit.set_reshard_after_forward(True, recurse=False)


@contextmanager
def _in_step(models: Sequence[PreTrainedModel], world: World) -> Iterator[None]:
    """Before each pass all processes agree on the model that is read; who has another to read, or
    is done, makes an empty pass.
    """

    def announce(number: int) -> None:
        while (turn := int(world.max(number))) != number:
            entries[turn - 1](_empty_pass)

    def before_forward(number: int) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            if not entered:
                announce(number)

        return hook

    def before_entering(number: int, enter: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            announce(number)
            entered.append(number)  # what is computed inside may call the model itself
            try:
                return enter(*args, **kwargs)
            finally:
                entered.pop()

        return call

    entered: list[int] = []
    entries = [getattr(model, ENTER) for model in models]
    handles = []
    for number, (model, enter) in enumerate(zip(models, entries, strict=True), 1):
        handles.append(model.register_forward_pre_hook(before_forward(number), prepend=True))
        setattr(model, ENTER, before_entering(number, enter))
    try:
        yield
        announce(0)  # until nobody reads any more
    finally:
        for model, enter in zip(models, entries, strict=True):
            setattr(model, ENTER, enter)
        for handle in handles:
            handle.remove()


def _empty_pass(model: PreTrainedModel) -> Tensor:
    """Reads one token: every layer is gathered, as in any other pass."""
    rows = pad_rows([[0]], [[0]], device=compute_device(model))
    return trunk(model)(input_ids=rows.tokens_BT, use_cache=False).last_hidden_state


# -------------------------------------------------------------------- weights


def full_tensor(tensor: Tensor) -> Tensor:
    """The whole of a tensor that may be sharded; a norm over shards becomes the norm."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor  # type: ignore[operator]


def full_weights(model: PreTrainedModel, world: World) -> dict[str, Tensor] | None:
    """A sharded network's whole weights on the CPU of the first process; None where not sharded.

    Gathered one by one: no process but the first holds more than one of them.
    """
    if not is_sharded(model):
        return None
    weights: dict[str, Tensor] = {}
    gathered: dict[int, Tensor] = {}  # by parameter: tied names keep one tensor
    for name, parameter in model.state_dict(keep_vars=True).items():
        if id(parameter) not in gathered:
            tensor = full_tensor(parameter.detach())
            gathered[id(parameter)] = tensor.cpu() if world.is_first else tensor.new_empty(0)
        weights[name] = gathered[id(parameter)]
    return weights


@torch.no_grad()
def assign(parameter: Tensor, value: Tensor) -> None:
    """Set a parameter, sharded or not, to a whole tensor that every process holds."""
    if hasattr(parameter, "device_mesh"):
        from torch.distributed.tensor import distribute_tensor

        value = value.to(parameter.device, parameter.dtype)
        value = distribute_tensor(value, parameter.device_mesh, parameter.placements)  # type: ignore[attr-defined]
    parameter.copy_(value)


def load_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Set all parameters to whole tensors that every process holds, by name."""
    for name, parameter in model.named_parameters():
        assign(parameter, weights[name])
