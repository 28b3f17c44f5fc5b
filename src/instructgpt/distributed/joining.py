"""How processes find each other: the environment that torchrun gives them, and their store."""

import os
import re
import time
from datetime import timedelta

import torch
import torch.distributed as dist

from instructgpt.distributed.watch import Watch
from instructgpt.errors import UserError
from instructgpt.run import progress

BACKENDS = "cuda:nccl,cpu:gloo"
"""What carries tensors of GPUs, and those that wait in the machine's memory."""
PATIENCE = timedelta(days=7)
"""How long a collective waits: people may rank for days. Dead processes are found by `watch`."""
GATHERING = timedelta(minutes=10)
"""How long the processes wait for each other at the start; machines may boot meanwhile."""


def whole_number(name: str, default: str = "0", *, least: int = 0) -> int:
    """A number that torchrun puts into the environment.

    Raises:
        UserError: it is none, or below `least`.
    """
    value = os.environ.get(name, default)
    if not re.fullmatch("[0-9]{1,6}", value) or int(value) < least:
        raise UserError(
            f"{name} is {value!r} in the environment, not a whole number from {least} on; start "
            f"with torchrun, or unset {name}"
        )
    return int(value)


def join(rank: int, size: int) -> Watch:
    """Meet the others; the watch over them has begun.

    Raises:
        UserError: they did not come, or this process has no GPU of its own.
    """
    if torch.cuda.is_available():
        place, there = whole_number("LOCAL_RANK"), torch.cuda.device_count()
        if place >= there:
            raise UserError(
                f"LOCAL_RANK is {place}, but there are {there} GPUs; start fewer processes"
            )
        torch.cuda.set_device(place)
    if rank:
        progress.silence()
    try:
        store, _, _ = next(iter(dist.rendezvous("env://", timeout=GATHERING)))
    except RuntimeError as error:
        raise UserError(
            f"process {rank} of {size} did not find the others in "
            f"{GATHERING.total_seconds() / 60:.0f} minutes ({str(error).splitlines()[0]}); start "
            "all of them, with the same MASTER_ADDR and MASTER_PORT"
        ) from None
    store = unused(store, rank, size)
    dist.init_process_group(
        BACKENDS if torch.cuda.is_available() else "gloo",
        store=dist.PrefixStore("work", store),
        rank=rank,
        world_size=size,
        timeout=PATIENCE,
    )
    return Watch(store, rank, size)


def unused(store: dist.Store, rank: int, size: int) -> dist.Store:
    """A part of the store that no earlier start has written to.

    torchrun keeps the store when it starts all processes again, and counts its starts on each
    machine apart. So the first process counts them and answers the others, who ask by a name of
    their own: what they asked in earlier starts still stands there.
    """
    if rank == 0:
        start = str(store.add("starts", 1))
        waiting = set(range(1, size))
        while waiting:
            for other in sorted(waiting):
                if store.check([f"heard/{start}/{other}"]):
                    waiting.remove(other)
                elif store.check([f"asked/{other}"]):
                    store.set(f"answer/{store.get(f'asked/{other}').decode()}", start)
            time.sleep(0.02)
    else:
        name = os.urandom(8).hex()
        store.set(f"asked/{rank}", name)
        start = store.get(f"answer/{name}").decode()
        store.set(f"heard/{start}/{rank}", "")
    return dist.PrefixStore(f"start-{start}", store)
