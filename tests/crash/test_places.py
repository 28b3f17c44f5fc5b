"""The places to die in are functions of the program; a name that has moved is said at once."""

import pytest

from tests.crash.killing import TARGETS, UNITS, locate


@pytest.mark.parametrize("target", TARGETS)
def test_every_place_is_there(target):
    owner, name = locate(target)
    assert callable(getattr(owner, name))


def test_what_may_be_kept_is_a_place():
    """Only places are wrapped: another function would never be counted."""
    assert set(UNITS) <= set(TARGETS)


def test_a_place_that_has_moved_is_said():
    for gone in ("instructgpt.rollout.engine:RolloutEngine.gone", "instructgpt.gone:whatever"):
        with pytest.raises(SystemExit, match=f"^{gone} is no longer there; mend PLACES"):
            locate(gone)
