"""Every comparison runs to its end on a tiny model; the programs check the answers' lengths."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

from measure import installed
from tests.benchmarks.conftest import BENCHMARKS

PROGRAMS = {
    "rollout": ("--prompts 6 --slots 3", {"ours", "generate", "continuous", "floor"}),
    "reward": ("--answers 3", {"ours", "once", "trl", "floor"}),
    "sft": ("--batch 4 --micro-batch 2 --max-length 48", {"ours", "trl", "trl-packed", "floor"}),
    "ppo": ("--answers ragged --ptx-length 8", {"ours", "ours-ptx", "trl", "floor"}),
}


def run(program, *flags):
    """Its one line of output; no other engine is at hand."""
    command = [sys.executable, str(BENCHMARKS / f"{program}.py"), *flags]
    alone = {**os.environ, "INSTRUCTGPT_ENGINES": "/nowhere"}
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=alone)
    assert result.returncode == 0, result.stderr[-3000:]
    return json.loads(result.stdout)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(
    ("program", "peers"),
    [*((program, "--tuned") for program in PROGRAMS), ("reward", "--as-it-comes")],
)
def test_a_comparison_runs(program, peers, tmp_path):
    flags, sides = PROGRAMS[program]
    out = tmp_path / "lines.jsonl"
    common = ["--shape", "tiny", "--rounds", "1", "--threads", "1", "--out", str(out), peers]
    line = run(program, *common, *flags.split())
    absent = {side for side in sides if side.startswith("trl") and find_spec("trl") is None}
    engines = {"vllm", "openvino"} if program == "rollout" else set()
    assert set(line["absent"]) == absent | engines
    assert set(line["sides"]) == sides - absent
    assert set(line["seconds_over_ours"]) == sides - absent - {"ours"}
    for side in line["sides"].values():
        assert side["seconds"]["median"] > 0
        assert side["peak_bytes"] > 100e6  # a process with torch in it
    assert json.loads(out.read_text()) == line


@pytest.mark.slow
@pytest.mark.long
def test_the_guard_runs(tmp_path):
    results = tmp_path / "guard.json"
    flags = ["--shape", "tiny", "--rounds", "2", "--threads", "1", "--results", str(results)]
    accepted = run("guard", *flags, "--accept")["stages"]
    assert set(accepted) == {"rollout", "reward", "sft", "ppo"}
    (kept,) = json.loads(results.read_text()).values()
    assert kept == {name: ratios["median"] for name, ratios in accepted.items()}


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(
    ("stages", "sizes"), [("rollout reward", "2 4"), ("ppo", "4 8"), ("sft", "128 256")]
)
def test_cost_is_measured_and_drawn(stages, sizes, tmp_path, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    out, plot = tmp_path / "lines.jsonl", tmp_path / "cost.svg"
    common = ["--shapes", "tiny", "--rounds", "1", "--threads", "1", "--plot", str(plot)]
    command = [sys.executable, str(BENCHMARKS / "cost.py"), *common, "--out", str(out)]
    flags = ["--stages", *stages.split(), "--sizes", *sizes.split()]
    subprocess.run([*command, *flags], check=True)
    lines = [json.loads(text) for text in out.read_text().splitlines()]
    assert [line["stage"] for line in lines] == stages.split()
    for line in lines:
        assert set(line["fit"]) == {"fixed", "each", "r2"}
        assert [len(times) for times in line["seconds"].values()] == [1, 1]
    assert plot.stat().st_size > 1000


SMALL_PROGRAM = f"""
import sys
sys.path.append({str(BENCHMARKS)!r})
from measure import compare, parser

def ours(arguments, turn):
    while True:
        turn.begin()
        turn.end(**arguments.facts)

def broken(arguments, turn):
    turn.begin()
    raise ValueError("this side is broken")

SIDES = {{"ours": ours, "broken": broken}}
if __name__ == "__main__":
    arguments = parser("", SIDES).parse_args()
    needs = {{"broken": arguments.model}}
    compare("small", SIDES, arguments, needs=needs, facts={{"seconds": 2.0}})
"""


def run_small(folder, module):
    """A comparison with a side that fails if it can be started: if this module is there."""
    (folder / "small.py").write_text(SMALL_PROGRAM)
    command = [sys.executable, str(folder / "small.py"), "--model", module, "--threads", "1"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.long
def test_a_side_that_fails_ends_the_program_with_its_error(tmp_path):
    result = run_small(tmp_path, "json")
    assert result.returncode == 1
    assert "this side is broken" in result.stderr
    assert "broken has failed" in result.stderr
    assert not result.stdout


@pytest.mark.slow
@pytest.mark.long
def test_a_side_whose_module_is_missing_is_left_out(tmp_path):
    line = json.loads(run_small(tmp_path, "no_such_package.module").stdout)
    assert line["absent"] == ["broken"]
    assert set(line["sides"]) == {"ours"}
    assert line["sides"]["ours"]["seconds"] == {"median": 2.0, "min": 2.0, "max": 2.0}


def test_a_missing_module_is_noticed():
    assert installed("json.decoder")
    assert not installed("no_such_module")
    assert not installed("no_such_package.module")
