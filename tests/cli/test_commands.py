"""Every command on miniature models: what it prints, what it writes, and what its help says."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
import yaml

from instructgpt.cli import app
from instructgpt.rollout.policy import SFTModel
from instructgpt.run.directory import Run
from tests.files import write_rows
from tests.small_runs import differing, one_backend, run_stage

COMMANDS = [
    ["init"],
    ["sft"],
    ["reward"],
    ["ppo"],
    ["sample"],
    ["pipeline"],
    ["generate"],
    ["chat"],
    ["score"],
    ["report"],
    ["data"],
    ["data", "import"],
    ["data", "export"],
    ["data", "formats"],
    ["label"],
    ["label", "rank"],
    ["label", "simulate"],
    ["eval"],
    ["eval", "compare"],
]
IDS = [" ".join(words) for words in COMMANDS]


@pytest.fixture(scope="session")
def trained(inputs, tmp_path_factory):
    """A finished run of each stage, made in Python."""
    folder = tmp_path_factory.mktemp("trained")
    with one_backend():
        return {stage: run_stage(stage, inputs[stage], folder / stage) for stage in inputs}


# ---------------------------------------------------------------- help


@pytest.mark.parametrize("words", COMMANDS, ids=IDS)
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help(words, flag, cli):
    result = cli(*words, flag)
    assert (result.status, result.err) == (0, "")
    assert result.out.startswith(f"Usage: instructgpt {' '.join(words)}")


def test_the_program_itself(cli):
    help_text = cli("-h").out
    for words in COMMANDS:
        assert f" {words[0]} " in help_text
    assert cli("--version").out.strip() == "0.1.0"
    assert cli().out.startswith("Usage: instructgpt")


@pytest.mark.parametrize("words", COMMANDS, ids=IDS)
def test_every_option_has_help(words):
    parsed = app
    for word in words:
        parsed = parsed[word]
    if parsed.default_command is None:
        return
    arguments = parsed.assemble_argument_collection(parse_docstring=True)
    named = [argument for argument in arguments if argument.parse and argument.show]
    assert named or words == ["data", "formats"]
    for argument in named:
        assert argument.parameter.help, argument.names


# ---------------------------------------------------------------- stages


@pytest.mark.parametrize("stage", ["sft", "reward", "ppo"])
def test_a_stage_by_flags_and_by_yaml_is_the_stage_in_python(stage, cli, inputs, trained, tmp_path):
    settings = inputs[stage]
    by_flags = cli(stage, **settings, out=tmp_path / "flags", threads=1)
    assert by_flags.status == 0
    assert differing(tmp_path / "flags", trained[stage].dir) == []
    file = tmp_path / "config.yaml"
    file.write_text(
        yaml.safe_dump({stage: settings, "common": {"threads": 1, "batch_size": 7, "k": 2}})
    )
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(f"out: {tmp_path}/yaml\n")
    assert cli(stage, file, overlay).status == 0
    assert differing(tmp_path / "yaml", trained[stage].dir) == []


@pytest.mark.parametrize("stage", ["sft", "reward", "ppo"])
def test_a_finished_stage_is_not_run_again(stage, cli, inputs, trained):
    out = trained[stage].dir
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.name != ".lock"}
    result = cli(stage, **inputs[stage], out=out, threads=1)
    assert result.status == 0
    assert result.err == f"{stage}: {out} is already finished; nothing to do\n"
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.parametrize("stage", ["sft", "reward", "ppo"])
def test_the_printed_configuration_is_the_configuration(stage, cli, inputs, tmp_path):
    flags = inputs[stage] | {"out": tmp_path / "run"}
    printed = cli(stage, "--print-config", **flags)
    assert printed.status == 0
    file = tmp_path / "config.yaml"
    file.write_text(printed.out)
    again = cli(stage, file, "--print-config").out
    assert yaml.safe_load(again) == yaml.safe_load(printed.out)
    assert f"  # {file}" in again
    assert "  # default" in printed.out
    assert f"out: {tmp_path}/run  # --out" in printed.out
    assert not (tmp_path / "run").exists()


def test_a_dry_run_checks_the_files_and_writes_nothing(cli, inputs, tmp_path):
    flags = inputs["ppo"] | {"out": tmp_path / "run"}
    result = cli("ppo", "--dry-run", **flags)
    assert (result.status, result.err) == (0, "")
    assert result.out.startswith(f"ppo -> {tmp_path}/run\n  model          policy, ")
    assert all(len(line) <= 80 for line in result.out.splitlines()[1:])
    result = cli("ppo", "--dry-run", **flags | {"pretrain_data": "nowhere.txt"})
    assert result.status == 2
    assert "pretrain_data: nowhere.txt does not exist; check the path" in result.err
    assert list(tmp_path.iterdir()) == []


def test_several_files_and_hyphens(cli, inputs, tmp_path):
    settings = {key: value for key, value in inputs["sft"].items() if key != "data"}
    data = inputs["sft"]["data"]
    printed = cli(
        "sft",
        "--data",
        data,
        "--data",
        "b",
        "--learning-rate",
        "1e-4",
        "--print-config",
        **{key: value for key, value in settings.items() if key != "learning_rate"},
        out="o",
    )
    config = yaml.safe_load(printed.out)
    assert config["data"] == [data, "b"]
    assert config["learning_rate"] == 1e-4
    switched = cli(
        "ppo",
        "--whiten_rewards",
        "--no-whiten-advantages",
        "--cliprange_value",
        "null",
        "--report_to",
        "none",
        "--print-config",
        **inputs["ppo"],
        out="o",
    )
    config = yaml.safe_load(switched.out)
    assert (config["whiten_rewards"], config["whiten_advantages"]) == (True, False)
    assert (config["cliprange_value"], config["report_to"]) == (None, "none")


def test_init(cli, tmp_path):
    out = tmp_path / "run"
    result = cli("init", preset="gpt3-tiny", out=out, vocab_size=300)
    assert result.status == 0
    policy = SFTModel(out / "model")
    assert (policy.model.config.num_layers, policy.model.config.hidden_size) == (4, 128)
    assert len(policy.tokenizer) == 300
    first = (out / "model" / "model.safetensors").read_bytes()
    assert cli("init", preset="gpt3-tiny", out=tmp_path / "again", vocab_size=300).status == 0
    assert (tmp_path / "again" / "model" / "model.safetensors").read_bytes() == first
    assert "did you mean 'gpt3-tiny'" in cli("init", preset="gpt3-tinny", out=tmp_path / "x").err


# ---------------------------------------------------------------- use


def test_generate(cli, inputs, tmp_path):
    flags = {"model": inputs["sft"]["model"], "max_new_tokens": 5, "seed": 3}
    policy = SFTModel(flags["model"])
    expected = policy.generate(["cab", "fed"], max_new_tokens=5, seed=3)
    both = cli("generate", "--prompt", "cab", "--prompt", "fed", **flags)
    assert both.out == f"{expected[0].text}\n\n---\n{expected[1].text}\n"
    printed = json.loads(cli("generate", "--json", "--prompt", "cab", **flags).out)
    assert printed == [asdict(policy.generate(["cab"], max_new_tokens=5, seed=3)[0])]
    data = write_rows(tmp_path / "prompts.jsonl", [{"prompt": "cab"}, {"prompt": "fed"}])
    assert cli("generate", data=data, **flags).out == both.out
    greedy = [
        cli("generate", prompt="cab", temperature=0, **flags | {"seed": seed}).out
        for seed in (1, 2)
    ]
    assert greedy[0] == greedy[1]
    assert "the prompt is empty" in cli("generate", prompt=" ", **flags).err


def test_chat(cli, inputs, monkeypatch):
    lines = iter(["cab", "fed", ""])
    monkeypatch.setattr("builtins.input", lambda _: next(lines))
    result = cli("chat", model=inputs["sft"]["model"], max_new_tokens=4, temperature=0)
    policy = SFTModel(inputs["sft"]["model"])
    turns = [{"role": "user", "content": "cab"}]
    first = policy.generate([as_messages(turns)], max_new_tokens=4, temperature=0)[0].text
    turns += [{"role": "assistant", "content": first}, {"role": "user", "content": "fed"}]
    second = policy.generate([as_messages(turns)], max_new_tokens=4, temperature=0)[0].text
    assert (result.status, result.out) == (0, f"{first}\n{second}\n")


def test_a_chat_outgrows_the_context_and_goes_on(cli, inputs, monkeypatch):
    """The oldest turns are forgotten, and a line that alone is too long ends nothing."""
    policy = SFTModel(inputs["sft"]["model"])
    assert policy.model.config.max_position_embeddings == 48
    asked = []
    real = SFTModel.generate

    def generate(self, prompts, **settings):
        asked.append([turn.content for turn in prompts[0]])
        return real(self, prompts, **settings)

    monkeypatch.setattr(SFTModel, "generate", generate)
    lines = iter(["cab", "cab" * 20, "bad", "fade", "gag", ""])
    monkeypatch.setattr("builtins.input", lambda _: next(lines))
    result = cli("chat", model=inputs["sft"]["model"], max_new_tokens=8, temperature=0)
    assert (result.status, len(result.out.splitlines())) == (0, 4)
    assert result.err.count("exceeds the model's context of 48") == 1  # the second line, alone
    own = [turns[::2] for turns in asked]
    assert own[0] == ["cab"]
    assert own[-1][-1] == "gag"
    assert "cab" not in own[-1]
    assert all("cab" * 20 not in turns for turns in own[2:])


def as_messages(turns):
    from instructgpt.data.records import Message

    return tuple(Message(**turn) for turn in turns)


def test_chat_ends_with_its_input(cli, inputs, monkeypatch):
    def end(prompt):
        raise EOFError

    monkeypatch.setattr("builtins.input", end)
    assert cli("chat", model=inputs["sft"]["model"]) == (0, "", "")


def test_score(cli, inputs, tmp_path):
    from instructgpt.reward.model import RewardModel

    model = inputs["ppo"]["reward_model"]
    expected = RewardModel(model).score(["cab", "cab"], ["bee", ""])
    plain = cli("score", "--response", "bee", "--response", "", model=model, prompt="cab")
    assert plain.out == "".join(f"{value:.4f}\n" for value in expected.tolist())
    printed = json.loads(cli("score", "--json", model=model, prompt="cab", response="bee").out)
    assert [row["response"] for row in printed] == ["bee"]
    torch.testing.assert_close(printed[0]["score"], expected[0].item())
    rows = [{"prompt": "cab", "response": "bee"}, {"prompt": "cab", "response": ""}]
    assert cli("score", model=model, data=write_rows(tmp_path / "d.jsonl", rows)).out == plain.out


def test_sample(cli, inputs, tmp_path):
    flags = {
        "model": inputs["sft"]["model"],
        "data": inputs["ppo"]["data"],
        "k": 3,
        "max_new_tokens": 5,
    }
    assert cli("sample", **flags, out=tmp_path / "run").status == 0
    rows = [
        json.loads(line)
        for line in (tmp_path / "run" / "candidates.jsonl").read_text().splitlines()
    ]
    assert [row["prompt"] for row in rows] == ["cab", "a", "baggage", "bad", "deface"]
    assert all(len(row["responses"]) == 3 for row in rows)
    assert (
        len({response["sampling"]["seed"] for row in rows for response in row["responses"]}) == 15
    )
    again = cli("sample", **flags, out=tmp_path / "run")
    assert "already finished" in again.err


def test_eval_compare(cli, inputs, trained, tmp_path):
    flags = {
        "data": inputs["ppo"]["data"],
        "judge": inputs["ppo"]["reward_model"],
        "max_new_tokens": 5,
        "samples": 2,
    }
    a, b = trained["ppo"].model_path, trained["sft"].model_path
    result = cli("eval", "compare", a, b, "--json", **flags, out=tmp_path / "run")
    assert result.status == 0
    figures = json.loads(result.out)
    saved = Run(tmp_path / "run").evaluation
    assert figures == {key: saved[key] for key in saved if key != "pairs"}
    assert (figures["a"], figures["b"], figures["judge"]) == ("ppo", "sft", flags["judge"])
    wins = [
        (pair["score_a"] > pair["score_b"]) + 0.5 * (pair["score_a"] == pair["score_b"])
        for pair in saved["pairs"]
    ]
    assert len(wins) == 10
    assert figures["win_rate"]["estimate"] == pytest.approx(sum(wins) / 10)
    assert figures["scores"]["ppo"]["estimate"] == pytest.approx(
        sum(p["score_a"] for p in saved["pairs"]) / 10
    )
    itself = cli("eval", "compare", a, a, "--json", **flags, out=tmp_path / "same")
    assert json.loads(itself.out)["win_rate"]["estimate"] == 0.5


def test_data_import_and_export(cli, tmp_path):
    rows = [
        {"prompt": "p", "chosen": "good", "rejected": "bad"},
        {"prompt": "q", "chosen": "c", "rejected": "d"},
    ]
    source = write_rows(tmp_path / "trl.jsonl", rows)
    ours = tmp_path / "ours.jsonl.gz"
    result = cli("data", "import", source, kind="ranking", out=ours)
    assert result.status == 0
    assert "2 rows read as trl, 2 kept, 0 skipped" in result.err
    back = tmp_path / "back.jsonl"
    assert (
        "2 ranking records -> 2 rows of trl"
        in cli("data", "export", ours, kind="ranking", out=back).err
    )
    written = [json.loads(line) for line in back.read_text().splitlines()]
    assert [{key: row[key] for key in rows[0]} for row in written] == rows


def test_data_import_skips_only_when_told(cli, tmp_path):
    source = write_rows(
        tmp_path / "mixed.jsonl", [{"prompt": "p", "completion": "a"}, {"prompt": "q"}]
    )
    result = cli("data", "import", source, kind="demonstration", out=tmp_path / "o.jsonl")
    assert result.status == 2
    assert "mixed.jsonl line 2" in result.err
    assert not (tmp_path / "o.jsonl").exists()
    result = cli(
        "data", "import", source, kind="demonstration", out=tmp_path / "o.jsonl", on_error="skip"
    )
    assert result.status == 0
    assert "2 rows read as trl, 1 kept, 1 skipped" in result.err


def test_report(cli, trained, tmp_path):
    result = cli("report", trained["sft"].dir, out=tmp_path / "one.html")
    assert (result.status, Path(result.out.strip())) == (0, tmp_path / "one.html")
    assert "<html" in (tmp_path / "one.html").read_text()
    copy = shutil.copytree(trained["sft"].dir, tmp_path / "copy")
    result = cli("report", trained["sft"].dir, copy, out=tmp_path / "both.html")
    assert result.status == 0
    assert "copy" in (tmp_path / "both.html").read_text()
    result = cli("report", copy)
    assert (copy / "report.html").is_file()


@pytest.mark.parametrize(
    "command", [("generate", "--prompt", "a", "--on_error", "skip"), ("chat",)]
)
def test_a_longest_answer_as_long_as_the_context_is_one_sentence(cli, inputs, command):
    path = inputs["sft"]["model"]
    context = json.loads((Path(path) / "config.json").read_text())["max_position_embeddings"]
    result = cli(*command, model=path, response_length=context)
    assert result.status == 2
    assert result.err == (
        f"instructgpt: response_length {context} leaves no room for a prompt in the model's "
        f"context of {context} tokens; lower it\n"
    )
