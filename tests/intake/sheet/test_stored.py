"""A store is counted as a snapshot of it would be, by the command."""

import json
import tempfile

import pytest

from tests.cli.conftest import cli as cli
from tests.intake.conftest import cheap as cheap
from tests.intake.conftest import write

EXAMPLES = [{"input": "one", "output": "a"}, {"input": "two", "output": "b c"}]
ROWS = [
    {"id": "a", "prompt": "Name a color.", "user_id": "u1", "consent": True},
    {"id": "b", "prompt": "Say it again in other words.", "user_id": "u1", "consent": True},
    {"id": "c", "prompt": "Who are you?", "source": "labeler", "consent": True},
    {"id": "d", "prompt": "Not mine.", "consent": False},
    {"id": "e", "instruction": "Go on.", "examples": EXAMPLES, "source": "labeler"},
]
WAY = ["--splits", "1/0/0", "--uses", "0/1/0", "--labeler_uses", "0/1/0"]


@pytest.mark.usefixtures("cheap")
def test_a_store_is_counted_without_a_snapshot(cli, tmp_path, monkeypatch):
    db, out = f"sqlite:///{tmp_path / 'store.db'}", tmp_path / "sheet.html"
    rows = write(tmp_path / "rows.jsonl", ROWS)
    assert cli("data", "intake", rows, *WAY, "--assume_consent", "ours", db=db).status == 0
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setenv("INSTRUCTGPT_DB", db)
    found = cli("data", "stats", "--json", out=out)
    assert found.status == 0
    assert "left out of prompts.jsonl: 1 (dropped in consent)" in found.err
    assert db in out.read_text()
    tables = json.loads(found.out)
    assert (tables["prompts"], tables["demonstrations"]) == (3, 2)
    assert tables["table_6"]["reward train"] == {"customer": 2, "labeler": 1}
    assert tables["table_8"] == {"reward train": 2.0}
    row = tables["table_9"]["reward train"]  # 4, 7 and 4 words and signs
    assert (row["count"], row["mean"], row["max"]) == (3, 5.0, 7.0)
    assert tables["table_11"]["labeler demonstrations"]["mean"] == 1.5
    assert list((tmp_path / "temporary").iterdir()) == []

    assert cli("data", "snapshot", "one", out=tmp_path / "one").status == 0
    assert json.loads(cli("data", "stats", "--json", snapshot=tmp_path / "one").out) == tables


def test_a_store_with_nothing_to_train_on_is_one_sentence(cli, tmp_path):
    db = f"sqlite:///{tmp_path / 'store.db'}"
    assert "there is no store" in cli("data", "stats", db=db).err
    rows = write(tmp_path / "rows.jsonl", ROWS[3:4])
    assert cli("data", "intake", rows, db=db).status == 0
    found = cli("data", "stats", db=db)
    assert (found.status, found.err.count("\n")) == (2, 1)
    assert "may be trained on (1 dropped in consent)" in found.err
