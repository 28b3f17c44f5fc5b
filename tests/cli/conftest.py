"""The command line in this process, and miniature inputs for it."""

from typing import NamedTuple

import pytest

from instructgpt.cli import main
from tests.small_runs import one_backend, write_inputs


class Result(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str


@pytest.fixture
def cli(capsys):
    """Runs a command: `cli("sft", "--out", path, seed=3)`; keywords are flags."""

    def run(*arguments, **flags):
        words = [str(argument) for argument in arguments]
        words += [f"--{key}={value}" for key, value in flags.items()]
        capsys.readouterr()
        with one_backend(), pytest.raises(SystemExit) as ended:
            main(words)
        return Result(ended.value.code or 0, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def inputs(tmp_path_factory):
    """Each stage's configuration for a run of a fraction of a second."""
    return write_inputs(tmp_path_factory.mktemp("inputs"))
