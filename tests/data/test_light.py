"""Records are light: a server of labelers needs neither torch nor transformers."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "tokenizers", "safetensors")


@pytest.mark.parametrize(
    "names",
    [
        ("instructgpt.data.records", "instructgpt.data.formats", "instructgpt.data.brought"),
        ("instructgpt.label", "instructgpt.label.terminal", "instructgpt.label.simulated.labelers"),
        ("instructgpt.run.seeds", "instructgpt.run.directory", "instructgpt.evaluation.stats"),
    ],
)
def test_records_and_labelers_import_neither_torch_nor_transformers(names: tuple[str, ...]) -> None:
    program = f"import sys, {', '.join(names)}; print(*sorted(sys.modules.keys() & set({HEAVY})))"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (found.returncode, found.stdout.split(), found.stderr) == (0, [], "")
