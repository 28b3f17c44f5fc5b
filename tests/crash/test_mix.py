"""A stage on weighted sources: exact resume, what `run.json` names, and what a resume refuses."""

import re
from pathlib import Path

import pytest

from instructgpt.errors import UserError
from tests.files import write_rows
from tests.small_runs import differing, killed_after, one_backend, run_stage, write_inputs


def test_a_killed_run_ends_like_one_that_was_not(tmp_path, monkeypatch):
    monkeypatch.setenv("INSTRUCTGPT_CACHE", str(tmp_path / "cache"))
    settings = write_inputs(tmp_path)["sft"] | {"reward_model": "", "eval_data": ()}
    settings |= {"epochs": 1, "select_by": "last"}
    text, web = settings["pretrain_data"], {"path": str(tmp_path / "web.jsonl"), "weight": 2}
    write_rows(tmp_path / "web.jsonl", [{"text": "feedbagfeedbag" * n} for n in range(1, 5)])
    mix = settings | {"pretrain_data": [f"{text}:0.5", web]}
    with one_backend():
        straight = run_stage("sft", mix, tmp_path / "straight")
        with killed_after(2):
            run_stage("sft", mix, tmp_path / "killed", save_every=1)
        changed = settings | {"pretrain_data": [f"{text}:0.5", web | {"weight": 3}]}
        with pytest.raises(UserError, match=r"settings: pretrain_data .*jsonl:2 -> .*jsonl:3 "):
            run_stage("sft", changed, tmp_path / "killed")
        run_stage("sft", mix, tmp_path / "killed", save_every=1)
        assert differing(tmp_path / "killed", straight.dir) == []
        plain = settings | {"pretrain_data": [text, web["path"]]}
        other = run_stage("sft", plain, tmp_path / "plain")
    assert "metrics.jsonl" in differing(other.dir, straight.dir)  # the mix decides something

    sources = [x for x in straight.info["inputs"] if x["key"] == "pretrain_data"]
    found = [(Path(x["path"]).name, x["weight"]) for x in sources]
    assert found == [("text.txt", 0.5), ("web.jsonl", 2.0)]
    assert all(re.fullmatch("[0-9a-f]{64}", x["digest"]) for x in sources)
