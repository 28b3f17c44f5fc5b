"""Documents of a source, streamed: the same as those that are read whole, from every form."""

import gzip
import json
from pathlib import Path

import huggingface_hub
import pyarrow as pa
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from instructgpt.data import prose
from instructgpt.data.formats.documents import read_documents
from instructgpt.data.formats.format import Skip
from instructgpt.data.prose import documents_in, files_of, hub_commit
from instructgpt.errors import UserError
from tests.files import sentence


def texts(*paths: Path) -> list[str]:
    found = list(documents_in(paths))
    assert not any(isinstance(text, Skip) for _, text in found)
    return [text for _, text in found if isinstance(text, str)]


def refused(*paths: Path) -> str:
    with pytest.raises(UserError) as raised:
        list(documents_in(file for path in paths for file in files_of(str(path))))
    return str(raised.value)


PIECES = ["a", "%%", "", " \t", "\r", "%%\r", "b\u2028 %%", "\x0b", "é"]
LINES = st.lists(st.sampled_from(PIECES), max_size=9)


@settings(max_examples=60)
@given(lines=LINES, end=st.sampled_from(["", "\n", "\n\n\n"]), mark=st.sampled_from(["", "\ufeff"]))
def test_text_is_parted_as_when_it_is_read_whole(tmp_path_factory, lines, end, mark):
    path = tmp_path_factory.getbasetemp() / "streamed.txt"
    path.write_bytes((mark + "\n".join(lines) + end).encode())
    try:
        expected, said = read_documents(path)[0], ""
    except UserError as error:
        expected, said = [], str(error)
    assert (refused(path) if said else texts(path)) == (said or expected)


def test_every_form_gives_the_same_documents(tmp_path: Path):
    documents = ["one\n", "zwei é", "", "three"]
    rows = [{"text": text, "url": "x"} for text in documents]
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    (tmp_path / "a.jsonl").write_bytes(lines)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(lines))
    (tmp_path / "c.jsonl.zst").write_bytes(zstandard.compress(lines))
    (tmp_path / "d.json").write_text(json.dumps(rows))
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "e.parquet")
    body = pa.table({"n": [1, 2, 3, 4], "body": pa.array(documents, pa.large_string())})
    parquet.write_table(body, tmp_path / "f.parquet")
    (tmp_path / "README.md").write_text("not prose")
    files = files_of(str(tmp_path))
    assert [file.name[0] for file in files] == list("abcdef")
    for file in files:
        assert texts(file) == documents, file.name


def test_what_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name, content in (
        ("a.md", b"x"),
        ("a.txt", b" \n"),
        ("b.txt", b"ok\n\xff"),
        ("c.txt", b""),
    ):
        (tmp_path / name).write_bytes(content)
    assert refused(tmp_path / "a.md").startswith(f"{tmp_path}/a.md: expected a .txt, .jsonl, ")
    for name in ("a.txt", "c.txt"):
        assert refused(tmp_path / name) == f"{tmp_path}/{name} is empty: it should hold text"
    assert "b.txt is not UTF-8 text (invalid start byte: 0xFF at byte 4, line 2); convert it" in (
        refused(tmp_path / "b.txt")
    )
    assert "none.txt does not exist; check the path" in refused(tmp_path / "none.txt")
    (tmp_path / "empty").mkdir()
    assert "empty holds no .txt, .jsonl, " in refused(tmp_path / "empty")
    (tmp_path / "long.txt").write_text("%%\n" + "word word\n" * 3)
    assert texts(tmp_path / "long.txt") == ["word word\n" * 3]
    monkeypatch.setattr(prose, "LONGEST_LINE", 25)
    assert "long.txt line 4: the document is longer than" in refused(tmp_path / "long.txt")


def test_the_column_of_a_table(tmp_path: Path):
    def table(**columns) -> Path:
        parquet.write_table(pa.table(columns), tmp_path / "t.parquet")
        return tmp_path / "t.parquet"

    assert texts(table(text=["x"], title=["y"])) == ["x"]
    assert "no column 'text' that holds texts, but 2 of text: a, b; name" in refused(
        table(a=["x"], b=["y"])
    )
    assert "but none of text; name" in refused(table(text=[1]))
    (_, one), (place, none) = documents_in([table(text=["x", None])])
    assert (one, place) == ("x", f"{tmp_path}/t.parquet row 2")
    assert str(none) == 'found the keys none, but a document needs a string "text"'


def test_a_bad_record_is_handed_on_with_its_place(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a"}\n{"text": 5}\n{"title": "x"}\n{"text":\n{"text": "\\u0000"}\n')
    good, *bad = documents_in([path])
    assert good == (f"{path} line 1", "a")
    assert [place for place, _ in bad] == [f"{path} line {n}" for n in (2, 3, 4, 5)]
    assert all(isinstance(found, Skip) for _, found in bad)
    (tmp_path / "b.txt").write_bytes(b"one\n%%\nt\0o")
    _, (place, found) = documents_in([tmp_path / "b.txt"])
    assert place == f"{tmp_path}/b.txt document 2"
    assert str(found) == "the text holds a NUL character (U+0000)"


def test_a_data_set_of_the_hub_is_its_training_split(tmp_path: Path, monkeypatch):
    folder = tmp_path / "cache" / "c0ffee"
    for name in ("data/train-0.jsonl", "data/test-0.jsonl", "README.md"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text('{"text": "a"}\n')
    is_known, asked = [], []

    def download(name, *, repo_type, revision=None, allow_patterns=(), local_files_only=False):
        assert (name, repo_type) == ("team/set", "dataset")
        if local_files_only and not is_known:
            raise huggingface_hub.errors.LocalEntryNotFoundError("not here")
        if not local_files_only:
            assert "*.parquet" in allow_patterns
            is_known.append(True)
        return str(folder)

    def info(api, name, *, revision=None):
        asked.append(revision)
        if name != "team/set":
            raise ConnectionError("no route\nto it")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", info)
    monkeypatch.chdir(tmp_path)
    assert hub_commit("team/set") is None
    assert files_of("team/set") == [folder / "data" / "train-0.jsonl"]
    assert hub_commit("team/set") == "commit:c0ffee"
    files_of("team/set")  # the commit that is known stays
    assert asked == [None, "c0ffee"]
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: 1 / 0)
    monkeypatch.setattr(prose, "hub_data_digest", lambda _: None)
    monkeypatch.setattr("instructgpt.data.importing.hub.hub_data_digest", lambda _: None)
    with pytest.raises(UserError) as raised:
        files_of("team/other")
    assert sentence(raised).startswith(
        "team/other is no file here, and cannot be had from the Hub (no route); check the path, or "
    )
    (tmp_path / "team" / "set").mkdir(parents=True)
    (tmp_path / "team" / "set" / "own.txt").touch()
    assert files_of("team/set") == [Path("team/set/own.txt")]
    assert hub_commit("team/set") is None
