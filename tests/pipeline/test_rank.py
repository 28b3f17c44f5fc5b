"""The `rank` stage: by the written rule, or from what people wrote."""

import json

import pytest

from instructgpt.errors import UserError
from instructgpt.pipeline.config import RankConfig
from instructgpt.pipeline.rank import rank_candidates
from instructgpt.run.directory import Run
from tests.files import sentence, write_rows

SEA = "Why do people like the sea?"
ANSWERS = ["", "People like the sea because it is wide and calm.", ""]
CANDIDATES = [{"prompt": SEA, "responses": [{"text": text} for text in ANSWERS]}]
PEOPLES = [
    {
        "prompt": SEA,
        "responses": [{"text": "a"}, {"text": "b"}],
        "ranks": [2, 1],
        "labeler_id": "ann",
    }
]


@pytest.fixture
def config(tmp_path):
    def make(**values):
        data = write_rows(tmp_path / "candidates.jsonl", CANDIDATES)
        return RankConfig(**{"data": data, "out": str(tmp_path / "run")} | values)

    return make


def read(run):
    return [json.loads(line) for line in (run.dir / "rankings.jsonl").read_text().splitlines()]


def test_the_rule_ranks(config):
    run = rank_candidates(config(by="rule"))
    (row,) = read(run)
    assert (row["ranks"], row["labeler_id"]) == ([2, 1, 2], "written rule")
    assert [response["text"] for response in row["responses"]] == ANSWERS
    assert run.info["status"] == "done"


def test_peoples_rankings_are_taken_as_they_are(config, tmp_path):
    run = rank_candidates(config(rankings=write_rows(tmp_path / "people.jsonl", PEOPLES)))
    (row,) = read(run)
    assert {key: row[key] for key in PEOPLES[0]} == PEOPLES[0]


def test_people_who_have_not_ranked_are_waited_for(config, tmp_path):
    """Nothing is begun, so that the same directory takes their file."""
    with pytest.raises(
        UserError, match=r"people have to rank the answers in .*candidates\.jsonl"
    ) as raised:
        rank_candidates(config())
    assert "rank.rankings" in sentence(raised)
    assert not (tmp_path / "run").exists()
    rank_candidates(config(rankings=write_rows(tmp_path / "people.jsonl", PEOPLES)))


def test_a_mended_line_is_taken_in_the_same_directory(config, tmp_path):
    bad = write_rows(tmp_path / "people.jsonl", [PEOPLES[0] | {"ranks": [1]}])
    with pytest.raises(UserError, match=r"people\.jsonl line 1"):
        rank_candidates(config(rankings=bad))
    assert Run(tmp_path / "run").info["status"] == "failed"
    write_rows(tmp_path / "people.jsonl", PEOPLES)
    assert rank_candidates(config(rankings=bad)).info["status"] == "done"


def test_a_finished_ranking_is_left_alone(config):
    run = rank_candidates(config(by="rule"))
    before = (run.dir / "run.json").read_bytes()
    rank_candidates(config(by="rule"))
    assert (run.dir / "run.json").read_bytes() == before
