"""`eval` as a command: a run directory with every item, that goes on where it was stopped."""

import json

import pytest

import instructgpt as ig
from instructgpt.cli import main
from instructgpt.errors import UserError
from instructgpt.evaluation.benchmark import stage
from instructgpt.evaluation.benchmark.ask import Asker
from instructgpt.evaluation.benchmark.config import BenchmarkConfig
from tests.evaluation.tasks.rows import ROWS
from tests.files import sentence
from tests.ppo.letters import letter_policy


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for number, name in enumerate(("base", "ppo"), 1):
        letter_policy(seed=number).save(folder / name)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    ROWS["hellaswag"](folder)
    return folder


@pytest.fixture
def config(models, data, tmp_path):
    def make(**values):
        given = {"models": [str(models / "base"), str(models / "ppo")], "data_dir": str(data)}
        return BenchmarkConfig(
            **{"tasks": "hellaswag", "out": str(tmp_path / "run")} | given | values
        )

    return make


def results(run):
    return json.loads((run.dir / "results.json").read_bytes())


def test_every_item_of_every_model_is_kept(config):
    run = stage.evaluate(config())
    for model in ("base", "ppo"):
        lines = (run.dir / model / "hellaswag.jsonl").read_text().splitlines()
        rows = [json.loads(line) for line in lines]
        assert len(rows) == 8
        for row in rows:  # the figures follow from what is kept
            totals, counts = row["output"]["logprobs"], row["output"]["tokens"]
            means = [total / count for total, count in zip(totals, counts, strict=True)]
            best = row["choices"][means.index(max(means))]
            assert row["output"]["text"] == best.strip()
            assert row["scores"] == {"accuracy": float(best in row["references"])}
        found = results(run)["models"][model]["hellaswag"]
        assert found["estimate"] == sum(row["scores"]["accuracy"] for row in rows) / 8
        assert found["n"] == 8


def test_from_python_the_numbers_are_the_same(config, models, data):
    run = stage.evaluate(config(models=str(models / "ppo"), names="it", shots=2))
    policy = ig.SFTModel(models / "ppo", template="plain")
    found = ig.evaluation.run_tasks(policy, ["hellaswag"], data_dir=data, shots=2)["hellaswag"]
    assert found.to_json() == results(run)["models"]["it"]["hellaswag"]


class Killed(BaseException):
    """As if the process were gone."""


def test_a_stopped_run_asks_nothing_twice(config, monkeypatch, tmp_path):
    straight = results(stage.evaluate(config(out=str(tmp_path / "straight"))))
    monkeypatch.setattr(stage, "KEPT_AT_ONCE", 3)
    asked, ask = [], Asker.ask

    def counting(self, requests, **settings):
        asked.append([request.text for request in requests])
        if len(asked) == 5:  # the first model's 3, 3 and 2, and 3 of the second's are kept
            raise Killed
        return ask(self, requests, **settings)

    monkeypatch.setattr(Asker, "ask", counting)
    with pytest.raises(Killed):
        stage.evaluate(config())
    with (tmp_path / "run" / "ppo" / "hellaswag.jsonl").open("a") as file:
        file.write('{"id": "cut sh')  # within a line
    run = stage.evaluate(config())
    assert [len(part) for part in asked] == [3, 3, 2, 3, 3, 3, 2]
    assert asked[4] == asked[5]
    assert results(run) == straight
    stage.evaluate(config())  # finished
    assert len(asked) == 7


def test_answers_to_other_data_are_not_mixed_in(config, data, monkeypatch, tmp_path):
    def kill(*arguments, **settings):
        raise Killed

    monkeypatch.setattr(stage, "_results", kill)
    with pytest.raises(Killed):
        stage.evaluate(config())
    monkeypatch.undo()
    other = tmp_path / "other"
    other.mkdir()
    ROWS["hellaswag"](other)
    file = other / "hellaswag_val.jsonl"
    file.write_text(file.read_text().replace("apples", "pears"))
    (data / "hellaswag_val.jsonl").rename(tmp_path / "aside")
    file.rename(data / "hellaswag_val.jsonl")
    try:
        with pytest.raises(UserError, match=r"hellaswag.jsonl: has answers to other requests"):
            stage.evaluate(config())
    finally:
        (tmp_path / "aside").rename(data / "hellaswag_val.jsonl")


def test_what_cannot_be_measured_says_why(config, tmp_path):
    (tmp_path / "empty").mkdir()
    run = stage.evaluate(config(data_dir=str(tmp_path / "empty")))
    found = results(run)["models"]["base"]["hellaswag"]
    assert (found["status"], found["estimate"], found["n"]) == ("not measured", None, 0)
    assert found["reason"].startswith("no hellaswag_val.jsonl or ")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"tasks": "helaswag"}, "tasks: there is no 'helaswag' (did you mean 'hellaswag'?)"),
        ({"data_dir": "nowhere"}, "data_dir: nowhere is no folder"),
        ({"names": "one"}, "names: 1 for 2 models"),
        ({"names": ["a/b", "a-b"]}, "names: a/b, a-b are not told apart"),
        ({"models": "nowhere/model"}, "models: "),
    ],
)
def test_mistakes_are_said_before_anything_is_written(settings, said, config, tmp_path):
    with pytest.raises(UserError) as raised:
        stage.evaluate(config(**settings))
    assert sentence(raised).startswith(said)
    assert not (tmp_path / "run" / "run.json").exists()


def test_a_file_in_another_format_is_named(config, tmp_path):
    (tmp_path / "hellaswag_val.jsonl").write_text('{"ctx": "He", "label": 1}\n')
    with pytest.raises(UserError) as raised:
        stage.evaluate(config(data_dir=str(tmp_path)))
    said = sentence(raised)
    assert "hellaswag_val.jsonl: not in the format of hellaswag, behind item 0" in said
    assert "'activity_label' is missing" in said


def run_command(*words):
    with pytest.raises(SystemExit) as ended:
        main([*map(str, words)])
    return ended.value.code or 0


def test_the_command_with_and_without_its_name(models, data, tmp_path, capsys):
    out, flags = tmp_path / "out", ["--tasks", "hellaswag", "--data-dir", data]
    assert run_command("eval", f"PPO={models / 'ppo'}", *flags, "--out", out) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "PPO"
    assert all(len(line) <= 80 for line in told)
    assert "hellaswag: accuracy" in told[1]
    again = run_command("eval", "tasks", f"PPO={models / 'ppo'}", *flags, "--out", out, "--json")
    assert again == 0
    assert json.loads(capsys.readouterr().out)["models"]["PPO"]["hellaswag"]["n"] == 8


def test_names_for_some_models_alone(models, tmp_path, capsys):
    words = ["eval", f"PPO={models / 'ppo'}", models / "base", "--out", tmp_path / "out"]
    assert run_command(*words) == 2
    assert "give every model a name, as in NAME=MODEL, or none" in capsys.readouterr().err
