from pathlib import Path

import pytest

from instructgpt.report import write_report
from instructgpt.report.read.load import load
from instructgpt.report.read.work import Work
from tests.report import rounds


@pytest.fixture(scope="session")
def quickstart(tmp_path_factory) -> Path:
    """A pipeline of two rounds with its `report.html`, drawn once for all; not to be changed."""
    path = rounds.make_quickstart(tmp_path_factory.mktemp("runs") / "quickstart")
    write_report(path)
    return path


@pytest.fixture(scope="session")
def work(tmp_path_factory) -> Work:
    """The same, read and not drawn."""
    return load(rounds.make_quickstart(tmp_path_factory.mktemp("runs") / "quickstart"))
