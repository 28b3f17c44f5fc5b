"""`--out`: what is not a file is never replaced by one, and links are not followed."""

import os
import stat

import pytest

from tests.files import write_rows

KINDS = ("a device", "a pipe", "a link")


def put(kind, path):
    if kind == "a device":
        if os.geteuid():
            pytest.skip("only root makes devices")
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    elif kind == "a pipe":
        os.mkfifo(path)
    else:
        (path.parent / "dear").write_text("dear")
        path.symlink_to(path.parent / "dear")


@pytest.fixture
def refused(cli, tmp_path):
    """Runs a command that must refuse `tmp_path/out` in one sentence, and leave it as it is."""

    def run(*words, kind):
        out = tmp_path / "out"
        put(kind, out)
        before = out.lstat()
        result = cli(*words, "--out", out)
        assert (result.status, result.out) == (2, ""), result
        line, *more = result.err.splitlines()
        assert more == []
        assert f"{out}: cannot be written (it is {kind}" in line
        assert (out.lstat().st_ino, out.lstat().st_mode) == (before.st_ino, before.st_mode)
        assert {path.name for path in tmp_path.iterdir()} <= {"out", "dear", "rows.jsonl", "run"}

    return run


@pytest.mark.parametrize("kind", KINDS)
def test_data_import_and_export(kind, refused, tmp_path):
    rows = write_rows(tmp_path / "rows.jsonl", [{"prompt": "a", "response": "b"}])
    refused("data", "import", rows, "--kind", "demonstration", kind=kind)
    (tmp_path / "out").unlink()
    refused("data", "export", rows, "--kind", "demonstration", kind=kind)


@pytest.mark.parametrize("kind", KINDS)
def test_report(kind, refused, cli, tmp_path):
    assert cli("init", preset="gpt3-tiny", vocab_size=300, out=tmp_path / "run").status == 0
    refused("report", tmp_path / "run", kind=kind)


@pytest.mark.parametrize("kind", KINDS)
def test_runs_and_pipelines(kind, refused, tmp_path):
    refused("init", "--preset", "gpt3-tiny", kind=kind)
    (tmp_path / "out").unlink()
    refused("quickstart", "--tiny", kind=kind)
    (tmp_path / "out").unlink()
    refused("pipeline", "--preset", "tiny", kind=kind)


@pytest.mark.parametrize("words", [["init"], ["quickstart", "--tiny"], ["pipeline"]])
def test_an_empty_name(words, cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = cli(*words, "--out=")
    assert result.status == 2
    assert "out" in result.err
    assert result.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
