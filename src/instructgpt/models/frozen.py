"""Networks that are read and never trained: held in the forward's dtype, and on the disk while
nobody reads them.
"""

import ctypes
import mmap
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from instructgpt.models.forward import head_is_plain
from instructgpt.run.tuning import forward_dtype


def hold_as_read(model: PreTrainedModel, dtype: str) -> None:
    """Hold in the forward's `dtype` those weights that autocast would round to it in each pass.

    The numbers are the same, in half the memory: embeddings, norms and an output layer that is the
    embedding stay float32, as under autocast. From then on the model is read under autocast alone.
    """
    if forward_dtype(dtype) == "float32":
        return
    if model.get_output_embeddings() is not None:
        head_is_plain(model)  # compared in float32, once
    products = [m for m in model.modules() if isinstance(m, nn.Linear | Conv1D)]
    others = [m for m in model.modules() if not isinstance(m, nn.Linear | Conv1D)]
    shared = {id(p) for module in others for p in module.parameters(recurse=False)}
    for module in products:
        for parameter in module.parameters(recurse=False):
            if id(parameter) not in shared:
                parameter.data = parameter.data.to(getattr(torch, forward_dtype(dtype)))


ALIGNMENT = 64
"""Where torch's own memory begins; a product may round otherwise where its factors begin elsewhere,
as weights that a loader has mapped do.
"""


class KeptOnDisk:
    """The weights of frozen networks in a file without a name, from which they are read.

    The file is mapped: what a pass reads comes from the system's cache of files, which gives way
    where memory is short, and `rest` takes it out of this process. The file is gone with the
    process, however that ends. Where there is no such file (another system than Linux, a full
    disk), the weights stay where they are.

    Args:
        models: on a CPU, whole, and with gradients switched off.
        folder: on the disk to be used.
    """

    def __init__(self, models: Sequence[nn.Module], folder: Path) -> None:
        self._storage: torch.UntypedStorage | None = None
        weights = {id(p): p for model in models for p in model.parameters() if p.is_contiguous()}
        assert not any(weight.requires_grad or weight.is_cuda for weight in weights.values())
        try:
            self._storage = _moved(list(weights.values()), folder)
        except OSError:  # no room, or no such files here
            for weight in weights.values():
                if weight.data_ptr() % ALIGNMENT:  # or sums would round otherwise than in the file
                    weight.data = weight.data.clone()

    def rest(self) -> None:
        """Nobody reads the networks for a while: take their pages out of this process."""
        if self._storage is not None:
            start, size = self._storage.data_ptr(), self._storage.nbytes()
            libc = ctypes.CDLL(None)
            libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(size), mmap.MADV_DONTNEED)


def _moved(weights: Sequence[nn.Parameter], folder: Path) -> torch.UntypedStorage:
    """The file, mapped, once the weights have become parts of it."""
    with tempfile.TemporaryFile(dir=folder) as file:
        places = [_append(file, weight.detach()) for weight in weights]
        size = file.tell()
        file.flush()
        # Private, so that it could not be written to; and nobody else can open the file.
        path = f"/proc/self/fd/{file.fileno()}"
        try:
            storage = torch.UntypedStorage.from_file(path, shared=False, nbytes=size)
        except RuntimeError as error:
            raise OSError(str(error)) from None
    assert isinstance(storage, torch.UntypedStorage)
    for weight, place in zip(weights, places, strict=True):
        part = torch.empty(0, dtype=weight.dtype)
        part.set_(storage, place // weight.element_size(), weight.shape)  # type: ignore[call-overload]
        weight.data = part
    return storage


def _append(file: IO[bytes], weight: Tensor) -> int:
    """Write a weight at the file's next aligned place; returns the place."""
    file.write(bytes(-file.tell() % mmap.PAGESIZE))
    place = file.tell()
    file.write(weight.reshape(-1).view(torch.uint8).numpy().data)
    return place
