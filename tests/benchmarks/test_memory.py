"""The phases of memory.py are functions of the program; a name that has moved is said at once."""

import pkgutil

import pytest

import memory


@pytest.mark.parametrize("target", memory.PHASES)
def test_every_phase_is_there(target):
    assert callable(pkgutil.resolve_name(target))


def test_a_phase_that_has_moved_is_said(monkeypatch):
    monkeypatch.setattr(memory, "PHASES", {"instructgpt.models.load:gone": "load"})
    with pytest.raises(AttributeError, match="gone"):
        memory.watch(meter=None)
