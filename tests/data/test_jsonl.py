import gzip
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instructgpt.data.jsonl import open_text, read_jsonl, write_jsonl
from instructgpt.errors import UserError

STORABLE = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


def error_of(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        list(read_jsonl(path))
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message.removeprefix(str(path))


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz", "new/folder/rows.jsonl"])
def test_rows_come_back_with_their_line_numbers(tmp_path: Path, name: str):
    rows = [{"text": "eins\u2028zwei\x85drei\x1c\r\n"}, {"n": [1, 2.5, None, True]}]
    write_jsonl(tmp_path / name, rows)
    assert list(read_jsonl(tmp_path / name)) == [(1, rows[0]), (2, rows[1])]


@settings(deadline=None)
@given(rows=st.lists(st.dictionaries(STORABLE, STORABLE, max_size=3), min_size=1, max_size=3))
def test_any_storable_text_survives(tmp_path_factory: pytest.TempPathFactory, rows: list[dict]):
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    write_jsonl(path, rows)
    assert [row for _, row in read_jsonl(path)] == rows


def test_blank_lines_crlf_and_byte_order_marks_are_passed_over(tmp_path: Path):
    path = tmp_path / "windows.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\r\n\r\n  \n{"a": 2}')
    assert list(read_jsonl(path)) == [(1, {"a": 1}), (4, {"a": 2})]


def test_gzip_is_real_and_does_not_depend_on_the_clock(tmp_path: Path, monkeypatch):
    path = tmp_path / "rows.jsonl.gz"
    write_jsonl(path, [{"a": "ü"}])
    before = path.read_bytes()
    assert gzip.decompress(before).decode() == '{"a": "ü"}\n'
    monkeypatch.setattr("time.time", lambda: 2e9)
    write_jsonl(path, [{"a": "ü"}])
    assert path.read_bytes() == before


def test_open_text_does_not_translate_line_ends(tmp_path: Path):
    content = "ä\r\nb\rc\u2028\n".encode()
    (tmp_path / "a.txt").write_bytes(content)
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(content))
    for name in ("a.txt", "a.txt.gz"):
        with open_text(tmp_path / name) as file:
            assert list(file) == ["ä\r\n", "b\rc\u2028\n"]


def test_open_text_names_a_file_that_is_not_utf8(tmp_path: Path):
    path = tmp_path / "latin.txt"
    path.write_bytes(b"caf\xe9 ")
    with (
        pytest.raises(UserError, match=r"latin\.txt is not UTF-8 text \(.*\); convert it"),
        open_text(path) as file,
    ):
        file.read()


def test_unreadable_files(tmp_path: Path):
    assert error_of(tmp_path / "none.jsonl") == " does not exist; check the path"
    assert error_of(tmp_path) == " is a folder; name a file in it"
    for blank in (b"", b"\n \r\n"):
        (tmp_path / "empty.jsonl").write_bytes(blank)
        assert error_of(tmp_path / "empty.jsonl") == (
            " is empty: it should hold one JSON object a line"
        )


def test_broken_gzip(tmp_path: Path):
    whole = gzip.compress(b'{"a": 1}\n' * 100)
    damaged = whole[:12] + bytes(4) + whole[16:]
    for content in (b'{"a": 1}\n', damaged):
        (tmp_path / "a.jsonl.gz").write_bytes(content)
        message = error_of(tmp_path / "a.jsonl.gz")
        assert message.startswith(" is a broken gzip file (")
        assert message.endswith("; fetch it again")
    (tmp_path / "a.jsonl.gz").write_bytes(whole[:-10])
    message = error_of(tmp_path / "a.jsonl.gz")
    assert message == " is a cut gzip file: it ends too early; fetch it again"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"a": 1', "not valid JSON (Expecting ',' delimiter at column 8)"),
        (b"[" * 200_000, "not valid JSON (nested too deeply)"),
        (b"[1, 2]", "expected a JSON object, found list"),
        (b'"text"', "expected a JSON object, found str"),
        (b'{"a": "caf\xe9"}', "not UTF-8 text (invalid continuation byte at byte 11)"),
        (b'{"a": [{"b": "x\\u0000"}]}', "b holds a NUL character (U+0000)"),
        (b'{"a": "\\ud83d!"}', "a holds a lone surrogate (U+D83D)"),
        (b'{"\\udc00": 1}', "a field name in the line holds a lone surrogate (U+DC00)"),
    ],
)
def test_bad_lines_are_named_by_number_and_reason(tmp_path: Path, line: bytes, reason: str):
    path = tmp_path / "bad.jsonl"
    path.write_bytes(b'{"a": 0}\n' * 5 + b"\n" + line + b"\n")
    assert error_of(path) == (f" line 7: {reason}; mend or remove the line")


def test_a_surrogate_pair_is_one_character(tmp_path: Path):
    path = tmp_path / "pair.jsonl"
    path.write_text('{"a": "\\ud83d\\ude00"}')
    assert list(read_jsonl(path)) == [(1, {"a": "😀"})]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path):
    path = tmp_path / "rows.jsonl"
    write_jsonl(path, [{"a": "old"}])
    with pytest.raises(
        UserError, match=r"rows\.jsonl line 2: a holds a NUL character \(U\+0000\); take it out"
    ):
        write_jsonl(path, [{"a": "new"}, {"a": "\0"}])
    assert list(read_jsonl(path)) == [(1, {"a": "old"})]
    assert os.listdir(tmp_path) == ["rows.jsonl"]


def test_places_that_cannot_be_written(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"it is a folder, not a file"):
        write_jsonl(tmp_path, [{"a": 1}])
    with pytest.raises(UserError, match=r"a\.jsonl: .+; check the path and its permissions"):
        write_jsonl(tmp_path / "file" / "a.jsonl", [{"a": 1}])
