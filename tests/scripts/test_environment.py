"""The set-up scripts, with a stand-in for Python that makes no environment and fetches nothing."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = """#!/usr/bin/env bash
here="$(cd "$(dirname "$0")" && pwd)"
case "$*" in
  --version) echo "Python 3.11.7" ;;
  -c*) ;;
  "-m venv "*)
    mkdir -p "$3/bin"; cp "$0" "$3/bin/python"
    [ -z "${VENV_DIES:-}" ] || { touch "$3/bin/half"; kill -9 $PPID; } ;;
  "-m pip install"*)
    echo "$*" >>"$LOG"
    echo "WARNING: Location 'file:///nowhere' is ignored" >&2
    echo "WARNING: Running pip as the 'root' user" >&2
    [ -z "${PIP_FAILS:-}" ] || { echo "ERROR: No matching distribution found" >&2; exit 1; }
    [ -z "${PIP_DIES:-}" ] || { touch "$here/half"; kill -9 $PPID; } ;;
  *) echo "not expected: $*" >&2; exit 1 ;;
esac
"""


@pytest.fixture
def checkout(tmp_path) -> Path:
    folder = tmp_path / "checkout"
    (folder / "scripts").mkdir(parents=True)
    for name in ("requirements.lock", "pyproject.toml", "scripts/environment.sh"):
        shutil.copy(ROOT / name, folder / name)
    (tmp_path / "python3").write_text(PYTHON)
    (tmp_path / "python3").chmod(0o755)
    return folder


def make(checkout: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    script = "set -euo pipefail; source scripts/environment.sh; make_environment .venv '[report]'"
    python, log = checkout.parent / "python3", checkout.parent / "pip.log"
    return subprocess.run(
        ["bash", "-c", f"{script}; echo made"],
        cwd=checkout,
        env={"PATH": "/usr/bin:/bin", "PYTHON": str(python), "LOG": str(log), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def pips(checkout: Path) -> list[str]:
    log = checkout.parent / "pip.log"
    return log.read_text().splitlines() if log.exists() else []


def test_what_takes_long_is_said_and_pips_warnings_are_not(checkout):
    result = make(checkout)
    assert result.returncode == 0
    making, torch, rest, made = result.stdout.splitlines()
    assert making == "making .venv with Python 3.11.7"
    version = next(
        line.partition("==")[2]
        for line in (ROOT / "requirements.lock").read_text().splitlines()
        if line.startswith("torch==")
    )
    assert torch.startswith(f"installing torch {version} (")
    assert "minutes" in torch
    assert rest.startswith("installing instructgpt[report]")
    assert made == "made"
    assert result.stderr == ""
    assert len(pips(checkout)) == 2


def test_a_whole_environment_is_left_alone_until_the_pins_change(checkout):
    make(checkout)
    assert make(checkout).stdout == "made\n"
    assert len(pips(checkout)) == 2
    with (checkout / "requirements.lock").open("a") as lock:
        lock.write("another==1.0\n")
    assert "installing torch" in make(checkout).stdout
    assert len(pips(checkout)) == 4


def test_where_pip_fails_its_error_stays_and_the_remedy_is_last(checkout):
    result = make(checkout, PIP_FAILS="1")
    assert result.returncode == 2
    error, remedy = result.stderr.splitlines()
    assert error == "ERROR: No matching distribution found"
    assert remedy.startswith("torch could not be installed; check the network")
    assert "made" not in result.stdout.splitlines()
    assert make(checkout).returncode == 0


@pytest.mark.parametrize("when", ["VENV_DIES", "PIP_DIES"])
def test_an_interrupted_environment_is_made_again(when, checkout):
    assert make(checkout, **{when: "1"}).returncode != 0
    assert (checkout / ".venv" / "bin" / "python").exists()
    result = make(checkout)
    assert result.returncode == 0
    assert "making .venv" in result.stdout
    assert not (checkout / ".venv" / "bin" / "half").exists()


def test_an_environment_that_somebody_else_made_is_kept(checkout):
    (checkout / ".venv" / "bin").mkdir(parents=True)
    shutil.copy(checkout.parent / "python3", checkout / ".venv" / "bin" / "python")
    (checkout / ".venv" / "bin" / "mine").touch()
    for environment in ({"PIP_FAILS": "1"}, {"PIP_DIES": "1"}, {}, {}):
        make(checkout, **environment)
        assert (checkout / ".venv" / "bin" / "mine").exists()
