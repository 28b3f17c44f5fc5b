"""`data import`, `data export` and `data formats`, as they are typed."""

import json
from pathlib import Path

from instructgpt.data.exporting.table import formats_table

HH = {"chosen": "\n\nHuman: Hi\n\nAssistant: Ho", "rejected": "\n\nHuman: Hi\n\nAssistant: Hum"}
EQUAL = {"chosen": HH["chosen"], "rejected": HH["chosen"]}


def write(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_an_import_says_what_became_of_each_row_and_ends_with_a_line_of_json(cli, tmp_path):
    source, out = write(tmp_path / "hh.jsonl", [HH, EQUAL, HH]), tmp_path / "out.jsonl"
    result = cli("data", "import", source, "--json", out=out)
    assert result.status == 0
    assert json.loads(result.out) == {
        "file": str(source),
        "format": "hh",
        "rows": 3,
        "kept": 2,
        "skipped": {"equal answers": 1},
        "records": {"ranking": 2},
        "out": {"ranking": str(out)},
    }
    assert f"skipped: {source} line 2: " in result.err
    assert f"{source}: 3 rows read as hh, 2 kept, 1 skipped" in result.err
    assert f"2 ranking records -> {out}" in result.err


def test_several_files_have_an_account_each(cli, tmp_path):
    sources = [write(tmp_path / name, rows) for name, rows in (("a", [HH, EQUAL]), ("b", [HH]))]
    told = json.loads(cli("data", "import", *sources, "--json", out=tmp_path / "o.jsonl").out)
    assert told["file"] == [str(source) for source in sources]
    assert (told["rows"], told["kept"], told["skipped"]) == (3, 2, {"equal answers": 1})
    assert [(one["file"], one["rows"]) for one in told["files"]] == [
        (str(sources[0]), 2),
        (str(sources[1]), 1),
    ]


def test_columns_are_named_with_map_and_values(cli, tmp_path):
    source = tmp_path / "sheet.csv"
    source.write_text("question,answer 1,answer 2,ann,bob\n2 + 2,4,5,1,0\n3 + 3,5,6,2,\n")
    out = tmp_path / "out.jsonl"
    words = ["--map", "prompt=question", "--map", "a=answer 1", "--map", "b=answer 2"]
    words += ["--map", "preference=ann,bob", "--values", "1=a, 2=b,0=tie", "--json"]
    result = cli("data", "import", source, *words, format="pairs", out=out)
    assert result.status == 0
    told = json.loads(result.out)
    assert (told["rows"], told["kept"], told["left_out"]) == (2, 2, {"no judgment": 1})
    records = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(r["labeler_id"], r["ranks"]) for r in records] == [
        ("ann", [1, 2]),
        ("bob", [1, 1]),
        ("ann", [2, 1]),
    ]


def test_what_is_typed_wrongly_is_answered_in_one_sentence(cli, tmp_path):
    source, out = write(tmp_path / "hh.jsonl", [HH]), tmp_path / "out.jsonl"

    def said(*words: str, **flags: str) -> str:
        result = cli("data", "import", source, *words, out=out, **flags)
        assert (result.status, result.out, result.err.count("\n")) == (2, "", 1)
        assert not out.exists()
        return result.err

    assert "(did you mean 'hh'?)" in said(format="hhh")
    assert "--map prompt: write NAME=VALUE" in said("--map", "prompt", format="pairs")
    assert "needs to know which column is what: --map b=COLUMN" in said(
        "--map", "prompt=x", "--map", "a=y", format="pairs"
    )
    assert "--map answer: the format pairs knows prompt, a, b" in said(
        "--map", "answer=x", format="pairs"
    )
    assert "--map a: stands there twice" in said("--map", "a=x", "--map", "a=y", format="pairs")
    assert "--values 1=yes: a value means a, b or tie" in said(
        *["--map", "prompt=x", "--map", "a=y", "--map", "b=z", "--map", "preference=p"],
        *["--values", "1=yes"],
        format="pairs",
    )
    assert "--map says nothing to the format hh" in said("--map", "a=x")


def test_an_export_says_what_is_lost(cli, tmp_path):
    tied = {"prompt": "p", "responses": [{"text": "a"}, {"text": "b"}], "ranks": [1, 1]}
    rows = [tied, {**tied, "ranks": [1, 2], "note": "x"}]
    source, out = write(tmp_path / "r.jsonl", rows), tmp_path / "o.jsonl"
    result = cli("data", "export", source, "--json", kind="ranking", out=out, format="openai")
    assert json.loads(result.out) == {
        "file": str(source),
        "format": "openai",
        "records": 2,
        "rows": 1,
        "skipped": 0,
        "lost": {"prompt": 2, "prompt_id": 2, "ranks": 1, "note": 1},
        "out": str(out),
    }
    assert "not held by openai: note of 1 record" in result.err
    result = cli("data", "export", source, kind="ranking", out=tmp_path / "o", format="jsonl")
    assert result.status == 2


def test_the_formats_are_printed(cli):
    result = cli("data", "formats")
    assert (result.status, result.err) == (0, "")
    assert result.out == formats_table()
