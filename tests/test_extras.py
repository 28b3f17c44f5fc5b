"""What the package imports, and what it asks of others that makes them import more, is declared: in
the core, or in an extra that the reader is told to install there.
"""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import packages_distributions, requires
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "instructgpt"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

INSTALLED_BY = packages_distributions()
ASKED_MODULE = {"torch.utils.tensorboard": "tensorboard"}
ASKED_ARGUMENT = {
    "gguf_file": "accelerate",
    "device_map": "accelerate",
    "quantization_config": "accelerate",
    "load_in_8bit": "bitsandbytes",
    "load_in_4bit": "bitsandbytes",
}
ASKED_VALUE = {
    ("attn_implementation", "flash_attention_2"): "flash-attn",
    ("attn_implementation", "flash_attention_3"): "flash-attn-3",
    ("backend", "inductor"): "triton",
}
"""What a module, an argument, or a value makes torch and transformers import."""


class Need(NamedTuple):
    """A distribution that a file needs, and the line that shows it."""

    distribution: str
    line: int


def names(requirements: list[str]) -> set[str]:
    """The distributions of a list of requirements as pip installs them here."""
    wanted = map(Requirement, requirements)
    return {canonicalize_name(r.name) for r in wanted if not r.marker or r.marker.evaluate()}


@cache
def closure(requirements: frozenset[str]) -> frozenset[str]:
    """These distributions with all that they require themselves, extras left out."""
    found, waiting = set[str](), list(requirements)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        try:
            needed = [line for line in requires(name) or [] if "extra ==" not in line]
        except ModuleNotFoundError:  # of an extra that is not installed here
            continue
        waiting += names(needed)
    return frozenset(found)


CORE = closure(frozenset(names(PROJECT["dependencies"])))
EXTRAS = {
    extra: closure(frozenset(names(listed)))
    for extra, listed in PROJECT["optional-dependencies"].items()
}


def distribution(module: str) -> str | None:
    """What a module is installed by; None for the standard library and the package itself."""
    if module in ASKED_MODULE:
        return ASKED_MODULE[module]
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names or top == "instructgpt":
        return None
    return canonicalize_name(INSTALLED_BY.get(top, [top])[0])


def needs(tree: ast.AST) -> Iterator[Need]:
    """All that a file imports, wherever it does, and what its calls make others import."""
    for node in ast.walk(tree):
        modules: list[str] = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            modules = [node.module or ""]
        elif isinstance(node, ast.Call):
            if _is_import(node.func) and node.args and isinstance(node.args[0], ast.Constant):
                modules = [str(node.args[0].value)]
            for given in node.keywords:
                value = given.value.value if isinstance(given.value, ast.Constant) else None
                asked = ASKED_ARGUMENT.get(given.arg or "") if value is not False else None
                if asked := asked or ASKED_VALUE.get((given.arg or "", str(value))):
                    yield Need(asked, node.lineno)
        for module in modules:
            if found := distribution(module):
                yield Need(found, node.lineno)


def _is_import(function: ast.expr) -> bool:
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name in ("import_module", "__import__", "find_spec")


def undeclared(files: Mapping[Path, str]) -> list[str]:
    """Needs that neither the core declares nor an extra which is named in that file's room."""
    named: dict[Path, set[str]] = {}
    for path, text in files.items():
        extras = re.findall(r"instructgpt\[(\w+)\]", text)
        named.setdefault(path.parent, set()).update(extras)
    return [
        f"{path}:{need.line} needs {need.distribution}"
        for path, text in files.items()
        for need in needs(ast.parse(text))
        if need.distribution not in CORE
        and not any(need.distribution in EXTRAS[extra] for extra in named[path.parent])
    ]


def test_every_import_is_declared_by_the_core_or_by_the_extra_that_its_room_names():
    files = {path.relative_to(SOURCE): path.read_text() for path in SOURCE.rglob("*.py")}
    assert len(files) > 100
    assert undeclared(files) == []


@pytest.mark.parametrize(
    ("text", "needed"),
    [
        ("import accelerate", "accelerate"),
        ("def f():\n    from trl.trainer import PPOTrainer", "trl"),
        ("import importlib\nimportlib.import_module('matplotlib.pyplot')", "matplotlib"),
        ("A.from_pretrained('x', gguf_file='y')", "accelerate"),
        ("A.from_pretrained('x', attn_implementation='flash_attention_2')", "flash-attn"),
        ("from torch.utils.tensorboard import SummaryWriter", "tensorboard"),
        ("# instructgpt[report]\nimport wandb", "wandb"),
    ],
)
def test_what_nothing_declares_is_found(text, needed):
    (found,) = undeclared({Path("models/some.py"): text})
    assert found.endswith(f"needs {needed}")


def test_an_extra_covers_the_room_that_names_it():
    files = {
        Path("report/gate.py"): "raise E('pip install instructgpt[report]')",
        Path("report/some.py"): "def f():\n    import matplotlib",
    }
    assert undeclared(files) == []
    files[Path("data/some.py")] = files.pop(Path("report/some.py"))
    assert undeclared(files) == ["data/some.py:2 needs matplotlib"]


def test_nothing_that_is_declared_in_the_core_is_left_unused():
    """A name that no file imports, and that nothing else declares, is dead weight."""
    texts = [path.read_text() for path in SOURCE.rglob("*.py")]
    used = {need.distribution for text in texts for need in needs(ast.parse(text))}
    assert names(PROJECT["dependencies"]) <= used


def test_the_set_up_script_installs_what_the_quickstart_needs():
    script = (ROOT / "scripts" / "quickstart.sh").read_text()
    (installed,) = re.findall(r'make_environment \S+ "\[(\w+)\]"', script)
    assert "matplotlib" in EXTRAS[installed]
