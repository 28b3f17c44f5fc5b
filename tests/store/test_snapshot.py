"""Snapshots: what is in the files, that order changes nothing, and that stages take the folder."""

import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from instructgpt.data.reading import load_records
from instructgpt.data.records import Candidates, Demonstration, Prompt, Ranking, Rating
from instructgpt.data.snapshots import readers_of
from instructgpt.errors import UserError
from instructgpt.run.inputs import Input, Reads, digest_input
from instructgpt.sft.config import SFTConfig
from instructgpt.sft.inputs import look
from instructgpt.store import Store, tables
from tests.files import sentence, write_policy
from tests.store.filled import decide, fill, prompts


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_snapshot_holds_what_was_decided_and_says_what_it_holds(store, tmp_path):
    fill(store, "it")
    decide(store, [prompts("it")[0]], detail={"fields": {"split": "test", "prompt": "<MASKED>"}})
    out = tmp_path / "whole" / "first"
    manifest = store.snapshot("first", out)
    assert {path.name for path in out.iterdir()} == {*manifest["files"], "manifest.json"}
    assert manifest == json.loads((out / "manifest.json").read_text())
    rows = {row["id"]: row for row in lines(out / "prompts.jsonl")}
    assert rows["a1"] == {
        "id": "a1",
        "prompt": "<MASKED>",
        "user_id": "ann",
        "use_case": "it",  # annotated
        "split": "test",  # decided last
        "notes": ["it"],
    }
    assert rows["b1"] == {"id": "b1", "prompt": "Bob's own.", "user_id": "bob", "split": "train"}
    ranked = {row["prompt_id"]: row for row in lines(out / "rankings.jsonl")}
    assert [row["ranks"] for row in ranked.values()] == [[2, 1], [2, 1]]  # the edits alone
    assert (ranked["a1"]["prompt"], ranked["a1"]["split"]) == ("<MASKED>", "test")
    counts = {name: file["records"] for name, file in manifest["files"].items()}
    assert counts == {
        "prompts.jsonl": 3,
        "demonstrations.jsonl": 1,
        "rankings.jsonl": 2,
        "ratings.jsonl": 1,
    }
    told = subprocess.run(["sha256sum", *sorted(counts)], cwd=out, capture_output=True, text=True)
    assert hashlib.sha256(told.stdout.encode()).hexdigest() == manifest["digest"]
    assert (manifest["rules"], manifest["store"]) == ({"split": 1}, store.database.name)


@pytest.mark.parametrize("outcome", ["dropped", "held", "undone"])
def test_what_is_not_kept_is_left_out_with_its_labels(store, tmp_path, outcome):
    fill(store)
    store.add([Prompt(prompt="Nobody decided."), Demonstration(prompt="Of none.", response="r")])
    decide(store, prompts()[:2], outcome)
    manifest = store.snapshot("some", tmp_path / "some")
    assert [row["id"] for row in lines(tmp_path / "some" / "prompts.jsonl")] == ["b1"]
    assert [row["prompt_id"] for row in lines(tmp_path / "some" / "rankings.jsonl")] == ["b1"]
    assert [row["response"] for row in lines(tmp_path / "some" / "demonstrations.jsonl")] == ["r"]
    why = f"{outcome} in split"
    assert manifest["left_out"] == {
        "prompts.jsonl": {why: 2, "not through an intake": 1},
        "demonstrations.jsonl": {f"prompt {why}": 1},
        "rankings.jsonl": {f"prompt {why}": 1},
        "ratings.jsonl": {f"prompt {why}": 1},
    }


def test_the_order_in_which_things_came_changes_no_byte(store, tmp_path):
    fill(store)
    with Store.open(f"sqlite:///{tmp_path}/other.db") as other:
        other.add([Prompt(id="between", prompt="x"), *prompts()[::-1]])
        decide(other, prompts()[::-1], "dropped")
        fill(other)
        one, two = store.snapshot("x", tmp_path / "x"), other.snapshot("y", tmp_path / "y")
    assert one["digest"] == two["digest"]
    for name in one["files"]:
        assert (tmp_path / "x" / name).read_bytes() == (tmp_path / "y" / name).read_bytes()


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A snapshot that the tests below read or copy."""
    folder = tmp_path_factory.mktemp("whole")
    with Store.open(f"sqlite:///{folder}/store.db") as store:
        fill(store)
        store.snapshot("whole", folder / "whole")
    return folder / "whole"


def test_every_kind_of_record_is_read_from_the_folder(whole, tmp_path):
    for kind, file, count in (
        (Prompt, "prompts.jsonl", 3),
        (Demonstration, "demonstrations.jsonl", 1),
        (Ranking, "rankings.jsonl", 2),
        (Rating, "ratings.jsonl", 1),
    ):
        found = load_records([str(whole)], kind)
        assert found == load_records([str(whole / file)], kind)
        assert len(found) == count
    with pytest.raises(UserError, match="no candidates; give one") as raised:
        load_records([str(whole)], Candidates)
    sentence(raised)


def test_a_stage_takes_the_folder_and_keeps_the_hash_of_its_file(whole, tmp_path):
    model = write_policy(tmp_path / "policy", context=8192)
    config = SFTConfig(model=model, data=str(whole), out=str(tmp_path / "run"), on_long="truncate")
    assert dict(look(config).outline())["data"].startswith("1 demonstration")
    digest = digest_input(Input("data", str(whole), Reads("demonstrations")))
    own = hashlib.sha256((whole / "demonstrations.jsonl").read_bytes()).hexdigest()
    assert digest.files == {"demonstrations.jsonl": own}
    run = tmp_path / "runs" / "some"
    run.mkdir(parents=True)
    source = {"key": "data", "kind": "demonstrations", "path": "moved", **digest.to_json()}
    (run / "run.json").write_text(json.dumps({"inputs": [source, {"key": "x", "path": "y"}]}))
    (tmp_path / "runs" / "run.json").write_text("{")
    assert [*readers_of([whole / "demonstrations.jsonl"], [tmp_path / "runs"])] == [(run, ["data"])]
    assert [*readers_of([whole / "ratings.jsonl"], [tmp_path / "runs"])] == []


def test_a_file_that_was_changed_and_one_that_is_empty_are_refused(whole, store, tmp_path):
    folder = tmp_path / "copy"
    folder.mkdir()
    for path in whole.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    with (folder / "prompts.jsonl").open("a") as file:
        file.write("\n")
    with pytest.raises(UserError, match="is not what manifest") as raised:
        load_records([str(folder)], Prompt)
    sentence(raised)
    store.snapshot("empty", tmp_path / "empty")
    with pytest.raises(UserError, match="this snapshot has no rankings") as raised:
        load_records([str(tmp_path / "empty")], Ranking)
    sentence(raised)
    (tmp_path / "mine").mkdir()
    for name, text in (("text", "kept"), ("manifest.json", '{"version": 3}')):
        (tmp_path / "mine" / name).write_text(text)
        with pytest.raises(UserError, match="holds something else than a snapshot"):
            store.snapshot("x", tmp_path / "mine")
        assert (tmp_path / "mine" / name).read_text() == text
    with pytest.raises(UserError, match="holds something else than a snapshot"):
        store.snapshot("x", tmp_path / "mine" / "text")
    with store.database.reading() as connection:
        assert (
            connection.scalar(tables.snapshots.select().with_only_columns(tables.snapshots.c.name))
            == "empty"
        )
