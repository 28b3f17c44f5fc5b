"""What a word of the command line stands for: a file, a folder, or a data set of the Hub."""

from pathlib import Path

import huggingface_hub
import pytest

from instructgpt.data.importing.sources import sources_of
from instructgpt.errors import UserError


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The Hub has one data set; the names that were asked for."""
    asked: list[str] = []
    (tmp_path / "set" / "data").mkdir(parents=True)
    (tmp_path / "set" / "data" / "train.parquet").touch()
    (tmp_path / "set" / ".gitattributes").touch()

    def download(name: str, *, repo_type: str) -> str:
        assert repo_type == "dataset"
        asked.append(name)
        if name != "team/set":
            raise ValueError("there is none\nand more")
        return str(tmp_path / "set")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    return asked


def test_a_name_that_is_no_file_may_be_a_data_set(
    downloads: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    assert sources_of("team/set") == [tmp_path / "set" / "data" / "train.parquet"]
    (tmp_path / "team" / "set").mkdir(parents=True)
    (tmp_path / "team" / "set" / "own.csv.gz").touch()
    assert sources_of("team/set") == [Path("team/set/own.csv.gz")]
    assert downloads == ["team/set"]


def test_what_is_nowhere_is_said(downloads: list[str], tmp_path: Path):
    with pytest.raises(UserError) as caught:
        sources_of("team/other")
    assert str(caught.value) == (
        "team/other is no file here, and cannot be had from the Hub (there is none); check the path"
    )
    for name in ("none.jsonl", "folder/rows.jsonl.gz", str(tmp_path / "a" / "b")):
        assert sources_of(name) == [Path(name)]
    assert downloads == ["team/other"]


def test_what_the_package_ships_has_a_name(downloads: list[str]):
    (path,) = sources_of("shipped:prompts")
    assert path.is_file()
