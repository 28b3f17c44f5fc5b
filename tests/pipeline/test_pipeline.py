"""The pipeline: stages are wired, finished ones are skipped, interrupted ones are gone on with."""

import json

import pytest
import yaml

from instructgpt.errors import UserError
from instructgpt.pipeline.pipeline import run_pipeline
from instructgpt.run.directory import Run, RunDirectory
from instructgpt.training.run import TrainingRun
from tests.files import sentence, write_rows
from tests.small_runs import killed_after, results

NAMES = ("init", "pretrain", "sft", "sample", "rank", "reward", "ppo", "evaluate")
FOLDERS = [f"{number:02d}-{name}" for number, name in enumerate(NAMES, 1)]
TRAINED = ("pretrain", "sft", "reward", "ppo")


@pytest.fixture(autouse=True)
def one(same_backend):
    """One backend in every run."""


def test_every_stage_has_run_and_there_is_a_report(straight):
    out, report = straight
    assert report == out / "report.html"
    assert "<html" in report.read_text()
    log = json.loads((out / "pipeline.json").read_text())
    assert log["name"] == "study"
    assert [stage["dir"] for stage in log["stages"]] == FOLDERS
    assert {stage["status"] for stage in log["stages"]} == {"done"}
    assert all(Run(out / folder).info["status"] == "done" for folder in FOLDERS)


def test_each_stage_takes_what_those_before_it_made(straight):
    out, _ = straight
    given = {
        name: Run(out / folder).info["config"] for name, folder in zip(NAMES, FOLDERS, strict=True)
    }
    sources = {
        name: Run(out / folder).info["config_sources"]
        for name, folder in zip(NAMES, FOLDERS, strict=True)
    }
    made = {name: str(out / folder / "model") for name, folder in zip(NAMES, FOLDERS, strict=True)}
    assert given["pretrain"]["model"] == made["init"]
    assert given["sft"]["model"] == made["pretrain"]
    assert (
        given["sample"]["model"] == given["reward"]["model"] == given["ppo"]["model"] == made["sft"]
    )
    assert given["rank"]["data"] == [str(out / "04-sample" / "candidates.jsonl")]
    assert given["reward"]["data"] == [str(out / "05-rank" / "rankings.jsonl")]
    assert given["ppo"]["reward_model"] == made["reward"]
    assert (given["evaluate"]["a"], given["evaluate"]["b"]) == (made["ppo"], made["sft"])
    assert sources["ppo"]["reward_model"] == "pipeline"
    assert {given[name]["template"] for name in ("sft", "reward", "ppo", "sample", "evaluate")} == {
        "{prompt}\n"
    }
    assert {given[name]["seed"] for name in NAMES if name != "rank"} == {1}
    assert Run(out / "08-evaluate").evaluation["judge"] == "written rule"
    assert [row["stage"] for row in Run(out / "02-pretrain").metrics] == ["pretrain"] * 2


def test_a_second_call_skips_what_is_done(straight, yaml_file, monkeypatch):
    out, _ = straight
    before = {path: path.read_bytes() for path in out.glob("*/run.json")}
    assert len(before) == 8
    monkeypatch.setattr(RunDirectory, "start", lambda *_: pytest.fail("a stage ran again"))
    run_pipeline(out, files=[yaml_file])
    assert {path: path.read_bytes() for path in before} == before


def test_an_interrupted_stage_is_gone_on_with(straight, yaml_file, tmp_path, monkeypatch, capsys):
    """One pipeline, interrupted in each of its trained stages."""
    out = tmp_path / "study"
    real = TrainingRun.after_step
    for stage in TRAINED:

        def stop(run, step, *args, stage=stage, **kwargs):
            real(run, step, *args, **kwargs)
            if run.stage == stage and step == 1:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(TrainingRun, "after_step", stop)
            with pytest.raises(KeyboardInterrupt):
                run_pipeline(out, files=[yaml_file])
        log = pipeline_log(out)
        place = NAMES.index(stage)
        statuses = ["interrupted"] + ["waiting"] * (7 - place)
        assert [entry["status"] for entry in log[place:]] == statuses
        assert log[place]["seconds"] > 0
        assert not any((out / folder).exists() for folder in FOLDERS[place + 1 :])
    run_pipeline(out, files=[yaml_file])
    heard = capsys.readouterr().err
    for stage in TRAINED:
        folder = out / FOLDERS[NAMES.index(stage)]
        assert f"{stage}: resuming {folder} after step 1" in heard
    for folder in FOLDERS:
        assert placeless(out, folder) == placeless(straight[0], folder), folder
    assert {entry["status"] for entry in pipeline_log(out)} == {"done"}


def placeless(out, folder):
    """The results of a stage, without the directory they lie in (an answer names its model)."""
    found = results(out / folder)
    assert found
    return {name: content.replace(str(out).encode(), b"OUT") for name, content in found.items()}


def pipeline_log(out):
    return json.loads((out / "pipeline.json").read_text())["stages"]


def test_flags_win_and_common_flags_reach_every_stage(yaml_file, tmp_path):
    flags = {"common.seed": "5", "sft.seed": "6", "sft.epochs": "2"}
    with killed_after(3):
        run_pipeline(tmp_path, files=[yaml_file], flags=flags)
    init, sft = (Run(tmp_path / folder).info for folder in (FOLDERS[0], FOLDERS[2]))
    assert (init["config"]["seed"], sft["config"]["seed"]) == (5, 6)
    assert init["config_sources"]["seed"] == "--init.seed"


def test_people_rank_between_two_calls(yaml_file, tmp_path):
    """Without their rankings it stops when the answers are there, and goes on with them."""
    out = tmp_path / "study"
    flags = {"rank.by": "people"}
    with pytest.raises(
        UserError, match=r"04-sample/candidates\.jsonl; give their file as rank\.rankings"
    ) as raised:
        run_pipeline(out, files=[yaml_file], flags=flags)
    sentence(raised)
    rows = [
        json.loads(line)
        for line in (out / "04-sample" / "candidates.jsonl").read_text().splitlines()
    ]
    people = [{**row, "ranks": [1, 2, 3], "labeler_id": "ann"} for row in rows]
    flags["rank.rankings"] = write_rows(tmp_path / "people.jsonl", people)
    run_pipeline(out, files=[yaml_file], flags=flags)
    ranked = [
        json.loads(line) for line in (out / "05-rank" / "rankings.jsonl").read_text().splitlines()
    ]
    assert [row["labeler_id"] for row in ranked] == ["ann"] * 5


def test_stages_without_a_section_are_left_out(yaml_file, tmp_path):
    full = yaml.safe_load(yaml_file.read_text())
    base = tmp_path / "base.yaml"
    base.write_text(yaml.safe_dump({key: full[key] for key in ("common", "init", "sft")}))
    out = tmp_path / "study"
    run_pipeline(out, files=[base])
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == ["01-init", "02-sft"]
    assert Run(out / "02-sft").info["config"]["model"] == str(out / "01-init" / "model")


def test_mistakes_are_found_before_the_first_stage(yaml_file, tmp_path):
    for flags in ({"ppo.batch_size": "3", "ppo.num_mini_batches": "2"}, {"evaluate.samples": "0"}):
        with pytest.raises(UserError) as raised:
            run_pipeline(tmp_path / "study", files=[yaml_file], flags=flags)
        assert "\n" not in str(raised.value)
    assert not (tmp_path / "study").exists()
