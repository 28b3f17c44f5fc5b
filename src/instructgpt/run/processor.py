"""What processor this is: maker, generation, what it can do, as the system tells it."""

import functools
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

MAKERS = {"AuthenticAMD": "AMD", "GenuineIntel": "Intel"}
ARM_MACHINES = frozenset({"aarch64", "arm64"})


@dataclass(frozen=True)
class Processor:
    """A processor.

    Attributes:
        kind: `x86`, `ARM`, `Apple`, or what the system calls the machine.
        maker: `AMD`, `Intel`, or the code that the processor gives.
        generation: family and model numbers, or implementer and part.
        name: for people.
        features: the instructions it has, as Linux names them.
    """

    kind: str
    maker: str
    generation: str
    name: str
    features: frozenset[str]


@functools.cache
def this_processor() -> Processor:
    """The one that this process runs on."""
    if sys.platform == "darwin":
        apple = platform.machine() in ARM_MACHINES
        kind, maker = ("Apple", "Apple") if apple else ("x86", "Intel")
        return Processor(kind, maker, "", platform.processor() or kind, frozenset())
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    return described(text, platform.machine())


def described(cpuinfo: str, machine: str) -> Processor:
    """The first processor in the text of /proc/cpuinfo.

    >>> text = "vendor_id: AuthenticAMD\\ncpu family: 23\\nmodel: 49\\nflags: avx avx2\\n"
    >>> found = described(text, "x86_64")
    >>> found.maker, found.generation, sorted(found.features)
    ('AMD', 'family 23 model 49', ['avx', 'avx2'])
    """
    first = cpuinfo.strip().split("\n\n")[0]
    pairs = (line.split(":", 1) for line in first.splitlines() if ":" in line)
    facts = {key.strip().lower(): value.strip() for key, value in pairs}
    if machine in ARM_MACHINES:
        maker, part = facts.get("cpu implementer", ""), facts.get("cpu part", "")
        features = frozenset(facts.get("features", "").split())
        return Processor("ARM", maker, f"part {part}", facts.get("model name", "ARM"), features)
    maker = facts.get("vendor_id", "")
    generation = f"family {facts.get('cpu family', '')} model {facts.get('model', '')}"
    return Processor(
        "x86" if machine in {"x86_64", "AMD64", "i686"} else machine,
        MAKERS.get(maker, maker),
        generation,
        facts.get("model name", machine),
        frozenset(facts.get("flags", "").split()),
    )
