"""The page of a sheet: every table with the paper's figures; it loads nothing and escapes all."""

import json
import re

import pytest

from instructgpt.cli import main
from tests.files import write_rows
from tests.intake.sheet.twelve import PROMPTS, write_twelve


def test_the_command_writes_a_page_and_prints_the_tables(tmp_path, capsys):
    data, out = write_twelve(tmp_path / "data"), tmp_path / "sheet.html"
    write_rows(data / "prompts.jsonl", [*PROMPTS, {"prompt": "Hi", "use_case": "<b>own</b>"}])
    with pytest.raises(SystemExit) as ended:
        main(["data", "stats", "--snapshot", str(data), "--out", str(out), "--json"])
    assert ended.value.code == 0
    tables = json.loads(capsys.readouterr().out.splitlines()[-1])
    numbers = [1, 6, 7, 8, 9, 10, 11]
    assert [key for key in tables if key.startswith("table_")] == [f"table_{n}" for n in numbers]
    assert list(tables["paper"]) == [f"table_{n}" for n in numbers]
    page = out.read_text(encoding="utf-8")
    for number in numbers:
        assert f'<section id="table-{number}"' in page
    assert page.count("<svg viewBox") == 7
    assert not re.search(r'(?:src|href)="(?!#|data:)', page)
    assert "<b>own</b>" not in page
    assert "45.6 %" in page  # table 1
    assert "31,144" in page  # table 6
    assert "40.6 %" in page  # table 7
    assert "27.96" in page  # table 8
    assert "12,845" in page  # table 11


def test_a_folder_that_is_none_is_one_sentence(tmp_path, capsys):
    nowhere = str(tmp_path / "nowhere")  # which is said before a tokenizer is looked for
    with pytest.raises(SystemExit) as ended:
        main(["data", "stats", "--snapshot", nowhere, "--tokenizer", str(tmp_path / "none")])
    assert ended.value.code == 2
    assert "has no prompts.jsonl" in capsys.readouterr().err


def test_a_folder_and_a_store_are_not_counted_together(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["data", "stats", "--snapshot", str(tmp_path), "--db", "sqlite:///store.db"])
    assert ended.value.code == 2
    assert "give one of them" in capsys.readouterr().err
