"""The `rank` stage: by the written rule, or from what people wrote."""

import json
from functools import partial

import pytest

from instructgpt.data.records import Ranking
from instructgpt.errors import UserError
from instructgpt.label.terminal import rank_in_terminal
from instructgpt.pipeline import rank as module
from instructgpt.pipeline.config import RankConfig
from instructgpt.pipeline.rank import rank_candidates
from instructgpt.run.directory import Run
from instructgpt.store import Store, tables
from tests.files import sentence, write_rows
from tests.store.test_store import rows

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
    assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]
    rank_candidates(config(rankings=write_rows(tmp_path / "people.jsonl", PEOPLES)))


def test_a_mended_line_is_taken_in_the_same_directory(config, tmp_path):
    bad = write_rows(tmp_path / "people.jsonl", [PEOPLES[0] | {"ranks": [1]}])
    with pytest.raises(UserError, match=r"people\.jsonl line 1"):
        rank_candidates(config(rankings=bad))
    assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]
    write_rows(tmp_path / "people.jsonl", PEOPLES)
    assert rank_candidates(config(rankings=bad)).info["status"] == "done"


def test_a_finished_ranking_is_left_alone(config):
    run = rank_candidates(config(by="rule"))
    before = (run.dir / "run.json").read_bytes()
    rank_candidates(config(by="rule"))
    assert (run.dir / "run.json").read_bytes() == before


SPLIT = [
    {
        "prompt_id": f"p{number}",
        "prompt": f"Why do people like {thing}?",
        "responses": [
            {"text": f"People like {thing} because it is calm, and they enjoy the air there."},
            {"text": "Because because because"},
            {"text": f"{thing} {thing} {thing}", "sampling": {"finished": False}},
            {"text": "It is good."},
        ],
        "split": split,
    }
    for number, (thing, split) in enumerate(
        [("the sea", "train"), ("tea", "heldout"), ("rain", "train"), ("bread", "heldout")]
    )
]


def test_simulated_labelers_rank_their_own_split(config, tmp_path):
    data = write_rows(tmp_path / "split.jsonl", SPLIT)
    run = rank_candidates(config(by="simulated", data=data, per_prompt=2, seed=4))
    rows = read(run)
    assert len(rows) == 8
    for row in rows:
        group = "simulated-heldout" if row["split"] == "heldout" else "simulated-train"
        assert row["labeler_id"].startswith(group)
    assert {row["prompt_id"] for row in rows if row["split"] == "heldout"} == {"p1", "p3"}
    found = run.evaluation
    assert found["by"] == "simulated"
    assert {name: group["rankings"] for name, group in found["groups"].items()} == {
        "training": 4,
        "heldout": 4,
    }
    assert 0 <= found["groups"]["training"]["agreement"]["estimate"] <= 1
    assert "words" in found["trivial_predictors"]
    again = rank_candidates(
        config(by="simulated", data=data, per_prompt=2, seed=4, out=f"{run.dir}-2")
    )
    assert read(again) == rows


class Keyboard:
    """Types the given lines, then ends the input."""

    def __init__(self, monkeypatch, *lines):
        self.lines = list(lines)
        monkeypatch.setattr(module, "rank_in_terminal", partial(rank_in_terminal, ask=self))

    def __call__(self, prompt=""):
        if not self.lines:
            raise EOFError
        return self.lines.pop(0)


def test_me_ranks_a_few_prompts_and_goes_on_later(config, tmp_path, monkeypatch):
    data = write_rows(tmp_path / "split.jsonl", SPLIT)
    asked = config(by="me", data=data, prompts=2)
    with monkeypatch.context() as patch:
        Keyboard(patch, "A > B = C > D")
        with pytest.raises(KeyboardInterrupt):
            rank_candidates(asked)
    assert Run(tmp_path / "run").info["status"] != "done"
    with monkeypatch.context() as patch:
        Keyboard(patch, "D C B A")
        run = rank_candidates(asked)
    rows = read(run)
    assert {row["prompt_id"] for row in rows} == {"p0", "p2"}  # the held-out ones are not asked
    assert {row["labeler_id"] for row in rows} == {"you"}
    assert sorted(tuple(sorted(row["ranks"])) for row in rows) == [(1, 2, 2, 4), (1, 2, 3, 4)]
    assert run.evaluation["groups"]["you"]["rankings"] == 2


def test_a_later_round_takes_only_rankings_of_its_own_answers(config, tmp_path):
    """One file for both rounds; the second waits until its answers are in it."""
    theirs = [{**CANDIDATES[0], "responses": CANDIDATES[0]["responses"][::-1], "ranks": [2, 1, 3]}]
    first = write_rows(tmp_path / "first.jsonl", PEOPLES)
    with pytest.raises(UserError, match="people have to rank"):
        rank_candidates(config(rankings=first), stage="rank-2")
    assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]
    both = write_rows(tmp_path / "both.jsonl", PEOPLES + theirs)
    (row,) = read(rank_candidates(config(rankings=both), stage="rank-2"))
    assert row["ranks"] == [2, 1, 3]


def test_people_rank_in_a_store_and_the_same_command_goes_on(config, tmp_path):
    url = f"sqlite:///{tmp_path}/store.db"
    asked = config(store=url, per_prompt=2)
    with pytest.raises(UserError, match="ranked 0 of 1 prompt 2 times, in the queue") as raised:
        rank_candidates(asked)
    assert "run the same command again" in sentence(raised)
    assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]
    with Store.open(url) as store:
        for name, ranks in (("bob", (3, 1, 2)), ("ann", (2, 1, 2))):
            claimed = store.claim(name)
            row = {**claimed.candidates.model_dump(), "ranks": ranks}
            store.submit(claimed, Ranking.model_validate(row))
            if name == "bob":
                with pytest.raises(UserError, match="ranked 0 of 1 prompt 2 times"):
                    rank_candidates(asked)
    run = rank_candidates(asked)
    assert [(row["labeler_id"], row["ranks"]) for row in read(run)] == [
        ("ann", [2, 1, 2]),
        ("bob", [3, 1, 2]),
    ]
    assert run.evaluation["groups"]["people"]["rankings"] == 2


def test_simulated_labelers_rank_the_same_through_a_store(config, tmp_path):
    data = write_rows(tmp_path / "split.jsonl", SPLIT)
    one = config(by="simulated", data=data, per_prompt=2, seed=4)
    other = one.model_copy(
        update={"store": f"sqlite:///{tmp_path}/store.db", "out": str(tmp_path / "other")}
    )
    files = [rank_candidates(each).dir / "rankings.jsonl" for each in (one, other)]
    assert files[0].read_bytes() == files[1].read_bytes()
    with Store.open(other.store) as store:
        queues = [row["name"].rpartition("-")[0] for row in rows(store, tables.queues)]
        assert sorted(queues) == ["simulated-heldout", "simulated-training"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"by": "me"}, "by me ranks without a store"),
        ({"rankings": "people.jsonl"}, "in `store` or in the files of `rankings`"),
        ({"store": "postgresql://ann:secret@host/x"}, "PGPASSWORD"),
        ({"store": "store.db"}, "store: store.db: is no URL"),
    ],
)
def test_a_store_that_cannot_serve_is_refused_before_anything(config, tmp_path, values, said):
    with pytest.raises(UserError, match=said):
        rank_candidates(config(**{"store": f"sqlite:///{tmp_path}/store.db"} | values))
    assert not (tmp_path / "store.db").exists()
