"""Which float32 products and which precision are the faster ones here.

Float sums depend on both, so the same machine must decide the same way from every start. What the
processor is decides, by a table of what was measured; what the table does not know is measured once
and kept in the machine's cache.
"""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch

from instructgpt.errors import UserError
from instructgpt.run import products
from instructgpt.run.cache import cache_folder, made_once
from instructgpt.run.disk import write_atomically
from instructgpt.run.files import parse_json
from instructgpt.run.processor import Processor, this_processor
from instructgpt.run.progress import say


class Choice(NamedTuple):
    """What was chosen, why, and what said so."""

    value: str
    reason: str
    source: str


class Known(NamedTuple):
    """A kind of processor, and what is faster there; None is not known."""

    name: str
    holds: Callable[[Processor], bool]
    matmul: str | None
    dtype: str | None
    reason: str


AVX512 = frozenset({"avx512f", "avx512bw", "avx512vl", "avx512dq"})
"""What oneDNN and torch ask for before `medium` means anything else than `highest`."""
HALF = frozenset({"avx512_bf16", "amx_bf16"})
"""x86 units that multiply bfloat16."""
CONVERTS = frozenset({"avx_ne_convert"})
"""Newer x86 without AVX-512 that torch may use bfloat16 on all the same."""


def _x86(maker: str, *, half: bool) -> Callable[[Processor], bool]:
    return lambda p: (
        (p.kind, p.maker) == ("x86", maker)
        and p.features >= AVX512
        and bool(p.features & HALF) == half
    )


TABLE = (
    Known(
        "x86 without AVX-512",
        lambda p: p.kind == "x86" and "avx2" in p.features and not p.features & (AVX512 | CONVERTS),
        "highest",
        "float32",
        "medium is the same product there, to the bit, and bfloat16 is emulated, 30 times as slow",
    ),
    Known(
        "AMD with AVX-512 and bfloat16 units",
        _x86("AMD", half=True),
        "medium",
        "bfloat16",
        "MKL's product is slow on AMD; oneDNN's, still true float32, is 3 times as fast and its "
        "bfloat16 7 times",
    ),
    Known(
        "AMD with AVX-512",
        _x86("AMD", half=False),
        "medium",
        "float32",
        "MKL's product is slow on AMD; oneDNN's, still true float32, is 3 times as fast",
    ),
    Known(
        "Intel with AVX-512 and bfloat16 units",
        _x86("Intel", half=True),
        "highest",
        "bfloat16",
        "MKL is at home on Intel, and with matrix units medium would round to bfloat16",
    ),
    Known(
        "Intel with AVX-512",
        _x86("Intel", half=False),
        "highest",
        "float32",
        "MKL is at home on Intel, and bfloat16 has no units",
    ),
    Known(
        "ARM without bfloat16 instructions",
        lambda p: p.kind == "ARM" and "asimd" in p.features and "bf16" not in p.features,
        "highest",
        "float32",
        "one library makes all products, and bfloat16 has no units",
    ),
    Known(
        "ARM with bfloat16 instructions",
        lambda p: p.kind == "ARM" and "bf16" in p.features,
        "highest",
        None,
        "medium would round to bfloat16",
    ),
    Known(
        "Apple",
        lambda p: p.kind == "Apple",
        "highest",
        None,
        "one library makes all products",
    ),
)
"""What was measured (benchmarks/NOTES.md, docs/run-directory.md) or follows from the instructions a
processor has; the first that holds counts.
"""

STEERING = (
    *("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ONEDNN_DEFAULT_FPMATH_MODE"),
    *("ATEN_CPU_CAPABILITY", "MKL_ENABLE_INSTRUCTIONS", "MKL_DEBUG_CPU_TYPE"),
)
"""Environment variables that tell the libraries to be another processor's."""


def faster_matmul(device: str = "auto") -> Choice:
    """`medium` where it is a faster true float32 on this CPU, else torch's default `highest`.

    On x86 without bfloat16 matrix units, `medium` only moves float32 products from MKL to oneDNN.
    Elsewhere it may round to bfloat16, so the error is measured as well; on a GPU it always rounds.
    """
    if is_gpu(device):
        return Choice("highest", "on a GPU any other one rounds", "table: GPU")
    if not torch.backends.mkldnn.is_available():
        return Choice("highest", "this torch knows one product", "table: torch without oneDNN")
    if (found := _known()) and found.matmul:
        if found.matmul == "medium" and not products.is_single("medium"):
            return Choice("highest", "medium's products err more than float32's", "measured error")
        return Choice(found.matmul, found.reason, f"table: {found.name}")
    return _kept("matmul", products.compare_precisions)


def faster_dtype(device: str = "auto") -> Choice:
    """`bfloat16` where its products are faster than float32's as they are set now, else `float32`:
    a processor without bfloat16 units takes several times as long with it.
    """
    if is_gpu(device):
        has_units = torch.cuda.is_bf16_supported(including_emulation=False)
        value, has = ("bfloat16", "has") if has_units else ("float32", "has no")
        return Choice(value, f"the GPU {has} bfloat16 units", "table: GPU")
    if (found := _known()) and found.dtype:
        if found.dtype == "bfloat16" and not products.is_half():
            return Choice("float32", "bfloat16's products err too much", "measured error")
        return Choice(found.dtype, found.reason, f"table: {found.name}")
    return _kept("dtype", products.compare_dtypes)


def is_gpu(device: str) -> bool:
    """Whether a configured device means a GPU."""
    return device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())


def _known() -> Known | None:
    """What the table says of this processor; nothing where the libraries are not the usual ones."""
    processor = this_processor()
    unusual = processor.kind == "x86" and not torch.backends.mkl.is_available()
    if unusual or any(name in os.environ for name in STEERING):
        return None
    return next((known for known in TABLE if known.holds(processor)), None)


# -------------------------------------------------------------------- measured, and kept


def _kept(kind: str, measure: Callable[[], tuple[str, str]]) -> Choice:
    """What the machine's cache says, or what is measured now and kept there."""
    path, key = cache_file(), _fingerprint()
    with made_once(path):
        kept = _read(path)
        entry = kept.get(key, {}).get(kind)
        if isinstance(entry, dict) and entry.keys() >= {"value", "reason"}:
            return Choice(entry["value"], entry["reason"], f"measured, kept in {path}")
        value, reason = measure()
        facts = {"processor": this_processor().name, "torch": torch.__version__}
        before = kept.get(key, {})
        kept[key] = {**facts, **before, kind: {"value": value, "reason": reason}}
        try:
            write_atomically(path, json.dumps(kept, indent=1) + "\n")
        except UserError as error:
            say(f"{path} cannot be written, so the next start measures {kind} again ({error})")
            return Choice(value, reason, "measured")
    return Choice(value, reason, f"measured, kept in {path}")


def cache_file() -> Path:
    """Where this machine's measurements are kept."""
    return cache_folder() / "tuning.json"


def _read(path: Path) -> dict[str, Any]:
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
        if isinstance(content, dict) and all(isinstance(entry, dict) for entry in content.values()):
            return content
        say(f"{path} is not what it should be; measuring again")
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        say(f"{path} cannot be read ({error}); measuring again")
    return {}


def _fingerprint() -> str:
    """The processor, the libraries and the threads that a measurement holds for."""
    processor = this_processor()
    facts = [
        *(processor.kind, processor.maker, processor.generation, processor.name),
        sorted(processor.features),
        torch.__version__,
        torch.__config__.show(),
        [torch.backends.mkl.is_available(), torch.backends.mkldnn.is_available()],
        {name: os.environ[name] for name in STEERING if name in os.environ},
        torch.get_num_threads(),
    ]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
