"""Windows has no fcntl, resource or SIGHUP: importing goes on there, and writing a run is one
sentence. What differs between systems stands in one place.
"""

import ast
import importlib.util
import os
import re
import signal
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

import instructgpt
from instructgpt.errors import UserError
from instructgpt.run import lock

SOURCE = Path(instructgpt.__file__).parent
POSIX_ONLY = {"fcntl", "resource", "termios", "tty", "pty", "pwd", "grp", "readline"}


def loaded(path: str) -> ModuleType:
    """A module of the package, executed anew."""
    spec = importlib.util.spec_from_file_location("module_on_windows", SOURCE / path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def on_windows(monkeypatch):
    for name in POSIX_ONLY:
        monkeypatch.setitem(sys.modules, name, None)  # its import raises ImportError
    monkeypatch.delattr(signal, "SIGHUP")
    monkeypatch.delattr(os, "O_NOFOLLOW")
    monkeypatch.delattr(os, "O_NONBLOCK")


def test_the_system_module_loads_on_windows(on_windows):
    system = loaded("run/system.py")
    assert system.STOPPING == (signal.SIGTERM,)
    assert system.NO_LINK == 0
    with pytest.raises(OSError, match="no such file locks"):
        system.hold(0)


def test_memory_is_unknown_on_windows(on_windows, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert loaded("training/memory.py").peak_memory_bytes() == 0


def test_writing_a_run_on_windows_is_one_sentence(on_windows, monkeypatch, tmp_path):
    monkeypatch.setattr(lock, "require_locks", loaded("run/system.py").require_locks)
    with pytest.raises(UserError, match=r"cannot be written on Windows.*WSL 2") as raised:
        lock.open_locked(tmp_path / "run")
    assert "\n" not in str(raised.value)


def test_what_a_system_may_lack_is_imported_under_a_guard():
    """At the top of a module, POSIX alone would end the import on Windows."""
    found = []
    for path in SOURCE.rglob("*.py"):
        text = path.read_text()
        for node in ast.parse(text).body:
            names = [name.name for name in node.names] if isinstance(node, ast.Import) else []
            found += [f"{path}: {name}" for name in names if name in POSIX_ONLY]
        if path.name != "system.py":
            found += re.findall(r"signal\.SIGHUP|os\.O_NO\w+", text)
    assert found == []
