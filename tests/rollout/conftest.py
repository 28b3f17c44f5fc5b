"""What the tests of sampling share."""

import pytest


@pytest.fixture
def by_forward(monkeypatch):
    """Every model is sampled by its own forward."""
    monkeypatch.setattr("instructgpt.rollout.engine.takes_slim", lambda _: False)
