"""The public names are the documented ones, and none of them makes an import slow."""

import re
import subprocess
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest

import instructgpt

DOCUMENTED = (Path(__file__).parents[1] / "docs" / "python.md").read_text(encoding="utf-8")


def test_the_public_names_are_the_documented_ones():
    table = [line for line in DOCUMENTED.splitlines() if line.startswith("| `ig.")]
    named = {name for line in table for name in re.findall(r"`ig\.(\w+)", line.split("|")[1])}
    assert set(instructgpt.__all__) == named | {"UserError", "__version__"}
    assert "`ig.__version__`" in DOCUMENTED
    assert "`ig.UserError`" in DOCUMENTED
    assert instructgpt.__all__ == sorted(instructgpt.__all__)


@pytest.mark.parametrize("name", sorted({*instructgpt.__all__} - {"__version__"}))
def test_every_name_is_there_and_described(name):
    assert getattr(instructgpt, name).__doc__


def test_the_names_of_the_stages():
    table = [line for line in DOCUMENTED.splitlines() if line.startswith("| `ig.")]
    for room, name in re.findall(r"`ig\.([a-z]+)\.(\w+)`", "\n".join(table)):
        module = getattr(instructgpt, room)
        assert name in module.__all__
        assert callable(getattr(module, name))


@pytest.mark.parametrize("room", ["sft", "reward", "ppo", "evaluation"])
def test_every_name_of_a_stage_is_there(room):
    module = getattr(instructgpt, room)
    assert all(hasattr(module, name) for name in module.__all__)


@pytest.mark.parametrize("room", ["", ".sft", ".reward", ".ppo", ".evaluation", ".label"])
def test_a_fresh_session_completes_the_interface(room):
    """`ig.<TAB>` shows the interface before anything of it is imported."""
    code = f"import importlib; m = importlib.import_module('instructgpt{room}'); print(*dir(m))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    module = import_module(f"instructgpt{room}")
    assert out.stdout.split() == sorted(module.__all__)


def test_the_version():
    assert instructgpt.__version__ == version("instructgpt")


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'instructgpt' has no attribute 'SFTModle'"):
        instructgpt.SFTModle  # noqa: B018


PRINT_CONFIG = "reward --preset paper-6b --model m --data d --out o --print-config".split()


@pytest.mark.parametrize(
    "code",
    [
        "import instructgpt",
        "import instructgpt as ig; ig.SFTConfig; ig.RewardConfig; ig.PPOConfig",
        "from instructgpt.cli import main; main(['-h'])",
        "from instructgpt.cli import main; main(['sft', '-h'])",
        f"from instructgpt.cli import main; main({PRINT_CONFIG})",
    ],
)
def test_torch_is_not_imported_before_it_is_needed(code):
    check = "import sys, atexit; atexit.register(lambda: print('HEAVY', 'torch' in sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", f"{check}; {code}"], capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines()[-1] == "HEAVY False"
