"""Records from Python where files are named: the same runs, known again by their digest."""

import hashlib
import json
from pathlib import Path

import pytest

import instructgpt as ig
from instructgpt.data.reading import load_documents, load_records
from instructgpt.data.records import Demonstration, Message, Prompt, Ranking
from instructgpt.run.given import Given
from tests.small_runs import STAGES, differing, killed_after, run_stage, write_inputs

KINDS = {
    "data": {"sft": Demonstration, "reward": Ranking, "ppo": Prompt},
    "eval_data": {"sft": Demonstration, "reward": Ranking, "ppo": Demonstration},
    "demonstrations": {"reward": Demonstration},
}


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return write_inputs(tmp_path_factory.mktemp("inputs"))


def rows(path: str) -> list[dict]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def as_objects(stage: str, values: dict) -> dict:
    """Every file's contents: records for the data, dictionaries for the rest, texts of prose."""
    changed = dict(values)
    for key, kinds in KINDS.items():
        if values.get(key):
            found = rows(values[key])
            changed[key] = [kinds[stage](**r) for r in found] if key == "data" else found
    if values.get("pretrain_data"):
        changed["pretrain_data"] = [{"text": Path(values["pretrain_data"]).read_text()}]
    return changed


@pytest.mark.parametrize("stage", STAGES)
def test_objects_train_as_their_files_do(stage, settings, tmp_path):
    values = settings[stage]
    run_stage(stage, values, tmp_path / "files")
    run = run_stage(stage, as_objects(stage, values), tmp_path / "objects")
    others = differing(tmp_path / "files", tmp_path / "objects")
    assert {Path(name).name for name in others} == {"README.md"}  # which names the data
    sources = {source["key"]: source for source in run.info["inputs"]}
    text = (tmp_path / "objects/run.json").read_text() + (
        tmp_path / "objects/config.yaml"
    ).read_text()
    assert "cabbage" not in text
    assert "baggage" not in text
    [name] = run.info["config"]["data"]
    assert name == sources["data"]["path"] == f"python:{sources['data']['digest'][:16]}"


def test_the_digest_is_of_json_lines_with_sorted_keys():
    found = Given.of(
        [{"prompt": "b", "n": 1}, Prompt(id="x", prompt=(Message(role="user", content="é"),))]
    )
    lines = [
        '{"n": 1, "prompt": "b"}',
        '{"id": "x", "prompt": [{"content": "\\u00e9", "role": "user"}]}',
    ]
    expected = hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()
    assert found == f"python:{expected[:16]}"
    assert found.digest == expected


def test_a_run_goes_on_with_the_same_objects_only(settings, tmp_path):
    values = as_objects("sft", settings["sft"]) | {"save_every": 2}
    with killed_after(3):
        run_stage("sft", values, tmp_path / "killed")
    others = values | {"data": values["data"][1:]}
    with pytest.raises(
        ig.UserError, match=r"other settings: data python:\w+ -> python:\w+ \(from Python\)"
    ):
        run_stage("sft", others, tmp_path / "killed")
    again = as_objects("sft", settings["sft"]) | {"save_every": 2}
    run_stage("sft", again, tmp_path / "killed")
    run_stage("sft", values, tmp_path / "straight")
    assert differing(tmp_path / "straight", tmp_path / "killed") == []
    named = ig.SFTConfig(**{**values, "data": str(ig.SFTConfig(**values).data[0]), "out": "o"})
    with pytest.raises(ig.UserError, match="stands for records that were given in Python;"):
        ig.sft.train(named)


def test_files_and_objects_stand_side_by_side(settings):
    path = settings["ppo"]["data"]
    config = ig.PPOConfig(data=[{"prompt": "x"}, Prompt(prompt="y"), path, {"prompt": "z"}])
    assert [isinstance(name, Given) for name in config.data] == [True, False, True]
    prompts = [record.prompt for record in load_records(config.data, Prompt)]
    assert prompts == ["x", "y", *(row["prompt"] for row in rows(path)), "z"]
    assert ig.PPOConfig(data={"prompt": "x"}).data == ig.PPOConfig(data=[{"prompt": "x"}]).data
    assert config.model_copy(update={"seed": 1}).data[0].rows == (
        {"prompt": "x"},
        Prompt(prompt="y"),
    )


def test_a_yaml_file_names_files_alone(tmp_path):
    file = tmp_path / "sft.yaml"
    file.write_text("model: m\nout: o\ndata: [{prompt: a, response: b}]\n")
    with pytest.raises(ig.UserError, match=r"sft.yaml: data: input should be"):
        ig.SFTConfig.load(file)
    config = ig.SFTConfig.load(file, data=[{"prompt": "a", "response": "b"}])
    assert isinstance(config.data[0], Given)


def test_what_cannot_be_read_is_a_sentence(settings, tmp_path):
    values = settings["sft"]
    for data, said in (
        (
            [{"prompt": "a", "response": "b"}, {"prompt": "a"}],
            "data: demonstration 2: found the keys prompt",
        ),
        ([Prompt(prompt="a")], "data: demonstration 1: expected a demonstration or a dictionary"),
        ([{"prompt": {1, 2}}], "record 1 is not JSON"),
        ([3], "valid string"),
    ):
        with pytest.raises(ig.UserError) as raised:
            run_stage("sft", values | {"data": data}, tmp_path / "out")
        assert said in str(raised.value)
        assert "\n" not in str(raised.value)
    with pytest.raises(ig.UserError, match='document 1: expected a dictionary with a "text"'):
        load_documents(ig.SFTConfig(pretrain_data=[Prompt(prompt="a")]).pretrain_data)
