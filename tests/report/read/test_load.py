import json
import math

import pytest

from instructgpt.errors import UserError
from instructgpt.report.read.load import load, load_run
from instructgpt.report.read.values import Estimate
from tests.report import fake


def test_a_run_is_read(tmp_path):
    run = load_run(fake.make_sft(tmp_path / "sft", steps=40))
    assert run.kind == "sft"
    assert run.config["batch_size"] == 32
    series = run.series("sft/validation_loss")
    assert series is not None
    assert series.steps.tolist() == [20, 40]
    assert run.notes == ()


def test_only_run_json_is_needed(tmp_path):
    (tmp_path / "run.json").write_text('{"stage": "ppo", "status": "running"}')
    work = load(tmp_path)
    (run,) = work.runs
    assert (run.status, run.seconds) == ("running", None)
    assert (run.metrics, run.samples, run.evaluation, run.config) == ([], [], {}, {})


@pytest.mark.parametrize(
    "name", ["metrics.jsonl", "samples.jsonl", "evaluation.json", "config.yaml"]
)
def test_empty_files_are_nothing(tmp_path, name):
    (tmp_path / "run.json").write_text('{"stage": "ppo"}')
    (tmp_path / name).touch()
    assert load_run(tmp_path).notes == ()


def test_a_folder_that_is_no_run_is_a_users_mistake(tmp_path):
    with pytest.raises(UserError, match=r"no run\.json or pipeline\.json"):
        load(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", ""])
def test_a_broken_run_json_is_named(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(UserError, match=r"run\.json"):
        load(tmp_path)


def test_a_last_line_cut_short_is_passed_over_in_silence(tmp_path):
    path = fake.make_sft(tmp_path / "sft", steps=3)
    with (path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "sft/lo')
    run = load_run(path)
    assert len(run.metrics) == 3
    assert run.notes == ()


def test_a_bad_line_in_the_middle_is_noted(tmp_path):
    path = fake.make_sft(tmp_path / "sft", steps=3)
    text = (path / "metrics.jsonl").read_text()
    (path / "metrics.jsonl").write_text("garbage\n[1]\n" + text)
    run = load_run(path)
    assert len(run.metrics) == 3
    assert run.notes == ("2 unreadable lines of metrics.jsonl left out.",)


def test_unreadable_config_and_evaluation_are_noted(tmp_path):
    path = fake.make_sft(tmp_path / "sft", steps=3)
    (path / "config.yaml").write_text("a: [")
    (path / "evaluation.json").write_text("{")
    notes = " ".join(load_run(path).notes)
    assert "config.yaml is not valid YAML" in notes
    assert "evaluation.json could not be read" in notes


def test_what_is_not_finite_becomes_nan_and_what_is_no_number_is_left_out(tmp_path):
    values = [1.0, math.nan, math.inf, 10**400, "high", True, None]
    rows = [{"step": i, "sft/loss": value, "all/nan": math.nan} for i, value in enumerate(values)]
    run = load_run(fake.make_run(tmp_path / "sft", "sft", rows))
    series = run.series("sft/loss")
    assert series is not None
    assert [math.isnan(value) for value in series.values] == [False, True, True, True]
    assert series.ends() == (1.0, 1.0)
    assert run.series("all/nan") is None


def test_a_pipeline_tells_which_stages_left_a_run(tmp_path):
    work = load(fake.make_pipeline(tmp_path / "quickstart"))
    assert [stage.name for stage in work.stages if not stage.ran] == ["sample", "rank"]
    assert [run.name for run in work.runs] == "init pretrain sft reward ppo evaluate".split()
    assert work.stages[2].seconds == 22.5


def test_a_pipeline_of_nothing_is_read(tmp_path):
    (tmp_path / "pipeline.json").write_text(json.dumps({"name": "new", "stages": []}))
    assert load(tmp_path).stages == ()


@pytest.mark.parametrize("raw", [None, 0.5, {}, {"estimate": None}, {"estimate": math.nan}])
def test_no_interval_without_an_estimate(raw):
    assert Estimate.parse(raw) is None


def test_an_interval_without_bounds_is_a_point():
    assert Estimate.parse({"estimate": 0.6, "n": 5}) == Estimate(0.6, 0.6, 0.6, 5)
