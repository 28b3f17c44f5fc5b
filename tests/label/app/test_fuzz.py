"""Two thousand requests of any kind: see `benchmarks/label_fuzz.py`, which asks 100,000."""

from pathlib import Path

import pytest

from instructgpt.label.app import sessions
from tests.label.app.fuzz import Fuzzed, fuzz


def test_no_request_fails_or_hangs_or_becomes_part_of_a_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sessions, "_hasher", sessions._hasher)  # put back afterwards
    with Fuzzed(tmp_path) as fuzzed:
        fuzz(fuzzed, 2_000, 18)
        counts = fuzzed.counts
    assert counts.total() == 2_000
    assert min(counts[status] for status in (200, 303, 401, 403, 404, 422)) > 20
