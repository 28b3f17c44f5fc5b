"""How much memory a process took at most, and whether an error means that there was too little."""

import sys

import torch

try:
    import resource
except ImportError:  # Windows
    resource = None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory could not be had, on the CPU or on a GPU."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and "allocate memory" in str(error)
    )


def peak_memory_bytes() -> int:
    """Of this process; on a GPU, of what torch allocated there; 0 where the system does not say."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    if resource is None:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
