"""Twenty seconds of people at work, with the server killed in the middle: see
`benchmarks/label_load.py`, which has two hundred of them for three minutes.
"""

from pathlib import Path

from tests.label.app.load import run


def test_nothing_acknowledged_is_lost_and_nothing_is_there_twice(tmp_path: Path):
    result = run(f"sqlite:///{tmp_path / 'store.db'}", 20, 20.0, (0.5, 1.5), kill=True)
    assert result["acknowledged"] > 50
    assert result["unanswered"] > 0  # it was really killed
    assert (result["lost"], result["double"], result["refused"]) == (0, 0, {})
    assert result["in_database"] == result["acknowledged"]
    assert result["server_exit"] == 0
