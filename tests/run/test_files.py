"""Files as anybody may have left them: read, or refused in one sentence that names them."""

import json
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from instructgpt.data.jsonl import read_jsonl
from instructgpt.errors import UserError, harmless
from instructgpt.run.files import read_json, read_shaped, shortened, status_of
from instructgpt.run.presets import read_yaml
from tests.files import sentence


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "it is empty"),
        (b"{", "not valid JSON (Expecting property name enclosed in double quotes at column 2)"),
        (b"{\n\n3}", "at line 3 column 1)"),
        (b"[" * 100_000 + b"]" * 100_000, "not valid JSON (nested too deeply)"),
        (b'{"a":' * 200 + b"1" + b"}" * 200, "nested too deeply (more than 100 levels)"),
        (b'{"a": ' + b"1" * 5000 + b"}", "a number has more digits than can be read"),
        (b"[]", "holds no JSON object"),
        (b"\xff", "not UTF-8 text (invalid start byte at byte 1)"),
    ],
)
def test_json_that_is_none(content, why, tmp_path):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(UserError) as raised:
        read_json(tmp_path / "a.json", "restore it")
    said = sentence(raised)
    assert said.startswith(f"{tmp_path}/a.json: ")
    assert why in said
    assert said.endswith("; restore it")


@pytest.mark.parametrize("name", [".", "nowhere", "n" * 300, "a\0b", "caf\udce9"])
def test_names_behind_which_there_is_no_file(name, tmp_path):
    with pytest.raises(UserError) as raised:
        read_json(tmp_path / name, "give another")
    assert sentence(raised).endswith("; give another")
    with pytest.raises(UserError):
        read_yaml(tmp_path / name)
    assert status_of(tmp_path / name) == ""


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    """Root reads all, so the refusal is put on."""

    def refuse(self, *_, **__):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(UserError, match=r"a\.json: cannot be read \(Permission denied\); mend it"):
        read_json(tmp_path / "a.json", "mend it")


NINE = ["a: &a [x, x, x, x, x, x, x, x, x]"] + [
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("\n".join(NINE), "it holds more than 100,000 values"),
        ("a: &a [*a]", "nested too deeply (more than 100 levels)"),
        ("a: " + "[" * 100_000, "nested too deeply"),
        ("a: 2020-13-45", "a value cannot be read (month must be in 1..12)"),
        ("a: " + "1" * 5000, "a value cannot be read"),
        ("a: [1", " line 1: expected"),
        ("a: !!python/object:os.system x", "could not determine a constructor"),
        ("a: \0", "special characters are not allowed"),
        ("x" * (2**20 + 1), "has more than 1 MiB"),
    ],
)
def test_yaml_that_is_none(text, why, tmp_path):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(UserError) as raised:
        read_yaml(tmp_path / "a.yaml")
    said = sentence(raised)
    assert said.startswith(f"{tmp_path}/a.yaml")
    assert why in said


def test_the_field_of_another_type_is_named(tmp_path):
    class Shape(BaseModel):
        stages: list[dict[str, str]]

    (tmp_path / "a.json").write_text('{"stages": [{"name": 3}], "own": 1}')
    with pytest.raises(UserError, match=r"a\.json: 'stages\.0\.name' is not what was written"):
        read_shaped(tmp_path / "a.json", Shape, "restore it")


def test_what_a_terminal_would_obey_is_written_out():
    """The codes by ECMA-48, the directions by Unicode's bidirectional algorithm."""
    obeyed = "\x1b[2J\x9b1A\x07\r\x7f\u202e\u2066\u200f\u2028\udcff"
    shown = r"\u001b[2J\u009b1A\u0007\u000d\u007f\u202e\u2066\u200f\u2028\udcff"
    assert harmless(obeyed) == shown
    assert json.loads(f'"{shown}"') == obeyed  # in JSON it stays what it was
    assert harmless("naïve 日本 \U0001f600\tand\n") == "naïve 日本 \U0001f600\tand\n"


def test_a_users_error_is_one_line():
    assert str(UserError("a  b\n  c\x1b[31m\n")) == "a  b c\\u001b[31m"


def test_a_long_value_is_shown_short():
    assert len(shortened("x" * 10**6)) < 200
    assert len(shortened([["y" * 1000] * 1000] * 1000)) < 1000


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("epochs: 1\nout: x\nepochs: 2\n", 3),
        ("sft:\n  epochs: 1\n  epochs: 2\n", 3),
        ("a: &one\n  k: 1\n  'k': 2\nb: *one\n", 3),
        ("{k: 1, k: 2}\n", 1),
    ],
)
def test_a_yaml_key_that_stands_there_twice_is_refused(tmp_path, text, line):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(UserError) as raised:
        read_yaml(tmp_path / "a.yaml")
    key = "epochs" if "epochs" in text else "k"
    assert sentence(raised).startswith(f"{tmp_path}/a.yaml line {line}: the key '{key}' stands ")


def test_yaml_anchors_and_merges_are_read_as_before(tmp_path):
    text = "deep: {x: &base {<<: &more {k: 1, m: 2}, k: 3}}\ntop: {<<: *base, m: 4}\n1: a\n'1': b\n"
    (tmp_path / "a.yaml").write_text(text)
    assert read_yaml(tmp_path / "a.yaml") == yaml.safe_load(text)


@pytest.mark.parametrize("text", ['{"k": 1, "k": 1}', '{"a": [{"k": 1, "b": 2, "k": 3}]}'])
def test_a_json_key_that_stands_there_twice_is_refused(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UserError, match=r"a\.json: the key 'k' stands there twice; restore it"):
        read_json(tmp_path / "a.json", "restore it")
    assert read_json(tmp_path / "a.json", "", unique=False) == json.loads(text)
    (tmp_path / "a.jsonl").write_text('{"k": 1}\n' + text)
    with pytest.raises(UserError, match=r"a\.jsonl line 2: the key 'k' stands there twice; mend"):
        list(read_jsonl(tmp_path / "a.jsonl"))
