"""The guide's commands, typed as they stand."""

import re
import shlex
import subprocess
from pathlib import Path

from tests.cli.conftest import cli as cli
from tests.intake.standing import standing

GUIDE = Path(__file__).parents[2] / "docs" / "safely.md"


def test_the_guide_from_its_first_command_to_its_last(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("INSTRUCTGPT_DB", raising=False)
    said, shown = [], []
    for block in re.findall(r"(?ms)^```bash\n(.*?)^```", GUIDE.read_text("utf-8")):
        for line in [block] if "<<" in block else block.splitlines():
            if not line.startswith("instructgpt "):
                subprocess.run(["bash", "-e", "-c", line], check=True)
                continue
            result = cli(*shlex.split(line)[1:])
            assert result.status == 0, f"{line}\n{result.err}"
            said.append(result.err)
            shown.append(result.out)
    printed = GUIDE.read_text("utf-8").partition("```\nconsent")[2].partition("```")[0]
    assert f"consent{printed}" in said[0]
    assert "few-shot: 2 demonstrations" in said[0]
    assert 'dropped at duplicates: equal (id "q1")' in shown[1]
    assert "held at pii: personal data" in shown[2]
    assert "consent: 6 of 6" not in said[3]  # nobody stops there, so nothing is said
    assert "4 of 6 rows kept" in said[3]
    assert "1 prompt released" in said[4]
    assert "left out of prompts.jsonl: 1 (dropped in duplicates)\n-> sheet.html" in said[6]
    assert "intake 2 is undone; 0 prompts that no other brought" in said[7]
    assert "dropped at consent: no consent" in shown[8]
    assert {row["id"] for row in standing(tmp_path / "instructgpt.db")} == {"q1", "q3", "q5", "f1"}
