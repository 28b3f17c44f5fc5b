import gzip
from pathlib import Path

import pytest

from instructgpt.data.formats import read_documents
from instructgpt.data.reading import load_documents
from instructgpt.errors import UserError
from tests.files import write_rows


@pytest.mark.parametrize(
    ("text", "documents"),
    [
        ("one\n\ntwo", ["one\n\ntwo"]),
        (" one\n\n\ntwo \n \n\t\n\n three\n", [" one\n", "two \n", " three\n"]),
        ("%%\none\n\n\n\nstill\n%%\n%%\ntwo %%\n%%", ["one\n\n\n\nstill\n", "two %%\n"]),
        ("one\r\n%%\r\ntwo\r\n", ["one\r\n", "two\r\n"]),
        ("one\r\n\r\n\r\ntwo\u2028\r\n", ["one\r\n", "two\u2028\r\n"]),
        ("\n\n\nonly\n\n\n", ["only\n"]),
    ],
)
@pytest.mark.parametrize("name", ["prose.txt", "prose.txt.gz"])
def test_prose_is_parted_into_documents(tmp_path: Path, name: str, text: str, documents: list[str]):
    data = text.encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    assert read_documents(tmp_path / name) == (documents, [])


def test_a_folder_of_prose_is_read_in_order(tmp_path: Path):
    (tmp_path / "b.txt").write_text("from text")
    (tmp_path / "a.jsonl").write_text('{"text": " kept \\n"}\n{"text": "2", "url": "x"}\n')
    (tmp_path / "README.md").write_text("not prose")
    assert read_documents(tmp_path) == ([" kept \n", "2", "from text"], [])


def test_bad_prose(tmp_path: Path):
    def error(name: str, content: bytes) -> str:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError) as caught:
            read_documents(tmp_path / name)
        return str(caught.value).removeprefix(f"{tmp_path}/")

    assert error("a.txt", b" \n") == "a.txt is empty: it should hold text"
    assert error("a.md", b"x").startswith("a.md: expected a .txt, .txt.gz, .jsonl, .jsonl.gz file")
    assert error("b.txt", b"one\n%%\nt\0o").startswith(
        "b.txt document 2: the text holds a NUL character (U+0000); "
    )
    assert error("c.txt", b"\xff").startswith("c.txt is not UTF-8 text (")
    lines = b'{"text": "fine"}\n{"text": 5}\n{"title": "x"}'
    assert error("a.jsonl", lines).startswith(
        'a.jsonl line 2: found the keys text, but a document needs a string "text"; mend or remove'
    )
    documents, skipped = read_documents(tmp_path / "a.jsonl", on_error="skip")
    assert documents == ["fine"]
    assert [sentence.split(": ")[0] for sentence in skipped] == [
        f"{tmp_path}/a.jsonl line {n}" for n in (2, 3)
    ]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty holds no \.txt, .* file; name another folder"):
        read_documents(tmp_path / "empty")
    with pytest.raises(UserError, match=r"none\.txt does not exist; check the path"):
        read_documents(tmp_path / "none.txt")


@pytest.mark.real
def test_public_prose_is_readable(public_data: Path):
    documents, _ = read_documents(public_data / "pretrain")
    assert len(documents) > 100
    blank = [text for text in documents if not text.strip()]
    assert not blank


def test_documents_without_text_are_left_out_and_counted(tmp_path, capsys):
    path = write_rows(tmp_path / "prose.jsonl", [{"text": t} for t in ("a", "", " \n", "b")])
    assert load_documents([str(path)]) == ["a", "b"]
    assert capsys.readouterr().err == f"{path}: 2 documents without text left out\n"
