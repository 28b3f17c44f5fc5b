"""Where rankings in a terminal go, and how wide it is."""

import pytest


@pytest.fixture(autouse=True)
def _eighty_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "out" / "rankings.jsonl"
