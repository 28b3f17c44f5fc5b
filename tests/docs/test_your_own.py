"""The guide's commands, typed as they stand, with a small random model in `my-model`."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from instructgpt.run.directory import Run
from tests.files import write_policy
from tests.preloaded import write_command
from tests.tiny import byte_tokenizer, tiny_model

GUIDE = Path(__file__).parents[2] / "docs" / "your-own.md"


def blocks() -> list[str]:
    return re.findall(r"(?ms)^```bash\n(.*?)^```", GUIDE.read_text("utf-8"))


@pytest.mark.slow
def test_the_guide_from_its_first_command_to_its_last(tmp_path):
    model = tiny_model(width=16, layers=2, context=512)
    write_policy(tmp_path / "my-model", model=model, tokenizer=byte_tokenizer())
    commands = tmp_path / "commands"
    commands.mkdir()
    write_command(commands / "instructgpt", "-m", "instructgpt")
    environment = os.environ | {
        "PATH": f"{commands}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
    }
    stopped = 0
    for block in blocks():
        result = subprocess.run(
            ["bash", "-e", "-c", block],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if "# stops" in block:
            stopped += 1
            assert result.returncode == 2, result.stderr
            assert "02-sample/candidates.jsonl" in result.stderr.splitlines()[-1]
        else:
            assert result.returncode == 0, f"{block}\n{result.stderr}"
    assert stopped == 1
    for name in ("first", "mine"):
        assert (tmp_path / "runs" / name / "report.html").stat().st_size > 10_000
    rank = Run(tmp_path / "runs" / "mine" / "03-rank")
    assert rank.evaluation["groups"]["people"]["labelers"] == ["ann"]
    imported = (tmp_path / "imported.jsonl").read_text().splitlines()
    sheet = (tmp_path / "sheet.jsonl").read_text().splitlines()
    assert (len(imported), len(sheet)) == (5, 6)  # of four files; three rows by two labelers
    assert Run(tmp_path / "runs" / "feedback").evaluation["accuracy"]["n"] > 0
    held = Run(tmp_path / "runs" / "mine" / "04-reward").evaluation["accuracy"]
    assert held["n"] > 0
