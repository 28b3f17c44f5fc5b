"""Tokens of a source in the cache: what they are, that they are whole, and made once."""

import os
import threading
from pathlib import Path

import numpy as np
import pytest

from instructgpt.errors import UserError
from instructgpt.models.text import TextCodec
from instructgpt.training import tokens
from instructgpt.training.tokens import tokens_of
from tests.files import sentence, write_rows
from tests.tiny import bos_tokenizer, byte_tokenizer

CODEC = TextCodec(byte_tokenizer())
TEXTS = ["Once upon a time", "", "<|endoftext|> spelled out", "é\n"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INSTRUCTGPT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tokens"


@pytest.fixture
def source(tmp_path: Path) -> str:
    return write_rows(tmp_path / "web.jsonl", [{"text": text} for text in TEXTS])


def kept(cache: Path) -> list[Path]:
    return sorted(cache.glob("*.tokens"))


def spoiled(*_: object) -> None:
    raise AssertionError("it is made again")


def test_the_tokens_are_those_of_the_documents(source, cache, monkeypatch, capsys):
    monkeypatch.setattr(tokens, "_TOGETHER", 20)  # several writes
    found = tokens_of(source, CODEC)
    assert isinstance(found, np.memmap)
    assert found.tolist() == [token for text in TEXTS for token in CODEC.document(text)]
    (path,) = kept(cache)
    assert path.stat().st_size == 2 * len(found) + 32  # the vocabulary fits in two bytes
    assert capsys.readouterr().err == (
        f"{source}: 1 document without text left out\n"
        f"{source}: {len(found)} tokens, kept in {path}\n"
    )
    monkeypatch.setattr(tokens, "_make", spoiled)
    assert tokens_of(source, CODEC).tolist() == found.tolist()
    assert capsys.readouterr().err == ""


def test_the_name_tells_data_and_tokenizer_apart(source, tmp_path, cache):
    tokens_of(source, CODEC)
    tokens_of(source, TextCodec(byte_tokenizer()))  # the same, opened again
    tokens_of(str(Path(source).rename(tmp_path / "moved.jsonl")), CODEC)
    assert len(kept(cache)) == 1
    source = str(tmp_path / "moved.jsonl")
    other = byte_tokenizer()
    other.add_special_tokens({"additional_special_tokens": ["<|user|>"]})
    for number, codec in enumerate((TextCodec(bos_tokenizer()), TextCodec(other)), start=2):
        tokens_of(source, codec)
        assert len(kept(cache)) == number
    tokens_of(source, CODEC, "skip")
    assert len(kept(cache)) == 4
    Path(source).write_text('{"text": "new"}\n')
    assert tokens_of(source, CODEC).tolist() == CODEC.document("new")
    assert len(kept(cache)) == 5


@pytest.mark.parametrize("left", [0, 10, 31, 70, -1])
def test_a_cut_file_is_noticed_and_made_again(source, cache, capsys, left):
    before = tokens_of(source, CODEC).tolist()
    (path,) = kept(cache)
    os.truncate(path, left if left >= 0 else path.stat().st_size - 1)
    capsys.readouterr()
    assert tokens_of(source, CODEC).tolist() == before
    assert f"{path} is not whole; its tokens are made again\n" in capsys.readouterr().err


def test_whoever_is_interrupted_leaves_nothing(source, cache, monkeypatch):
    def document(self: TextCodec, text: str) -> list[int]:
        if text == TEXTS[2]:
            raise KeyboardInterrupt
        return [1] * 100

    monkeypatch.setattr(tokens, "_TOGETHER", 1)
    with monkeypatch.context() as patch:
        patch.setattr(TextCodec, "document", document)
        with pytest.raises(KeyboardInterrupt):
            tokens_of(source, CODEC)
    assert [path.name for path in cache.iterdir() if not path.name.endswith(".lock")] == []
    assert tokens_of(source, CODEC).tolist()[:4] == CODEC.document(TEXTS[0])[:4]


def test_several_that_need_it_make_it_once(source, cache, monkeypatch):
    made, real, begin = [], tokens._make, threading.Barrier(4)

    def make(*given):
        made.append(given)
        real(*given)

    monkeypatch.setattr(tokens, "_make", make)
    found: list[list[int]] = []

    def read():
        begin.wait()
        found.append(tokens_of(source, CODEC).tolist())

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert found == [tokens_of(source, CODEC).tolist()] * 4


def test_bad_records_stop_or_are_counted(tmp_path, capsys):
    rows = [{"text": "ab"}, *[{"text": number} for number in range(7)], {"text": "c"}]
    source = write_rows(tmp_path / "web.jsonl", rows)
    for on_error, remedy in (
        ("stop", "mend or remove the line, or pass --on_error skip"),
        (None, ""),
    ):
        with pytest.raises(UserError) as raised:
            tokens_of(source, CODEC, on_error)
        said = sentence(raised)
        assert said.startswith(f"{source} line 2: found the keys text, but a document needs")
        assert said.endswith(remedy)
    assert tokens_of(source, CODEC, "skip").tolist() == [
        *CODEC.document("ab"),
        *CODEC.document("c"),
    ]
    said = capsys.readouterr().err
    assert said.count(f"skipped: {source} line ") == 5
    assert "skipped: 7 in all\n" in said
    source = write_rows(tmp_path / "bad.jsonl", [{"text": 1}])
    with pytest.raises(UserError, match="no other record can be read either, so check the format"):
        tokens_of(source, CODEC, "skip")


def test_a_source_without_text_is_named(tmp_path, cache):
    source = write_rows(tmp_path / "web.jsonl", [{"text": " "}])
    with pytest.raises(UserError) as raised:
        tokens_of(source, CODEC)
    assert sentence(raised) == f"{source}: no text in it; give documents to mix in"
    assert kept(cache) == []


def test_a_cache_that_cannot_be_written_is_said(source, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("INSTRUCTGPT_CACHE", str(tmp_path / "file" / "below"))
    with pytest.raises(UserError) as raised:
        tokens_of(source, CODEC)
    assert sentence(raised) == (
        f"{tmp_path}/file/below/tokens cannot be written (Not a directory); free space there, or "
        "set INSTRUCTGPT_CACHE to another folder"
    )


def test_how_far_it_has_come_is_said(source, monkeypatch, capsys):
    monkeypatch.setattr(tokens, "PLAIN_EVERY_SECONDS", 0)
    tokens_of(source, CODEC)
    first = len(CODEC.document(TEXTS[0]))
    assert (
        f"{source}: {first} tokens of 1 document, at {source} line 1\n" in capsys.readouterr().err
    )
