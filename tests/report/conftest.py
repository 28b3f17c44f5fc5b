from pathlib import Path

import pytest

from instructgpt.report import write_report
from tests.report import rounds


@pytest.fixture(scope="session")
def quickstart(tmp_path_factory) -> Path:
    """A pipeline of two rounds with its `report.html`, drawn once for all; not to be changed."""
    path = rounds.make_quickstart(tmp_path_factory.mktemp("runs") / "quickstart")
    write_report(path)
    return path
