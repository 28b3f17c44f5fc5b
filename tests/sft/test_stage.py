"""The whole SFT stage on disk: what it writes, chooses, refuses and resumes."""

import json
import operator
import re
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from instructgpt.data.records import Demonstration
from instructgpt.errors import UserError
from instructgpt.models.load import scorer_from_policy
from instructgpt.models.scorer import Scorer
from instructgpt.run.config import Resolved, resolve
from instructgpt.sft import SFTConfig, SFTModel, SFTTrainer, stage, train
from instructgpt.sft.data import encode
from instructgpt.sft.trainer import FirstLoss
from tests.files import sentence, write_policy, write_rows
from tests.small_runs import one_backend
from tests.tiny import byte_tokenizer, tiny_model

DEMONSTRATIONS = [
    {"prompt": f"{word}?", "response": word * (1 + n % 3), "labeler_id": "ann"}
    for n, word in enumerate(["one", "two", "three", "four", "five"])
]
HELD_OUT = [{"prompt": "six?", "response": "six"}, {"prompt": "seven, please?", "response": "7 7"}]


@pytest.fixture(scope="module", autouse=True)
def same_backend():
    with one_backend():
        yield


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A policy, a reward model, demonstrations, held-out ones and pretraining text."""
    folder = tmp_path_factory.mktemp("sft")
    policy = tiny_model("llama")
    Scorer(scorer_from_policy(policy, seed=0), byte_tokenizer()).save(folder / "reward")
    (folder / "text.txt").write_text("Once upon a time there was a cat.\n\nIt slept.")
    (folder / "held-out.txt").write_text("Then it woke.")
    return {
        "model": write_policy(folder / "policy", model=policy),
        "data": write_rows(folder / "demonstrations.jsonl", DEMONSTRATIONS),
        "eval_data": write_rows(folder / "held-out.jsonl", HELD_OUT),
        "pretrain_data": str(folder / "text.txt"),
        "eval_pretrain_data": str(folder / "held-out.txt"),
        "reward_model": str(folder / "reward"),
    }


@pytest.fixture
def config(files, tmp_path):
    """Makes a configuration: 3 steps an epoch, 2 epochs, more files by name."""

    def make(*also, out="run", **values):
        given = {key: files[key] for key in ("model", "data", *also)}
        small = {"epochs": 2, "batch_size": 2, "learning_rate": 1e-3, "threads": 1}
        return SFTConfig(**{**given, **small, "out": str(tmp_path / out), **values})

    return make


def held_out_loss(model_path):
    """The token mean over the held-out demonstrations, by a trainer that never trained."""
    policy = SFTModel(model_path)
    trainer = SFTTrainer(policy, SFTConfig(model="-", data="-", out="-"))
    rows = [Demonstration(**row) for row in HELD_OUT]
    return trainer.validation_loss([encode(row, policy.text) for row in rows])


def files_of(folder):
    """Every file but the lock, with its content."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def test_what_a_run_leaves_behind(config, files):
    settings = config("eval_data", "pretrain_data", pretrain_fraction=0.5, select_by="last")
    run = train(settings)
    names = {path.name for path in run.dir.iterdir() if not path.name.startswith(".")}
    assert names == {"config.yaml", "run.json", "metrics.jsonl", "timings.jsonl", "model"}

    assert [row["step"] for row in run.metrics] == list(range(1, 11))  # 5 steps of 1 + 1, twice
    assert all(row["stage"] == "sft" for row in run.metrics)
    for row in run.metrics:
        validated = {"sft/validation_loss"} if row["step"] in (5, 10) else set()
        assert set(row) == validated | {
            "step",
            "stage",
            "sft/loss",
            "sft/learning_rate",
            "sft/grad_norm",
            "sft/tokens",
        }
    timings = [json.loads(line) for line in (run.dir / "timings.jsonl").read_text().splitlines()]
    assert [row["step"] for row in timings] == list(range(1, 11))
    assert all(row["throughput/tokens_per_second"] > 0 for row in timings)

    info = run.info
    assert (info["stage"], info["status"], info["seed"]) == ("sft", "done", 0)
    read = {source["key"]: source for source in info["inputs"]}
    keys = ["model", "data", "eval_data", "pretrain_data"]
    assert {key: source["path"] for key, source in read.items()} == {k: files[k] for k in keys}
    assert all(re.fullmatch("[0-9a-f]{64}", source["digest"]) for source in read.values())
    assert {"command", "versions", "git_commit", "machine", "started", "finished"} <= set(info)
    assert info["tuning"].items() >= {"threads": 1, "matmul": "highest", "processes": 1}.items()
    assert run.metrics[-1]["sft/validation_loss"] == pytest.approx(held_out_loss(run.model_path))


def test_the_configuration_loads_back_and_names_every_source(config):
    settings = config(template="Q: {prompt}\n\n# A:")
    run = train(settings)
    assert SFTConfig.load(run.dir / "config.yaml") == settings
    text = (run.dir / "config.yaml").read_text()
    assert set(yaml.safe_load(text)) == set(SFTConfig.model_fields)
    for key in SFTConfig.model_fields:
        source = "Python" if key in settings.model_fields_set else "default"
        assert re.search(rf"^{key}: [^\n]*(\n+  [^\n]*)*  # {source}$", text, re.MULTILINE), key


def test_the_source_of_a_value_is_its_file_or_flag(config, tmp_path):
    (tmp_path / "own.yaml").write_text("epochs: 1\nbatch_size: 5\n")
    flags = {key: value for key, value in config().model_dump().items() if key in {"model", "data"}}
    resolved = resolve(
        SFTConfig,
        files=[tmp_path / "own.yaml"],
        flags={**flags, "batch_size": 3, "out": str(tmp_path / "run"), "threads": 1},
    )
    text = (train(resolved).dir / "config.yaml").read_text()
    assert f"epochs: 1  # {tmp_path / 'own.yaml'}\n" in text
    assert "batch_size: 3  # --batch_size\n" in text
    assert "dropout: null  # default\n" in text


def test_a_finished_run_is_left_alone(config, capsys):
    run = train(config())
    before = files_of(run.dir)
    again = train(config(save_every=3))  # how often to save decides no result
    assert again.dir == run.dir
    assert files_of(run.dir) == before
    assert "already finished" in capsys.readouterr().err


def test_another_configuration_is_refused_with_both_values(config):
    run = train(config(epochs=1))
    before = files_of(run.dir)
    with pytest.raises(
        UserError, match=r"other settings: .*learning_rate 0\.001 -> 0\.5 \(from"
    ) as no:
        train(config(epochs=1, learning_rate=0.5))
    sentence(no)
    assert files_of(run.dir) == before
    train(config(epochs=1))  # the refusal let go of the directory


def test_the_directory_of_another_stage_is_refused(config):
    train(config(epochs=1), stage="pretrain")
    with pytest.raises(UserError, match="holds a run of 'pretrain', not of 'sft'") as raised:
        train(config(epochs=1))
    sentence(raised)


def test_another_number_of_threads_is_refused(config, monkeypatch):
    monkeypatch.setattr(SFTTrainer, "train_step", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train(config())
    monkeypatch.undo()
    with pytest.raises(UserError, match="continue with --threads 1") as raised:
        train(config(threads=2))
    sentence(raised)
    assert train(config()).info["status"] == "done"


def test_validation_loss_chooses_the_step(config):
    settings = {"learning_rate": 0.02, "schedule": "constant", "epochs": 3, "eval_every": 1}
    run = train(config("eval_data", select_by="validation_loss", **settings))
    losses = {row["step"]: row["sft/validation_loss"] for row in run.metrics}
    best = min(losses, key=losses.__getitem__)
    assert best not in (1, 9)  # there is something to choose
    assert (run.info["selected_step"], run.info["selected_by"]) == (best, "validation_loss")
    assert held_out_loss(run.model_path) == pytest.approx(losses[best], rel=1e-6)
    assert not (run.dir / "checkpoints").exists()

    stopped = train(config(out="stopped", max_steps=best, **settings))
    one, other = (load_file(r.model_path / "model.safetensors") for r in (run, stopped))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_reward_model_chooses_the_step(config, monkeypatch):
    scores = iter([-1.0, 2.0, 0.5, 2.0, 1.0])

    class Scripted:
        def __init__(self, *_, **__):
            pass

        def score(self, prompts, responses, *, finished):
            assert len(prompts) == len(responses) == len(finished) == 2
            return torch.full((2,), next(scores))

    monkeypatch.setattr(stage, "Scorer", Scripted)
    settings = {"eval_every": 1, "max_steps": 5, "schedule": "constant", "response_length": 4}
    run = train(config("eval_data", "reward_model", **settings))
    assert [row["sft/reward_score"] for row in run.metrics] == [-1.0, 2.0, 0.5, 2.0, 1.0]
    assert (run.info["selected_step"], run.info["selected_by"]) == (2, "reward")  # the first of two
    second = run.metrics[1]["sft/validation_loss"]
    assert held_out_loss(run.model_path) == pytest.approx(second, rel=1e-6)


def test_the_reward_score_is_the_mean_over_the_samples(config, files):
    run = train(config("eval_data", "reward_model", response_length=6))
    samples = [json.loads(line) for line in (run.dir / "samples.jsonl").read_text().splitlines()]
    assert [sample["step"] for sample in samples] == [3, 3, 6, 6]
    assert [sample["prompt"] for sample in samples] == [row["prompt"] for row in HELD_OUT] * 2
    for step, first in ((3, 0), (6, 2)):
        mean = sum(sample["score"] for sample in samples[first : first + 2]) / 2
        assert run.metrics[step - 1]["sft/reward_score"] == pytest.approx(mean)
    sample = samples[0]
    finished = [
        Scorer(files["reward_model"])
        .score([sample["prompt"]], [sample["response"]], finished=end)
        .item()
        for end in (True, False)
    ]
    assert any(sample["score"] == pytest.approx(score, abs=1e-5) for score in finished)


def test_text_alone_trains_too(config):
    values = {"data": (), "pretrain_fraction": 1, "pretrain_length": 8, "max_steps": 6}
    run = train(config("pretrain_data", **values))
    tokens = [row["sft/tokens"] for row in run.metrics]
    assert sum(tokens[:3]) == sum(tokens[3:]) == 45 - 6  # each window but its first token
    assert run.metrics[-1]["sft/loss"] < run.metrics[0]["sft/loss"]


def test_text_that_is_not_mixed_in_is_said_and_changes_nothing(config, capsys):
    idle = train(config("pretrain_data", out="idle"))
    assert "pretrain_data has no effect while pretrain_fraction is 0" in capsys.readouterr().err
    assert idle.metrics == train(config(out="without")).metrics


@pytest.mark.parametrize("weights", [(), (3, 1)])
def test_held_out_text_has_its_own_validation_loss(config, files, weights, tmp_path, monkeypatch):
    """A token mean; of weighted sources, the mean of theirs by weight."""
    monkeypatch.setenv("INSTRUCTGPT_CACHE", str(tmp_path / "cache"))
    names = [files["eval_pretrain_data"], files["pretrain_data"]][: len(weights) or 1]
    sources = [f"{name}:{w}" for name, w in zip(names, weights, strict=True)] if weights else names
    run = train(config(eval_pretrain_data=sources, pretrain_length=8, epochs=1))
    policy = SFTModel(run.model_path)

    def loss(path):
        tokens = policy.text.document(Path(path).read_text())
        windows = [torch.tensor([tokens[i : i + 8]]) for i in range(0, len(tokens), 8)]
        with torch.no_grad():
            losses = [policy.model(window, labels=window).loss.item() for window in windows]
        learnt = [window.numel() - 1 for window in windows]
        return sum(map(operator.mul, losses, learnt)) / sum(learnt)

    losses = list(map(loss, names))
    mean = (3 * losses[0] + losses[1]) / 4 if weights else losses[0]
    assert run.metrics[-1]["sft/pretrain_validation_loss"] == pytest.approx(mean, rel=1e-5)


def test_a_context_shorter_than_max_length_decides(config, files, tmp_path):
    model = write_policy(tmp_path / "short", context=12)
    with pytest.raises(UserError, match="more than the 12 that fit") as raised:
        train(config(model=model))
    sentence(raised)
    run = train(config(model=model, on_long="skip", out="skipped"))
    assert run.metrics[-1]["step"] == 4  # "three? three three three" was left out


def test_a_loss_over_everything_counts_the_prompt(config):
    both = [train(config(out=loss, loss=loss, epochs=1)).metrics for loss in ("completion", "all")]
    answers, everything = (sum(row["sft/tokens"] for row in metrics) for metrics in both)
    assert answers == sum(len(row["response"]) + 1 for row in DEMONSTRATIONS)
    assert everything - answers == sum(len(row["prompt"]) - 1 for row in DEMONSTRATIONS)


def test_a_resolved_configuration_is_taken_as_it_is(config):
    assert train(Resolved.of(config(epochs=1))).info["status"] == "done"


def test_a_mistake_in_the_data_is_found_before_anything_is_written(config, tmp_path):
    (tmp_path / "bad.jsonl").write_text('{"prompt": "a", "response": "b"}\n{"prompt": "a"}\n')
    with pytest.raises(UserError, match=r"bad\.jsonl line 2"):
        train(config(data=str(tmp_path / "bad.jsonl")))
    assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]


def test_dropout_that_takes_away_much_is_said_once_and_training_is_as_before(
    config, capsys, monkeypatch
):
    plain = train(config(dropout=0.3, out="plain"))
    noted = json.loads((plain.dir / "run.json").read_text())["first_loss"]
    assert noted["dropout"] == 0.3
    assert noted["loss"] != noted["loss_without"]
    assert "takes the first loss" not in capsys.readouterr().err  # a model that knows nothing
    far = FirstLoss(0.3, 10.0, 3.1)
    monkeypatch.setattr(SFTTrainer, "first_loss", lambda *_: far)
    run = train(config(dropout=0.3))
    said = capsys.readouterr().err
    assert said.count("dropout 0.3 takes the first loss from 3.10 to 10.00 nats a token") == 1
    assert "give --dropout 0" in said
    figures = [(r.dir / "metrics.jsonl").read_text() for r in (plain, run)]
    assert figures[0] == figures[1]
    assert "first_loss" not in json.loads((train(config(out="no")).dir / "run.json").read_text())


def test_a_split_of_the_demonstrations_is_held_out(config, tmp_path):
    rows = [{**row, "split": "train"} for row in DEMONSTRATIONS]
    rows += [
        {**row, "split": split} for row, split in zip(HELD_OUT, ("valid", "test"), strict=True)
    ]
    data = write_rows(tmp_path / "all.jsonl", rows)
    run = train(config(data=data, eval_split="heldout", max_steps=1))
    apart = train(config("eval_data", out="apart", max_steps=1))
    assert run.metrics[-1] == apart.metrics[-1]
    assert "sft/validation_loss" in run.metrics[-1]
    with pytest.raises(UserError, match="no demonstrations have the split 'dev'") as raised:
        train(config(data=data, out="dev", eval_split="dev"))
    sentence(raised)
