import importlib.util
import shutil
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "picture.py"


@pytest.fixture
def picture():
    """The script, as a module."""
    spec = importlib.util.spec_from_file_location("picture", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def report(tmp_path) -> Path:
    path = tmp_path / "report.html"
    path.write_text("<!doctype html><title>x</title><p style='color: #0072B2'>Hello")
    return path


def test_a_missing_report_is_one_sentence(picture, tmp_path, capsys):
    assert picture.main([str(tmp_path / "none.html"), str(tmp_path / "out.png")]) == 2
    assert capsys.readouterr().err.endswith("none.html is no file; give a report.html\n")


def test_a_missing_browser_is_one_sentence(picture, report, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert picture.main([str(report), str(tmp_path / "out.png")]) == 2
    assert capsys.readouterr().err == (
        "picture: no Chromium found; install one of chromium, chromium-browser, google-chrome\n"
    )


def test_missing_playwright_is_one_sentence(picture, report, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: "/bin/true")
    monkeypatch.setitem(sys.modules, "playwright.sync_api", None)
    assert picture.main([str(report), str(tmp_path / "out.png")]) == 2
    assert capsys.readouterr().err == (
        "picture: playwright is missing; run: pip install playwright\n"
    )


def test_a_browser_that_does_not_start_is_one_sentence(
    picture, report, tmp_path, capsys, monkeypatch
):
    pytest.importorskip("playwright")
    monkeypatch.setattr(shutil, "which", lambda _: "/bin/false")
    assert picture.main([str(report), str(tmp_path / "out.png")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("picture: Chromium could not show ")
    assert error.count("\n") == 1


def test_a_picture_has_the_size_of_the_window(picture, report, tmp_path, capsys):
    pytest.importorskip("playwright")
    if not any(map(shutil.which, picture.BROWSERS)):
        pytest.skip("no Chromium here")
    out = tmp_path / "new" / "out.png"
    assert picture.main([str(report), str(out), "--width", "320", "--height", "200"]) == 0
    head = out.read_bytes()[:24]
    assert head[1:4] == b"PNG"
    assert (int.from_bytes(head[16:20]), int.from_bytes(head[20:24])) == (320, 200)
    assert " kB" in capsys.readouterr().out
