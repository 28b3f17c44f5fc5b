import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def script():
    path = ROOT / "scripts" / "labeling_pictures.py"
    spec = importlib.util.spec_from_file_location("labeling_pictures", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_without_a_browser_it_says_what_to_install(script, monkeypatch, capsys):
    monkeypatch.setattr(script.shutil, "which", lambda _: None)
    assert script.main(["candidates.jsonl"]) == 2
    assert capsys.readouterr().err.startswith("no Chromium found; install one of chromium")


def test_the_pages_pictures_are_there_in_both_sizes_and_schemes_and_small(script):
    page = (ROOT / "docs" / "labeling.md").read_text()
    shown = set(re.findall(r"images/(label-[a-z]+-\d+-[a-z]+\.webp)", page))
    there = {path.name for path in (ROOT / "docs" / "images").glob("label-*.webp")}
    assert shown <= there
    drawn = {re.sub(r"-\d+-[a-z]+\.webp", "", name) for name in there}
    wanted = {f"{n}-{w}-{s}.webp" for n in drawn for w in script.SIZES for s in script.SCHEMES}
    assert there == wanted
    assert {"label-item", "label-board", "label-work", "label-queue"} == drawn
    assert max((ROOT / "docs" / "images" / name).stat().st_size for name in there) <= 150_000
