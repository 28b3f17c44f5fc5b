"""Judges of a run: opened after all answers, one at a time; a finished run can be judged later."""

import json

import pytest

from instructgpt.evaluation.benchmark import stage, verdicts
from instructgpt.evaluation.benchmark.ask import Asker
from instructgpt.evaluation.benchmark.config import BenchmarkConfig
from instructgpt.evaluation.benchmark.tell import quality_told
from instructgpt.evaluation.judges import keep_quality
from instructgpt.rollout.policy import SFTModel
from tests.evaluation.tasks.rows import ROWS
from tests.files import write_policy
from tests.tiny import tiny_model

TASKS = "truthfulqa,realtoxicityprompts"


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    folder = tmp_path_factory.mktemp("judged")
    (folder / "data").mkdir()
    ROWS["truthfulqa"](folder / "data")
    ROWS["realtoxicityprompts"](folder / "data")
    for seed, name in enumerate(("ppo", "truth", "info", "toxicity", "another")):
        write_policy(folder / name, model=tiny_model(seed=seed, context=2048))
    return folder


@pytest.fixture
def run(places, tmp_path):
    def go(**judges):
        given = {f"{kind}_judge": str(places / name) for kind, name in judges.items()}
        config = BenchmarkConfig(
            models=str(places / "ppo"),
            data_dir=str(places / "data"),
            tasks=TASKS,
            limit=2,
            out=str(tmp_path / "run"),
            **given,
        )
        found = json.loads((stage.evaluate(config).dir / "results.json").read_bytes())
        return found["models"]["ppo"]

    return go


def figure(results, task, metric):
    return next(f for f in results[task]["figures"] if f["metric"] == metric)


def kept(folder, task):
    lines = (folder / "run" / "ppo" / f"{task}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_a_finished_run_is_judged_later_and_asks_nothing_twice(run, monkeypatch, tmp_path):
    before = run()
    assert before["truthfulqa"]["status"] == "not measured"
    ask, asked = Asker.ask, []

    def counting(self, requests, **settings):
        asked.extend(request for request in requests if not request.choices)
        return ask(self, requests, **settings)

    monkeypatch.setattr(Asker, "ask", counting)
    after = run(truth="truth", toxicity="toxicity")
    assert asked == []
    assert figure(after, "truthfulqa", "true")["status"] == "measured"
    assert figure(after, "realtoxicityprompts", "toxicity")["status"] == "measured"
    for name in ("true and informative", "informative"):
        assert "--info_judge" in figure(after, "truthfulqa", name)["reason"]
    for row in kept(tmp_path, "truthfulqa"):
        assert row["scores"] == {"true": float(row["judged"]["truth"] >= 0.5)}
    assert run(truth="truth", toxicity="toxicity") == after  # and now there is nothing to do


def test_another_judge_judges_anew_and_no_judge_leaves_no_verdict(run, tmp_path):
    run(toxicity="toxicity")
    first = [row["judged"] for row in kept(tmp_path, "realtoxicityprompts")]
    run(toxicity="another")
    second = [row["judged"] for row in kept(tmp_path, "realtoxicityprompts")]
    assert all(a["toxicity"] != b["toxicity"] for a, b in zip(first, second, strict=True))
    left = run()
    assert left["realtoxicityprompts"]["status"] == "not measured"
    assert not any(row["judged"] for row in kept(tmp_path, "realtoxicityprompts"))


def test_one_judge_at_a_time_after_the_model_is_gone(run, monkeypatch):
    open_judge, opened = verdicts.open_judge, []

    def watched(place, kind, **settings):
        opened.append(kind)
        return open_judge(place, kind, **settings)

    monkeypatch.setattr(verdicts, "open_judge", watched)
    alive = []
    accept = SFTModel._accept
    monkeypatch.setattr(
        SFTModel, "_accept", lambda *a, **k: (alive.append(len(opened)), accept(*a, **k))[1]
    )
    run(truth="truth", info="info", toxicity="toxicity")
    assert opened == ["truth", "info", "toxicity"]
    assert alive == [0, 1, 2, 3]  # the model first, then each judge as it is opened


def test_how_good_a_judge_is_stands_beside_its_figures(run, places):
    measured = {"n": 3, "file": {"name": "x.jsonl", "sha256": "ab"}}
    keep_quality(str(places / "toxicity"), [{"kind": "toxicity", **measured}])
    found = run(toxicity="toxicity", truth="truth")
    toxicity = figure(found, "realtoxicityprompts", "toxicity")
    assert toxicity["judges"] == {"toxicity": {**measured, "others": []}}
    assert figure(found, "truthfulqa", "true")["judges"] == {"truth": None}


def test_how_good_a_judge_is_in_words():
    interval = {"estimate": 0.71, "low": 0.6, "high": 0.8}
    measured = {"accuracy": interval, "auc": None, "on": "x.jsonl", "n": 860, "others": []}
    assert quality_told(measured) == "accuracy 0.710 on x.jsonl, n = 860"
    assert quality_told(measured | {"auc": interval}).startswith("accuracy 0.710, AUC 0.710 on")
    assert quality_told(None) == "nobody has measured this judge"
    assert quality_told({"stored": "a.csv"}) == "the scores that a.csv has"
