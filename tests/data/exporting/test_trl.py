"""TRL's rows as this package writes them, and that they are read as what they were."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from instructgpt.data.exporting.run import export_records
from instructgpt.data.formats import read_records
from instructgpt.data.importing.run import import_files
from instructgpt.data.records import Candidates, Demonstration, Prompt, Ranking, Rating, Record
from instructgpt.errors import UserError
from tests.data.exporting.records import ASKED, ranking, rankings

USER = {"role": "user", "content": "Name a colour."}
BLUE = {"role": "assistant", "content": "Blue."}
SEVEN = {"role": "assistant", "content": "Seven."}


def written(path: Path) -> list[Any]:
    data = path.read_bytes()
    text = gzip.decompress(data) if path.suffix == ".gz" else data
    return [json.loads(line) for line in text.split(b"\n") if line]


def test_a_ranking_is_written_as_its_untied_pairs_best_first(tmp_path: Path):
    path = tmp_path / "pairs.jsonl"
    record = ranking("Q", "third", "best", "also third", "second", ranks=[3, 1, 3, 2], own=1)
    tied = ranking("Q", "a", "b", ranks=[1, 1])
    done = export_records(path, [record, tied], "trl")
    assert (done.records, done.rows, dict(done.lost)) == (2, 5, {"ranks": 1})
    rows = written(path)
    assert [(row["chosen"], row["rejected"], row["pair"]) for row in rows] == [
        ("best", "second", [1, 3]),
        ("best", "third", [1, 0]),
        ("best", "also third", [1, 2]),
        ("second", "third", [3, 0]),
        ("second", "also third", [3, 2]),
    ]
    assert {row["ranking_id"] for row in rows} == {rows[0]["ranking_id"]}
    assert all((row["prompt"], row["ranks"], row["own"]) == ("Q", [3, 1, 3, 2], 1) for row in rows)


@pytest.mark.parametrize(
    ("record", "row"),
    [
        (Prompt(id="p", prompt="Why?", source="labeler"),
         {"prompt": "Why?", "id": "p", "source": "labeler"}),
        (Prompt(id="p", prompt=ASKED), {"prompt": [USER], "id": "p"}),
        (Demonstration(prompt_id="p", prompt="Sky:", response=" blue", labeler_id="ann"),
         {"prompt": "Sky:", "completion": " blue", "prompt_id": "p", "labeler_id": "ann"}),
        (Demonstration(prompt_id="p", prompt=ASKED, response="Blue."),
         {"prompt": [USER], "completion": [BLUE], "prompt_id": "p"}),
        (ranking(ASKED, "Blue.", "Seven.", prompt_id="p"),
         {"prompt": [USER], "chosen": [BLUE], "rejected": [SEVEN], "prompt_id": "p"}),
    ],
)  # fmt: skip
def test_written_rows_have_trls_shape_and_the_records_columns(
    tmp_path: Path, record: Record, row: dict
):
    path = tmp_path / "trl.jsonl.gz"
    export_records(path, [record], "trl")
    assert written(path) == [row]


@settings(deadline=None, max_examples=25, phases=(Phase.reuse, Phase.generate))
@given(records=st.lists(rankings(), min_size=1, max_size=4))
def test_rankings_come_back_whole(tmp_path_factory: pytest.TempPathFactory, records: list[Ranking]):
    folder = tmp_path_factory.mktemp("trl")
    held = [record for record in records if len(set(record.ranks)) > 1]
    if not held:
        return
    done = export_records(folder / "trl.jsonl", records, "trl")
    assert dict(done.lost) == ({"ranks": len(records) - len(held)} if held != records else {})
    back = import_files([str(folder / "trl.jsonl")], str(folder / "back.jsonl"), format="trl")
    assert back.accounts[0].rows == back.accounts[0].kept == done.rows
    found = read_records(folder / "back.jsonl", Ranking).records
    assert sorted(map(repr, found)) == sorted(map(repr, held))
    found = read_records(folder / "trl.jsonl", Ranking).records  # as stages do
    assert sorted(map(repr, found)) == sorted(map(repr, held))


def test_pairs_of_which_one_was_taken_away_are_pairs(tmp_path: Path):
    path = tmp_path / "pairs.jsonl"
    export_records(path, [ranking("Q", "a", "b", "c", ranks=[1, 2, 3])], "trl")
    rows = [row for row in written(path) if "c" not in (row["chosen"], row["rejected"])]
    path.write_text(json.dumps(rows[0]) + "\n")
    (found,) = read_records(path, Ranking).records
    assert ([r.text for r in found.responses], found.ranks) == (["a", "b"], (1, 2))
    result = import_files([str(path)], str(tmp_path / "back.jsonl"))
    assert (result.accounts[0].rows, result.accounts[0].kept) == (1, 1)
    (found,) = read_records(tmp_path / "back.jsonl", Ranking).records
    assert ([r.text for r in found.responses], found.ranks) == (["a", "b"], (1, 2))


def test_stages_read_a_ranking_where_its_first_pair_stands(tmp_path: Path):
    path = tmp_path / "pairs.jsonl"
    plain = {"prompt": "P", "chosen": "x", "rejected": "y"}
    export_records(path, [ranking("Q", "a", "b", "c", ranks=[1, 2, 3])], "trl")
    rows = written(path)
    mixed = [plain, rows[0], {**plain, "prompt": "R"}, *rows[1:]]
    path.write_text("".join(json.dumps(row) + "\n" for row in mixed))
    found = read_records(path, Ranking).records
    assert [(record.prompt, record.ranks) for record in found] == [
        ("P", (1, 2)),
        ("Q", (1, 2, 3)),
        ("R", (1, 2)),
    ]
    assert [record.place for record in found] == [f"{path} line {n}" for n in (1, 2, 3)]


def test_a_name_that_trl_takes_is_said_to_be_lost(tmp_path: Path):
    record = Demonstration.model_validate({"prompt": "p", "response": "r", "label": True, "own": 1})
    done = export_records(tmp_path / "trl.jsonl", [record], "trl")
    assert dict(done.lost) == {"label": 1}
    (row,) = written(tmp_path / "trl.jsonl")
    assert "label" not in row
    assert row["own"] == 1


@pytest.mark.parametrize(
    ("name", "format", "ending"),
    [
        ("a.parquet", "trl", ".json"),
        ("a.csv", "native", ".json"),
        ("a.jsonl", "parquet", ".parquet"),
    ],
)
def test_a_name_of_another_form_is_refused(name: str, format: str, ending: str, tmp_path: Path):
    with pytest.raises(UserError, match=f"end its name in {ending}"):
        export_records(tmp_path / name, [ranking("Q", "a", "b")], format)
    assert not list(tmp_path.iterdir())


def test_what_has_no_form_is_refused(tmp_path: Path):
    path = tmp_path / "out.jsonl"
    candidates = Candidates.model_validate({"prompt": "Why?", "responses": [{"text": ""}]})
    rating = Rating(prompt="Why?", response="So.", likert=7)
    for record, kind in ((candidates, "candidates"), (rating, "rating")):
        with pytest.raises(UserError, match=f"trl has no form for {kind} records; write native"):
            export_records(path, [record], "trl")
    with pytest.raises(UserError, match="no format 'csv'; use one of: native, trl"):
        export_records(path, [rating], "csv")
    with pytest.raises(UserError, match=r"nothing of the records can be written as trl \(ranks\)"):
        export_records(path, [ranking("Q", "a", "b", ranks=[1, 1])], "trl")
    assert not path.exists()
