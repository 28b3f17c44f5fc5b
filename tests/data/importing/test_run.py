"""Every row is counted once, and what is written is written whole or not at all."""

import gzip
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from instructgpt.data.formats.format import Converted, Format, Skip
from instructgpt.data.formats.reasons import Reason
from instructgpt.data.formats.registry import FORMATS
from instructgpt.data.importing.run import Imported, import_files
from instructgpt.data.records import Demonstration, Prompt, Ranking
from instructgpt.errors import UserError
from tests.data.importing.files import FORMS, array, lines, table, write

PAIRS = [{"prompt": f"p{i}", "chosen": "good", "rejected": "bad"} for i in range(3)]


def records(path: Path) -> list[dict[str, Any]]:
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8", newline="\n") as file:
        return [json.loads(line) for line in file]


def told(result: Imported) -> tuple[int, int, dict]:
    (account,) = result.accounts
    assert account.rows == account.kept + account.skipped.total()
    return account.rows, account.kept, {str(k): v for k, v in account.skipped.items()}


def refusal(files: list[str], out: Path | str, **options: Any) -> str:
    """The sentence of a refused import, which has left everything as it was."""
    folder = Path(str(out)).parent
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(UserError) as caught:
        import_files(files, str(out), **options)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    return str(caught.value).replace(f"{folder}/", "")


@pytest.mark.parametrize("form", FORMS)
def test_a_file_of_any_form_becomes_the_same_records(form: str, tmp_path: Path):
    source = write(tmp_path / "source", FORMS[form](PAIRS))
    result = import_files([source], str(tmp_path / "out.jsonl"))
    assert told(result) == (3, 3, {})
    assert result.accounts[0].format == "trl"
    assert [(r["prompt"], r["ranks"]) for r in records(tmp_path / "out.jsonl")] == [
        (f"p{i}", [1, 2]) for i in range(3)
    ]


def test_rows_are_skipped_by_reason_and_malformed_ones_stop(tmp_path: Path):
    rows = [
        *PAIRS,
        {"prompt": "p", "completion": "c", "label": True},
        {"prompt": "p", "completions": ["c"], "labels": [True]},
    ]
    source = write(tmp_path / "s.jsonl", lines(rows))
    out = tmp_path / "out.jsonl"
    expected = {"unpaired answer": 1, "steps of one answer": 1}
    assert told(import_files([source], str(out))) == (5, 3, expected)
    source = write(tmp_path / "s.jsonl", lines(rows) + b'{"prompt": "p", "chosen": 1}\n{"a"\n')
    assert refusal([source], out, kind=Ranking) == (
        "s.jsonl line 7: not valid JSON (Expecting ':' delimiter at column 5); mend or remove the "
        "line, or pass --on_error skip"
    )
    result = import_files([source], str(out), on_error="skip")
    assert told(result) == (7, 3, expected | {"another kind": 1, "not readable": 1})
    sentences = [line for some in result.accounts[0].sentences.values() for line in some]
    assert f"{source} line 7: not valid JSON (Expecting ':' delimiter at column 5)" in str(
        sentences
    )


def test_the_kind_is_the_main_one_or_what_rows_hold_or_what_is_asked(tmp_path: Path):
    out = tmp_path / "out.jsonl"
    shown = [{"prompt": "p", "response": "r"}, {"prompt": "q", "response": "r"}]
    result = import_files([write(tmp_path / "a", lines(shown))], str(out))
    assert result.paths == {"demonstration": out}
    result = import_files([write(tmp_path / "a", lines([*PAIRS, *PAIRS]))], str(out), kind=Prompt)
    assert told(result) == (6, 3, {"repeated prompt": 3})
    assert [r["prompt"] for r in records(out)] == ["p0", "p1", "p2"]
    said = refusal([write(tmp_path / "a", lines(PAIRS))], out, kind=Demonstration, format="hh")
    assert said == "--kind demonstration: hh holds ranking, and their prompts"


def test_a_folder_gets_a_file_for_each_kind_and_a_row_is_counted_once(tmp_path: Path):
    rows = [*PAIRS, {"prompt": "p", "completion": "c"}, {"text": "no turns"}]
    source = write(tmp_path / "s.jsonl", lines(rows))
    result = import_files([source], f"{tmp_path}/new/out/", format="trl", on_error="skip")
    assert told(result) == (5, 4, {"wrong value": 1})
    assert sorted(os.listdir(tmp_path / "new" / "out")) == ["demonstration.jsonl", "ranking.jsonl"]
    assert result.accounts[0].records == {"ranking": 3, "demonstration": 1}
    (tmp_path / "new" / "out" / "own.txt").touch()
    import_files([source], f"{tmp_path}/new/out", format="trl", on_error="skip", kind=Ranking)
    assert sorted(os.listdir(tmp_path / "new" / "out")) == [
        "demonstration.jsonl",
        "own.txt",
        "ranking.jsonl",
    ]


def test_what_a_row_holds_of_another_kind_is_not_lost_in_silence(tmp_path: Path):
    """A record of Argilla with a ranking, and a rating that is out of its range."""
    fields = {"prompt": "Name a sea.", "response": "Seas.", "x": "The Baltic.", "y": "The Alps."}
    order = [{"rank": 1, "value": "x"}, {"rank": 2, "value": "y"}]
    rated = {"likert": [{"value": 9}], "ranking": [{"value": order}]}
    source = write(tmp_path / "s.jsonl", lines([{"fields": fields, "responses": rated}]))
    said = refusal([source], f"{tmp_path}/out/")
    assert said.startswith("s.jsonl line 1: likert: expected a whole number from 1 to 7, found 9;")
    result = import_files([source], f"{tmp_path}/out/", on_error="skip")
    assert told(result) == (1, 1, {})
    assert result.accounts[0].left_out == {Reason.WRONG_VALUE: 1}
    alone = import_files([source], str(tmp_path / "out.jsonl"), kind=Ranking)
    assert told(alone) == (1, 1, {})
    assert not alone.accounts[0].left_out


def test_our_own_records_of_all_kinds_go_into_a_folder(tmp_path: Path):
    """A rating has the keys of a demonstration, and a ranking those of candidates."""
    answers = [{"text": "a"}, {"text": "b"}]
    rows = [
        {"prompt": "p", "response": "a", "likert": 7},
        {"prompt": "p", "responses": answers, "ranks": [1, 2]},
        {"prompt": "p", "responses": answers},
        {"prompt": "p", "response": "a"},
    ]
    source = write(tmp_path / "s.jsonl", lines(rows))
    result = import_files([source], f"{tmp_path}/out/")
    assert told(result) == (4, 4, {})
    kinds = ("rating", "ranking", "candidates", "demonstration")
    assert result.accounts[0].records == dict.fromkeys(kinds, 1)
    assert not result.accounts[0].left_out


def test_turns_after_the_answer_are_counted_whoever_reads_the_messages(tmp_path: Path):
    turns = [{"role": role, "content": role} for role in ("user", "assistant", "user")]
    source = write(tmp_path / "s.jsonl", lines([{"messages": turns}]))
    for name in ("openai", "trl"):
        result = import_files(
            [source], str(tmp_path / "out.jsonl"), format=name, kind=Demonstration
        )
        assert result.accounts[0].left_out == {Reason.AFTER_ANSWER: 1}


def test_a_folder_is_its_files_by_name(tmp_path: Path, capsys):
    folder = tmp_path / "in"
    (folder / "b").mkdir(parents=True)
    write(folder / "b" / "x.json", array(PAIRS[:1]))
    write(folder / "a.csv", table(PAIRS[1:2]))
    write(folder / "c.jsonl", lines(PAIRS[2:]))
    write(folder / "README.md", b"prose")
    write(folder / ".hidden.jsonl", b"{")
    result = import_files([str(folder)], str(tmp_path / "out.jsonl.gz"))
    assert [r["prompt"] for r in records(tmp_path / "out.jsonl.gz")] == ["p1", "p0", "p2"]
    assert [account.rows for account in result.accounts] == [1, 1, 1]
    assert "README.md is passed over" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    said = refusal([str(tmp_path / "empty")], tmp_path / "out.jsonl")
    assert said.startswith("empty holds no .json, .jsonl, .csv, .tsv or .parquet file")


def test_files_with_different_records_do_not_become_one_file(tmp_path: Path):
    sources = [
        write(tmp_path / "a.jsonl", lines(PAIRS)),
        write(tmp_path / "b.jsonl", lines([{"prompt": "p", "response": "r"}])),
    ]
    assert refusal(sources, tmp_path / "out.jsonl") == (
        "the files hold different records (ranking in a.jsonl, demonstration in b.jsonl); name "
        "--kind, or --out FOLDER/"
    )
    result = import_files(sources, f"{tmp_path}/both/")
    assert sorted(result.paths) == ["demonstration", "ranking"]


@pytest.mark.parametrize("on_error", ["stop", "skip"])
def test_a_file_of_no_use_is_refused_by_name_and_out_stays(on_error: Any, tmp_path: Path):
    good = lines(PAIRS * 200)
    out = tmp_path / "out.jsonl"
    out.write_text("old\n")
    for content, said in (
        (gzip.compress(good)[:-4], "bad is a cut gzip file"),
        (FORMS["zstd"](PAIRS * 200)[:-4], "bad is a cut zstd file"),
        (good + b'{"a": "\xff"}\n', "bad is not UTF-8 text (invalid start byte: 0xFF at byte "),
        (b"", "bad is empty"),
        (array(PAIRS)[:-1], "bad is cut: its JSON array is not closed after element 2"),
        (lines([{"prompt": "p", "completion": "c", "label": True}]),
         "bad: no row ends in a record, read as trl (1 unpaired answer; bad line 1: label: "),
    ):  # fmt: skip
        sources = [write(tmp_path / "good", good), write(tmp_path / "bad", content)]
        options = {"format": "trl"} if b"label" in content else {}
        assert refusal(sources, out, on_error=on_error, kind=Ranking, **options).startswith(said)
    source = write(tmp_path / "bad", b"{\n{\n")
    assert "no other row of" in refusal([source], out, on_error="skip")


def test_a_refused_import_leaves_no_new_folder(tmp_path: Path):
    source = write(tmp_path / "s.jsonl", b"{\n")
    for out in ("new/deep/out.jsonl", "new/deep/"):
        refusal([source], f"{tmp_path}/{out}")
        assert os.listdir(tmp_path) == ["s.jsonl"]


def test_what_cannot_be_written_is_said(tmp_path: Path):
    source = write(tmp_path / "s.jsonl", lines(PAIRS))
    assert refusal([source], tmp_path / "o.parquet").startswith("--out o.parquet: an import writes")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    assert "it is a link" in refusal([source], tmp_path / "link")


def test_a_file_may_take_its_own_place(tmp_path: Path):
    source = write(tmp_path / "s.jsonl", lines(PAIRS))
    import_files([source], source)
    assert [r["ranks"] for r in records(Path(source))] == [[1, 2]] * 3


def test_options_are_for_formats_that_take_them(tmp_path: Path):
    source = write(tmp_path / "s.jsonl", lines(PAIRS))
    said = refusal([source], tmp_path / "out.jsonl", options={"min_ratio": 2.0})
    assert said.startswith("--min_ratio says nothing to the format trl; ")


def test_rows_of_a_group_are_counted_one_by_one(tmp_path: Path, monkeypatch):
    """Rows of one prompt stand apart; of each group, the worst is in no record."""

    def convert(rows: list[dict]) -> Converted:
        if len(rows) == 1:
            raise Skip(Reason.ONE_ANSWER, "g: one row alone")
        found = [{"text": row["t"]} for row in rows[:2]]
        record = Ranking.model_validate(
            {"prompt": rows[0]["g"], "responses": found, "ranks": [1, 2]}
        )
        left = {i: Skip(Reason.WRONG_VALUE, "t: too many") for i in range(2, len(rows))}
        return Converted([record], Counter(), left)

    grouped = Format(
        name="grouped",
        main=Ranking,
        readers={Ranking: convert},
        fits=lambda row: "g" in row,
        group=lambda row: row["g"],
        example={"g": "x", "t": "a"},
        says="",
    )
    monkeypatch.setitem(FORMATS, "grouped", grouped)
    rows = [{"g": name, "t": f"{name}{i}"} for i, name in enumerate("xyxzxy")]
    source = write(tmp_path / "s.jsonl", lines(rows))
    result = import_files([source], str(tmp_path / "out.jsonl"), on_error="skip")
    assert told(result) == (6, 4, {"wrong value": 1, "one answer": 1})
    assert [[t["text"] for t in r["responses"]] for r in records(tmp_path / "out.jsonl")] == [
        ["x0", "x2"],
        ["y1", "y5"],
    ]
    assert "line 5: t: too many" in str(result.accounts[0].sentences)
