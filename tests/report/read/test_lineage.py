from pathlib import Path

import pytest

from instructgpt.report.read.lineage import Sources, originals, sources
from instructgpt.report.read.load import load
from instructgpt.report.read.work import StageRun, Work
from instructgpt.report.tell.tables import lineage_table

NAMES = "sft sample rank reward ppo sample-2 rank-2 reward-2 ppo-plain ppo-2 evaluate".split()


def takes(work: Work, name: str) -> tuple[list[str], list[str]]:
    found = sources(work)[[stage.name for stage in work.stages].index(name)]
    return [NAMES[i] for i in found.models], [NAMES[i] for i in found.data]


def test_models_and_label_files_are_traced_to_their_stages(work):
    assert [stage.name for stage in work.stages] == NAMES
    assert takes(work, "sft") == ([], [])
    assert takes(work, "rank") == ([], ["sample"])
    assert takes(work, "reward") == (["sft"], ["rank"])
    assert takes(work, "sample-2") == (["ppo"], [])
    assert takes(work, "reward-2") == (["sft"], ["rank", "rank-2"])
    assert takes(work, "ppo-2") == (["sft", "reward-2"], [])
    assert takes(work, "evaluate")[0] == ["sft", "ppo", "ppo-plain", "ppo-2"]


def test_what_comes_from_outside_is_named(work):
    table = lineage_table(work)
    assert table is not None
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["sft"] == ("HuggingFaceTB/SmolLM2-135M-Instruct", "shipped:demonstrations")
    assert rows["reward-2"] == ("sft", "rank, rank-2")


def test_models_from_outside_are_called_as_an_evaluation_calls_them(work):
    assert set(originals(work)) == {"SmolLM2-135M-Instruct"}
    assert originals(load(work.path / "11-evaluate")) == []


def stage(name: str, path: str, **info: object) -> StageRun:
    return StageRun(name, "sft", info, path=Path(path), config={"out": f"runs/q/{name}"})


def test_a_pipeline_that_was_moved_is_traced_by_where_it_ran():
    read = [
        {"kind": "policy", "path": path} for path in ("runs/q/1-a/model", "runs/other/1-a/model")
    ]
    stages = (
        stage("1-a", "/elsewhere/1-a"),
        stage("1-a-b", "/elsewhere/1-a-b", inputs=read),
    )
    found = sources(Work("q", stages, is_pipeline=True))
    assert found[1] == Sources([0], [], ["runs/other/1-a/model"], [])


@pytest.mark.parametrize("wrong", [None, 3, {"a": 1}, [None, 4], [{"path": 3}]])
def test_inputs_may_be_anything(wrong):
    work = Work("q", (stage("a", "/q/a", inputs=wrong),), is_pipeline=True)
    assert sources(work) == [Sources([], [], [], [])]


def test_a_judge_that_needs_no_file_is_no_model():
    read = [
        {"kind": "judge", "path": "simulated"},
        {"kind": "judge", "path": "runs/r/model", "digest": "ab"},
    ]
    work = Work("q", (stage("a", "/q/a", inputs=read),), is_pipeline=True)
    assert sources(work)[0].outside_models == ["runs/r/model"]
