"""What is installed is what is here: pages, static files, migrations, presets and data among it."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.long
def test_a_wheel_has_every_file_of_the_package_and_no_other(tmp_path: Path):
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", str(ROOT)]
    subprocess.run([*command, "--wheel-dir", str(tmp_path)], check=True, timeout=300)
    (wheel,) = tmp_path.glob("*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    listed = ["git", "ls-files", "src/instructgpt", "configs"]
    kept = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    tree = {
        path.removeprefix("src/") if path.startswith("src/") else f"instructgpt/{path}"
        for path in kept.splitlines()
    }
    assert packed == tree
    for part in ("label/app/templates/item.html", "label/app/static/rank.js", "configs/"):
        assert any(name.startswith(f"instructgpt/{part}") for name in packed), part
