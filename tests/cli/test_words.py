"""What people type: dashes, switches with values, mistyped flags, other bytes; and the help."""

import json
import re

import pytest

from instructgpt import cli as program
from instructgpt.cli import app, main
from instructgpt.cli.words import prepared
from tests.cli.test_commands import COMMANDS, IDS
from tests.files import write_rows


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("sft --batch-size 8 --no-keep-best", "sft --batch_size 8 --no_keep_best"),
        ("reward --fit_head true --seed 3", "reward --fit_head=true --seed 3"),
        ("ppo --whiten_rewards FALSE", "ppo --whiten_rewards=FALSE"),
        ("ppo --dry-run --print-config", "ppo --dry-run --print-config"),
        ("pipeline --sft.batch-size 3", "pipeline --sft.batch_size 3"),
        ("sft --data=my-file --out my-run", "sft --data=my-file --out my-run"),
        ("generate --prompt true", "generate --prompt=true"),
        ("generate --prompt -5", "generate --prompt=-5"),
        ("generate --prompt --json", "generate --prompt --json"),
    ],
)
def test_words_as_they_are_meant(typed, meant):
    assert prepared(typed.split()) == meant.split()


def test_a_text_that_begins_with_a_dash(cli, inputs):
    flags = {"model": inputs["sft"]["model"], "response_length": 3}
    expected = cli("generate", "--prompt=- cab", **flags).out
    assert expected
    assert cli("generate", "--prompt", "- cab", **flags).out == expected
    assert cli("generate", flags["model"], "- cab", response_length=3).out == expected
    said = cli("generate", flags["model"], "--promt", "cab").err
    assert "there is no flag --promt (did you mean '--prompt'?)" in said
    scored = cli("score", inputs["ppo"]["reward_model"], "--prompt", "a", "--response", "- b")
    assert scored.status == 0


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("lr", "learning_rate"),
        ("learning", "learning_rate"),
        ("epohcs", "epochs"),
        ("bs", "batch_size"),
    ],
)
def test_the_flag_that_was_meant(typed, meant, cli, tmp_path):
    said = cli("sft", f"--{typed}", "3").err
    assert f"there is no flag --{typed} (did you mean --{meant}?)" in said
    (tmp_path / "a.yaml").write_text(f"{typed}: 3\n")
    assert f"unknown key '{typed}' (did you mean '{meant}'?)" in cli("sft", tmp_path / "a.yaml").err


def test_the_value_of_a_switch_may_follow_it(cli):
    flags = ["--model", "m", "--data", "d", "--out", "o", "--print-config"]
    assert "fit_head: true " in cli("reward", "--fit_head", "true", *flags).out
    assert "fit_head: false " in cli("reward", "--fit-head", "false", *flags).out


@pytest.mark.parametrize("name", ["response_length", "max_new_tokens", "max_tokens", "max-tokens"])
def test_one_word_for_lengths_and_its_other_names(name, cli, tmp_path):
    places = ["--model", "m", "--data", "d", "--out", "o", "--print-config"]
    assert "response_length: 7  #" in cli("sample", f"--{name}", "7", *places).out
    assert "response_length: 7  #" in cli("sft", f"--{name}", "7", *places).out
    (tmp_path / "a.yaml").write_text(f"{name.replace('-', '_')}: 7\n")
    assert "response_length: 7  #" in cli("sample", tmp_path / "a.yaml", *places).out
    (tmp_path / "a.yaml").write_text("max_tokens: 7\nresponse_length: 8\n")
    assert "the same key: give one" in cli("sample", tmp_path / "a.yaml", *places).err


def test_an_answer_fits_a_small_model_where_nobody_says_its_length(cli, inputs):
    """48 tokens of context: 24 for the answer, and not 256."""
    flags = {"model": inputs["sft"]["model"], "prompt": "cab", "json": "true"}
    (answer,) = json.loads(cli("generate", **flags).out)
    assert len(answer["tokens"]) <= 24
    assert "leaves no room" in cli("generate", **flags, response_length=256).err


def test_words_that_are_not_utf_8(cli):
    said = cli("generate", "--prompt", "caf\udce9").err
    assert said == (
        "instructgpt: word 3 of the command, 'caf\\udce9', is not UTF-8 text; convert it, or "
        "rename the file\n"
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [("WORLD_SIZE", "x"), ("WORLD_SIZE", "0"), ("WORLD_SIZE", "-1"), ("RANK", "a"), ("RANK", "7")],
)
def test_environment_variables_that_are_no_numbers(name, value, cli, inputs, tmp_path, monkeypatch):
    from instructgpt.distributed.world import world

    world.cache_clear()
    others = {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "localhost", "MASTER_PORT": "x"}
    for key, text in {**others, name: value}.items():
        monkeypatch.setenv(key, text)
    result = cli("sft", **inputs["sft"], out=tmp_path / "run")
    world.cache_clear()
    assert result.status == 2
    assert f"{name} is " in result.err
    assert result.err.count("\n") == 1


def test_no_such_device(cli, inputs, tmp_path):
    said = "there is no device 'gpu'; give cpu, cuda, cuda:N or auto\n"
    assert cli("sft", **inputs["sft"], out=tmp_path / "o", device="gpu").err.endswith(said)
    assert cli("generate", model="m", prompt="a", device="gpu").err.endswith(said)
    assert cli("score", model="m", prompt="a", response="b", device="gpu").err.endswith(said)


def test_a_crowd_of_labelers(cli, tmp_path):
    said = cli("label", "simulate", "a.jsonl", labelers=10**9, out=tmp_path / "o").err
    assert "--labelers: input should be less than or equal to 1000 (given: '1000000000')" in said


# ---------------------------------------------------------------- what a terminal is shown


def test_escape_sequences_do_not_reach_a_terminal(cli, inputs, monkeypatch):
    """Into a file the answer goes as it is."""
    from instructgpt.rollout.episode import Completion
    from instructgpt.rollout.policy import SFTModel

    wild = "\x1b]0;title\x07\x9b31m\u202eok"
    answer = Completion(text=wild, tokens=[1], logprobs=[0.0], finished=True)
    monkeypatch.setattr(SFTModel, "generate", lambda *_, **__: [answer])
    flags = {"model": inputs["sft"]["model"], "prompt": "cab"}
    assert cli("generate", **flags).out == f"{wild}\n"
    (row,) = json.loads(cli("generate", "--json", **flags).out)
    assert row["text"] == wild
    shown = r"\u001b]0;title\u0007\u009b31m\u202eok"
    monkeypatch.setattr("instructgpt.run.progress.on_terminal", lambda: True)
    assert cli("generate", **flags).out == f"{shown}\n"
    lines = iter(["cab", "/help", "/nonsense", "/clear", "/quit", "never"])
    monkeypatch.setattr("builtins.input", lambda _: next(lines))
    result = cli("chat", model=flags["model"])
    assert result.out == f"{shown}\n"
    assert result.err.count("/quit or Ctrl-D ends") == 2
    assert "the conversation is forgotten" in result.err


def test_escape_sequences_in_data_do_not_reach_the_errors(cli, inputs, tmp_path):
    row = {"\x1b[2Jkey": 1, "prompt": 3}
    data = write_rows(tmp_path / "a\x1b[31m.jsonl", [row])
    said = cli("sft", **inputs["sft"] | {"data": data, "out": tmp_path / "run"}).err
    assert said.count("\n") == 1
    assert "\x1b" not in said
    assert r"a\u001b[31m.jsonl line 1" in said


def test_a_closed_input_ends_a_chat(cli, inputs, monkeypatch):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("builtins.input", interrupted)
    assert cli("chat", inputs["sft"]["model"]) == (0, "", "")


# ---------------------------------------------------------------- help, completion


@pytest.mark.parametrize("words", COMMANDS, ids=IDS)
def test_help_fits_80_columns_and_ends_with_an_example(words, cli, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    out = cli(*words, "-h").out
    assert max(map(len, out.splitlines())) <= 80
    if command := program.COMMANDS.get(" ".join(words)):
        example = command.example
        assert example.splitlines()[-1].strip() == out.splitlines()[-1].strip()
        text = re.sub(r"\s+", " ", example.replace("\\\n", " "))
        name, *rest = [word.strip("'") for word in text.split()]
        assert (name, rest[: len(words)]) == ("instructgpt", words)


@pytest.mark.parametrize("stage", ["sft", "reward", "ppo", "sample"])
def test_help_begins_with_what_is_needed(stage, cli):
    out = cli(stage, "-h").out
    headings = re.findall(r"╭─ ([A-Z][\w, ]+) ─", out)
    assert headings[:2] == ["Arguments", "Needed"]
    assert {"What it reads", "How long, how much", "Hardware", "The run"} <= set(headings)
    assert headings.index("How long, how much") < headings.index("Hardware")
    needed = out.partition("─ Needed ─")[2].partition("╰")[0]
    assert "--out FOLDER" in needed
    assert "--seed INT" in out
    assert "[required]" not in out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell):
    script = app.generate_completion(prog_name="instructgpt", shell=shell)
    for word in ("ppo", "reward_model", "response_length", "simulate"):
        assert word in script, word


def test_ctrl_c_outside_training_is_said(monkeypatch, capsys, tmp_path):
    def pressed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("instructgpt.report.write_report", pressed)
    with pytest.raises(SystemExit) as ended:
        main(["report", str(tmp_path)])
    assert ended.value.code == 130
    assert capsys.readouterr().err == "instructgpt: stopped\n"
