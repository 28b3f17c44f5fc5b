"""The whole reward-model stage on disk: what it writes, measures, shifts, refuses and resumes."""

import json
import re

import pytest
import yaml
from transformers import AutoModelForSequenceClassification

from instructgpt.errors import UserError
from instructgpt.models.load import scorer_from_policy
from instructgpt.models.parts import scalar_head
from instructgpt.reward import RewardConfig, RewardModel, train
from instructgpt.run.seeds import derive
from tests.files import sentence, write_policy, write_rows
from tests.small_runs import one_backend
from tests.tiny import tiny_model


def ranking(number, answers, ranks, labeler="ann"):
    return {
        "prompt_id": f"p{number}",
        "prompt": f"Question {number}?",
        "responses": [{"text": answer} for answer in answers],
        "ranks": ranks,
        "labeler_id": labeler,
    }


RANKINGS = [
    ranking(0, ["yes", "no"], [1, 2]),
    ranking(1, ["a", "bb", "ccc"], [3, 1, 2]),
    ranking(1, ["ccc", "a", "bb"], [2, 3, 1], "bob"),
    ranking(2, [str(i) * (i + 1) for i in range(10)], [1, 2, 2, 4, 5, 6, 7, 8, 9, 10]),
    ranking(3, ["x", "y", "z", "w"], [2, 1, 2, 4]),
    ranking(4, ["left", "right"], [2, 1], "bob"),
]
TIED = [ranking(8, ["s", "t"], [1, 1]), ranking(9, ["u", "v", "w"], [2, 2, 2])]
DEMONSTRATIONS = [
    {"prompt": "Question 0?", "response": "yes, gladly"},
    {"prompt": "Another one?", "response": "b"},
    {"prompt": "More?", "response": ""},
]


@pytest.fixture(scope="module", autouse=True)
def same_backend():
    with one_backend():
        yield


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A policy, rankings, demonstrations, and rankings with nothing but ties."""
    folder = tmp_path_factory.mktemp("reward")
    return {
        "model": write_policy(folder / "policy", model=tiny_model("llama")),
        "data": write_rows(folder / "rankings.jsonl", RANKINGS),
        "demonstrations": write_rows(folder / "demonstrations.jsonl", DEMONSTRATIONS),
        "tied": write_rows(folder / "tied.jsonl", TIED),
    }


@pytest.fixture
def config(files, tmp_path):
    """Makes a configuration: 3 steps an epoch, 2 prompts each, more files by name."""

    def make(*also, out="run", **values):
        given = {key: files[key] for key in ("model", "data", *also)}
        small = {"batch_size": 2, "learning_rate": 1e-3, "threads": 1}
        return RewardConfig(**{**given, **small, "out": str(tmp_path / out), **values})

    return make


def scores_of(model_path, rows):
    reward = RewardModel(model_path)
    return reward.score([row["prompt"] for row in rows], [row["response"] for row in rows])


def files_of(folder):
    """Every file but the lock, with its content."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def test_what_a_run_leaves_behind(config, files):
    run = train(config("demonstrations", epochs=2, eval_fraction=0.4, eval_every=1))
    names = {path.name for path in run.dir.iterdir() if not path.name.startswith(".")}
    assert names == {
        "config.yaml",
        "run.json",
        "metrics.jsonl",
        "timings.jsonl",
        "evaluation.json",
        "model",
    }
    assert [row["step"] for row in run.metrics] == [1, 2, 3, 4]  # 3 of 5 prompts train, twice
    for row in run.metrics:
        assert set(row) == {
            "step",
            "stage",
            "reward/loss",
            "reward/accuracy",
            "reward/validation_accuracy",
            "reward/learning_rate",
            "reward/grad_norm",
        }
    assert {row["stage"] for row in run.metrics} == {"reward"}
    assert set(run.evaluation) == {
        "accuracy",
        "by_k",
        "by_margin",
        "by_labeler",
        "calibration",
        "shift",
    }
    held = run.evaluation["accuracy"]["estimate"]
    assert run.metrics[-1]["reward/validation_accuracy"] == held  # the shift moves no pair

    info = run.info
    assert (info["stage"], info["status"], info["seed"]) == ("reward", "done", 0)
    read = {source["key"]: source for source in info["inputs"]}
    keys = ["model", "data", "demonstrations"]
    assert {key: source["path"] for key, source in read.items()} == {k: files[k] for k in keys}
    assert all(re.fullmatch("[0-9a-f]{64}", source["digest"]) for source in read.values())
    assert {"command", "versions", "git_commit", "machine", "started", "finished"} <= set(info)


def test_the_configuration_loads_back_and_names_every_source(config):
    settings = config("demonstrations", max_steps=1)
    run = train(settings)
    text = (run.dir / "config.yaml").read_text()
    assert RewardConfig.load(run.dir / "config.yaml") == settings
    assert set(yaml.safe_load(text)) == set(RewardConfig.model_fields)
    for key in RewardConfig.model_fields:
        source = "Python" if key in settings.model_fields_set else "default"
        assert re.search(rf"^{key}: [^\n]*  # {source}$", text, re.MULTILINE), key


def test_demonstrations_score_zero_on_average(config):
    run = train(config("demonstrations"))
    shift = json.loads((run.model_path / "config.json").read_text())["reward_shift"]
    assert shift == run.evaluation["shift"]
    scores = scores_of(run.model_path, DEMONSTRATIONS)
    assert scores.mean().item() == pytest.approx(0, abs=1e-6)
    assert abs(shift) > 1e-3
    assert scores.std() > 1e-3


def test_without_demonstrations_nothing_is_shifted(config, capsys):
    run = train(config(max_steps=1))
    assert run.evaluation == {"shift": 0.0}
    assert "scores are not shifted" in capsys.readouterr().err


def test_demonstrations_obey_the_same_limit_as_answers(config, tmp_path, capsys):
    rows = [*DEMONSTRATIONS, {"prompt": "Long?", "response": "x" * 200}]
    long = write_rows(tmp_path / "long.jsonl", rows)
    with pytest.raises(
        UserError, match=r"demonstrations: .*long.jsonl line 4: .* more than the 128 that fit"
    ) as raised:
        train(config(demonstrations=long, max_steps=1))
    sentence(raised)
    run = train(config(demonstrations=long, max_steps=1, on_long="skip", out="skipped"))
    assert f"skipped: {long} line 4: the demonstration has" in capsys.readouterr().err
    assert scores_of(run.model_path, DEMONSTRATIONS).mean().item() == pytest.approx(0, abs=1e-6)


def test_what_is_written_is_what_was_trained(config):
    run = train(config())
    model, report = AutoModelForSequenceClassification.from_pretrained(
        run.model_path, output_loading_info=True
    )
    assert not any(report.values())
    assert (model.config.num_labels, model.config.pad_token_id) == (1, 257)
    start = scorer_from_policy(tiny_model("llama"), seed=derive(0, "reward/head"))
    moved = (scalar_head(model).weight - scalar_head(start).weight).abs().max().item()
    assert 1e-4 < moved < 0.01  # the head drawn from the run's seed, three steps on


def test_both_attention_kernels_train_alike(config):
    sdpa, eager = (train(config(out=kernels, attention=kernels)) for kernels in ("sdpa", "eager"))
    losses = [[row["reward/loss"] for row in run.metrics] for run in (sdpa, eager)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_a_head_that_is_lost_in_writing_is_noticed(config, monkeypatch):
    save = RewardModel.save

    def lose(reward, *where):
        scalar_head(reward.model).weight.data.neg_()
        save(reward, *where)
        scalar_head(reward.model).weight.data.neg_()

    monkeypatch.setattr(RewardModel, "save", lose)
    with pytest.raises(RuntimeError, match="another head than the trained model"):
        train(config(max_steps=1))


def test_a_reward_model_is_trained_on(config):
    first = train(config("demonstrations", out="first"))
    shifted = RewardModel(first.model_path).shift
    second = train(config(model=str(first.model_path), out="second"))
    assert second.info["inputs"][0]["path"] == str(first.model_path)
    assert second.metrics[0]["reward/loss"] < first.metrics[0]["reward/loss"]
    assert shifted != 0
    assert second.evaluation["shift"] == 0  # found again for the new weights, here from nothing


def test_several_labelers_of_a_prompt_are_one_element_of_a_batch(config):
    run = train(config(batch_size=5))
    assert [row["step"] for row in run.metrics] == [1]  # 6 rankings of 5 prompts


def test_max_steps_and_epochs(config):
    assert len(train(config(epochs=3, out="epochs")).metrics) == 9
    assert len(train(config(epochs=3, max_steps=4, out="steps")).metrics) == 4


def test_the_held_out_file_is_not_trained_on(config, files):
    given = train(config(eval_data=files["data"], data=(files["data"],), out="given"))
    assert given.evaluation["accuracy"]["n"] == 1 + 3 + 3 + 44 + 5 + 1  # all untied pairs
    alone = train(config(out="alone"))
    assert given.metrics == alone.metrics


def test_rankings_of_a_split_are_held_out(config, tmp_path):
    rows = [
        row | {"split": "heldout" if i in {1, 2, 5} else "train"} for i, row in enumerate(RANKINGS)
    ]
    held = train(config(data=write_rows(tmp_path / "split.jsonl", rows), eval_split="heldout"))
    train_only = write_rows(tmp_path / "train.jsonl", [RANKINGS[i] for i in (0, 3, 4)])
    rest = write_rows(tmp_path / "rest.jsonl", [RANKINGS[i] for i in (1, 2, 5)])
    apart = train(config(out="apart", data=train_only, eval_data=rest))
    assert held.metrics == apart.metrics
    assert held.evaluation == apart.evaluation


@pytest.mark.parametrize(("split", "how"), [("heldout", "no rankings"), ("train", "all rankings")])
def test_a_split_that_leaves_one_side_empty_is_refused(split, how, config, tmp_path):
    data = write_rows(tmp_path / "split.jsonl", [row | {"split": "train"} for row in RANKINGS])
    with pytest.raises(UserError, match=how) as raised:
        train(config(data=data, eval_split=split))
    assert "--eval_fraction" in sentence(raised)


def test_prompts_with_nothing_but_ties_are_left_out_or_count_half(config, files, capsys):
    mixed = (files["data"], files["tied"])
    dropped = train(config(data=mixed, out="drop"))
    assert "2 prompts whose answers are all tied" in capsys.readouterr().err
    assert dropped.metrics == train(config(out="without")).metrics
    halved = train(config(data=mixed, ties="half", out="half"))
    assert len(halved.metrics) == 4  # 7 prompts


def test_nothing_but_ties_is_refused(config, files):
    with pytest.raises(UserError, match=r"tied\.jsonl: all answers of every prompt are tied") as no:
        train(config(data=files["tied"]))
    assert "--ties half" in sentence(no)


def test_nothing_but_ties_held_out_measures_nothing(config, files):
    run = train(config(eval_data=files["tied"], eval_every=1))
    assert run.evaluation == {"shift": 0.0}
    assert not any("reward/validation_accuracy" in row for row in run.metrics)


def test_a_ranking_of_one_answer_is_refused(config, tmp_path):
    bad = write_rows(tmp_path / "bad.jsonl", [RANKINGS[0], ranking(1, ["alone"], [1])])
    with pytest.raises(UserError, match=r"bad\.jsonl line 2: .*at least 2 responses") as raised:
        train(config(data=bad))
    sentence(raised)


def test_a_finished_run_is_left_alone(config, capsys):
    run = train(config("demonstrations", eval_fraction=0.4))
    before = files_of(run.dir)
    assert train(config("demonstrations", eval_fraction=0.4)).dir == run.dir
    assert files_of(run.dir) == before
    assert "already finished" in capsys.readouterr().err


def test_another_configuration_is_refused_with_both_values(config):
    run = train(config(max_steps=1))
    before = files_of(run.dir)
    with pytest.raises(UserError, match=r"other settings: ties drop -> half \(from") as raised:
        train(config(max_steps=1, ties="half"))
    sentence(raised)
    assert files_of(run.dir) == before


def test_the_directory_of_another_stage_is_refused(config):
    train(config(max_steps=1), stage="rank")
    with pytest.raises(UserError, match="holds a run of 'rank', not of 'reward'") as raised:
        train(config(max_steps=1))
    sentence(raised)


def test_the_two_ways_to_hold_out_exclude_each_other():
    with pytest.raises(ValueError, match="exclude each other"):
        RewardConfig(model="-", data="-", out="-", eval_data="-", eval_fraction=0.1)
    with pytest.raises(ValueError, match="'data' is needed"):
        train(RewardConfig(model="-", data=(), out="-"))


def test_the_defaults_are_the_papers():
    config = RewardConfig(model="-", data="-", out="-")
    assert (config.epochs, config.batch_size, config.learning_rate) == (1, 64, 9e-6)
    assert (config.schedule, config.min_lr_ratio, config.ties) == ("cosine", 0.1, "drop")
