"""The examples run as they stand."""

import re
import runpy
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_instructgpt_in_100_lines_learns(capsys):
    runpy.run_path(str(EXAMPLES / "instructgpt_in_100_lines.py"), run_name="__main__")
    lines = capsys.readouterr().out.strip().split("\n")
    liked = [float(re.search(r"([\d.]+) b's", line)[1]) for line in lines]
    assert len(lines) == 6
    assert liked[-1] > 1.5  # about 0.7 before the policy is trained on the reward
    text = (EXAMPLES / "instructgpt_in_100_lines.py").read_text()
    code = [line for line in text.split("\n") if line.strip() and not line.startswith("#")]
    assert len(code) <= 120
