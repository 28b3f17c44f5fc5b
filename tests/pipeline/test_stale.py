"""A pipeline is compared with its command before the first stage runs; no refusal writes."""

import json
import shutil

import pytest

from instructgpt.errors import UserError
from instructgpt.pipeline.pipeline import run_pipeline
from instructgpt.run.directory import RunDirectory
from tests.files import sentence, write_rows

LATER = ("04-sample", "05-rank", "06-reward", "07-ppo", "08-evaluate")


@pytest.fixture(autouse=True)
def one(same_backend):
    """One backend in every run."""


@pytest.fixture
def study(straight, tmp_path):
    """A finished pipeline to be spoiled."""
    return shutil.copytree(straight[0], tmp_path / "study")


@pytest.fixture
def refused(study, yaml_file, monkeypatch):
    """What the command says; it must not have run anything, nor written `pipeline.json`."""

    def refused(**flags):
        before = (study / "pipeline.json").read_bytes()
        given = {key.replace("__", "."): value for key, value in flags.items()}
        with monkeypatch.context() as patch:
            patch.setattr(RunDirectory, "start", lambda *_: pytest.fail("a stage ran"))
            with pytest.raises(UserError) as raised:
                run_pipeline(study, files=[yaml_file], flags=given)
        assert (study / "pipeline.json").read_bytes() == before
        return sentence(raised)

    return refused


def stages(study):
    """What `pipeline.json` says of each stage."""
    rows = json.loads((study / "pipeline.json").read_text())["stages"]
    return {row["name"]: row for row in rows}


def test_a_pipeline_that_was_moved_is_still_finished(study, yaml_file, monkeypatch):
    before = (study / "pipeline.json").read_bytes()
    monkeypatch.setattr(RunDirectory, "start", lambda *_: pytest.fail("a stage ran again"))
    run_pipeline(study, files=[yaml_file])
    assert (study / "pipeline.json").read_bytes() == before


def test_other_settings_of_the_last_stage_are_refused_before_the_first(study, refused):
    said = refused(ppo__kl_coef="0.05")
    assert f"{study / '07-ppo'} holds a run with other settings: kl_coef 0.02 -> 0.05" in said
    assert "(from --ppo.kl_coef)" in said


def test_a_model_that_was_exchanged_under_later_stages(study, refused):
    """Made anew by hand, say: what follows was not made from it."""
    weights = study / "03-sft" / "model" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    said = refused()
    assert f"{study / '03-sft' / 'model'} has changed (model.safetensors) since the run" in said
    folders = " and ".join(str(study / name) for name in ("03-sft", *LATER))
    assert f"or remove {folders} to make them anew" in said


def test_a_stage_whose_digests_speak_of_another_one_before_it(study, refused):
    """The stage was made anew, whole, and knows nothing of those after it."""
    info = json.loads((study / "03-sft" / "run.json").read_text())
    weights = study / "03-sft" / "model" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    del info["outputs"]["model"]
    (study / "03-sft" / "run.json").write_text(json.dumps(info))
    said = refused()
    assert f"{study / '03-sft' / 'model'} (model) has changed since {study / '04-sample'}" in said


def test_a_stage_that_has_to_be_made_anew_names_those_made_from_it(study, refused):
    shutil.rmtree(study / "03-sft")
    said = refused()
    *first, last = (str(study / name) for name in LATER)
    later = f"{', '.join(first)} and {last}"
    assert f"{study / '03-sft'} is not finished, but {later} were made from it; restore it" in said


def test_stages_that_were_removed_together_are_made_anew_alone(study, yaml_file):
    for name in ("07-ppo", "08-evaluate"):
        shutil.rmtree(study / name)
    before = stages(study)
    run_pipeline(study, files=[yaml_file])
    after = stages(study)
    kept = ("init", "pretrain", "sft", "sample", "rank", "reward")
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    assert after["ppo"]["status"] == after["evaluate"]["status"] == "done"
    assert after["ppo"]["seconds"] > before["ppo"]["seconds"]


def test_rankings_by_hand_outlive_a_changed_knob(study, refused):
    """What a person ranked in the terminal, under a seed that is given otherwise now."""
    own = study / "05-rank" / "own.jsonl"
    row = {"prompt": "a", "responses": [{"text": "b"}, {"text": "c"}], "ranks": [1, 2]}
    write_rows(own, [row])
    said = refused(common__seed="2")
    assert "01-init holds a run with other settings: seed 1 -> 2 (from --init.seed)" in said
    assert f"the rankings made by hand are in {own}: copy them elsewhere" in said
    assert "--rank.rankings FILE (quickstart: --rankings FILE)" in said
    shutil.rmtree(study / "03-sft")
    assert f"the rankings made by hand are in {own}" in refused()
    assert own.exists()


def test_rankings_by_people_outlive_their_own_file(study, refused):
    info = json.loads((study / "05-rank" / "run.json").read_text())
    info["config"]["by"] = "people"
    (study / "05-rank" / "run.json").write_text(json.dumps(info))
    said = refused()
    assert "by people -> rule (from " in said
    assert f"made by hand are in {study / '05-rank' / 'rankings.jsonl'}: copy" in said


def test_a_pipeline_that_ended_without_a_word_before_its_stage_began(study, yaml_file, capsys):
    for name in ("07-ppo", "08-evaluate"):
        shutil.rmtree(study / name)
    content = json.loads((study / "pipeline.json").read_text())
    content["stages"][6]["status"] = "running"
    (study / "pipeline.json").write_text(json.dumps(content))
    run_pipeline(study, files=[yaml_file])
    said = capsys.readouterr().err.replace("\n", " ")
    assert f"the last attempt ended without a word in {study / '07-ppo'}, killed or" in said
