"""A user's mistake: exit status 2, one line that names the place and the remedy, nothing harmed."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from instructgpt.distributed.world import world
from tests.files import write_rows

COMMANDS = ("sft", "reward", "ppo")


@pytest.fixture
def refused(cli, inputs, tmp_path):
    """Runs a command that must be refused without harm, and returns what it says."""

    def run(stage, *arguments, **values):
        flags = (
            (inputs.get(stage, {}) | {"out": tmp_path / "run", "threads": 1})
            if stage in COMMANDS
            else {}
        )
        folder = Path(inputs["sft"]["model"]).parent
        before = contents(folder) | results(tmp_path)
        result = cli(stage, *arguments, **{**flags, **values})
        assert (result.status, result.out) == (2, ""), result
        assert "Traceback" not in result.err
        line, *more = result.err.splitlines()
        assert more == []
        assert line.startswith("instructgpt: ")
        assert contents(folder) | results(tmp_path) == before
        return line.removeprefix("instructgpt: ")

    return run


def results(folder):
    """All files but those with which a run begins."""
    begun = {str(folder / "run" / name) for name in (".lock", "config.yaml", "run.json")}
    return {path: content for path, content in contents(folder).items() if path not in begun}


def contents(folder):
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def write(tmp_path):
    def write(text, name="bad.jsonl"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


# ---------------------------------------------------------------- data


@pytest.mark.parametrize("stage", COMMANDS)
def test_an_empty_file(stage, refused, write):
    for text in ("", "\n\n"):
        assert "bad.jsonl is empty" in refused(stage, data=write(text))


@pytest.mark.parametrize("stage", COMMANDS)
def test_a_missing_file(stage, refused, tmp_path):
    said = refused(stage, data=tmp_path / "nowhere.jsonl")
    assert said == f"data: {tmp_path}/nowhere.jsonl does not exist; check the path"


@pytest.mark.parametrize(
    ("stage", "row"),
    [
        ("sft", {"prompt": "a", "response": "b"}),
        ("reward", {"prompt": "a", "responses": [{"text": "b"}, {"text": "c"}], "ranks": [1, 2]}),
        ("ppo", {"prompt": "a"}),
    ],
)
def test_broken_json_in_line_7(stage, row, refused, write):
    lines = [json.dumps(row)] * 9
    lines[6] = lines[6][:-1]
    said = refused(stage, data=write("\n".join(lines)))
    assert re.search(r"bad\.jsonl line 7: not valid JSON \(.* at column \d+\); mend", said)
    assert "--on_error skip" in said


@pytest.mark.parametrize(
    ("ranking", "complaint"),
    [
        ({"responses": [{"text": "b"}], "ranks": [1]}, "at least 2 responses, this one has 1"),
        ({"responses": [{"text": "b"}, {"text": "c"}], "ranks": [1]}, "2 responses but 1 ranks"),
        ({"responses": [{"text": "b"}, {"text": "c"}], "ranks": [0, 1]}, "ranks start at 1"),
        ({"responses": [{"text": "b"}, {"text": 3}], "ranks": [1, 2]}, "text"),
        ({"responses": [{"text": "b"}, {"text": "c"}]}, "ranks"),
    ],
)
def test_a_ranking_that_is_none(ranking, complaint, refused, tmp_path):
    good = {"prompt": "a", "responses": [{"text": "b"}, {"text": "c"}], "ranks": [1, 2]}
    said = refused(
        "reward", data=write_rows(tmp_path / "bad.jsonl", [good, {"prompt": "a", **ranking}])
    )
    assert "bad.jsonl line 2" in said
    assert complaint in said


def test_nothing_but_ties(refused, tmp_path):
    row = {"prompt": "a", "responses": [{"text": "b"}, {"text": "c"}], "ranks": [1, 1]}
    said = refused("reward", data=write_rows(tmp_path / "bad.jsonl", [row]), eval_fraction=0)
    assert "all answers of every prompt are tied" in said
    assert "--ties half" in said


@pytest.mark.parametrize(
    ("stage", "row", "remedy"),
    [
        ("sft", {"prompt": "a" * 60, "response": "b"}, "--on_long skip"),
        ("ppo", {"prompt": "a" * 60}, "--on_error skip"),
        (
            "reward",
            {"prompt": "a" * 60, "responses": [{"text": "b"}, {"text": "c"}], "ranks": [1, 2]},
            "--on_long skip",
        ),
    ],
)
def test_a_prompt_longer_than_the_context_stops_or_is_skipped(
    stage, row, remedy, refused, cli, inputs, tmp_path
):
    """The remedy that is named works, in the same directory."""
    good = [json.loads(line) for line in Path(inputs[stage]["data"]).read_text().splitlines()]
    data = write_rows(tmp_path / "long.jsonl", [*good, row])
    said = refused(stage, data=data)
    assert "more than the 4" in said  # 48 tokens of context
    assert remedy in said
    flags = inputs[stage] | {"data": data, "out": tmp_path / "run", "threads": 1}
    result = cli(stage, *remedy.split(), **flags)
    assert result.status == 0
    assert result.err.startswith("skipped: ")


def test_broken_pretraining_text(refused, write, tmp_path):
    assert "bad.jsonl line 2: not valid JSON" in refused(
        "sft", pretrain_data=write('{"text": "abc"}\n{"text": \n')
    )
    (tmp_path / "bad.txt").write_bytes(b"caf\xe9 au lait")
    assert "bad.txt is not UTF-8 text" in refused("ppo", pretrain_data=tmp_path / "bad.txt")
    assert "bad.txt is empty" in refused("ppo", pretrain_data=write("", "bad.txt"))


@pytest.mark.parametrize("stage", ["sft", "ppo"])
def test_a_bad_pretraining_line_is_skipped_where_it_is_asked_for(stage, cli, inputs, write):
    """The remedy that is named works."""
    prose = write('{"text": "abcdefgabbaccaddagaffe"}\n{"text": 3}\n')
    flags = inputs[stage] | {"pretrain_data": prose, "out": prose.parent / "run", "threads": 1}
    said = cli(stage, **flags).err
    assert f"{prose} line 2: found the keys text, but a document needs" in said
    assert said.strip().endswith("; mend or remove the line, or pass --on_error skip")
    result = cli(stage, "--on_error", "skip", "--dry-run", **flags)
    assert result.status == 0
    assert result.err.startswith(f"skipped: {prose} line 2: ")


def test_skipping_is_offered_only_where_there_is_such_a_flag(cli, write):
    """`init` reads its text whole."""
    prose = write('{"text": 3}\n')
    said = cli("init", preset="gpt3-tiny", tokenizer_data=prose, out=prose.parent / "run").err
    assert said.strip().endswith("; mend or remove the line")


def test_no_prompt_of_the_split(refused):
    assert "no prompt with split 'heldout'" in refused("ppo", split="heldout")


# ---------------------------------------------------------------- models


@pytest.fixture
def model(inputs, tmp_path):
    """A copy of the policy, to be damaged."""
    return Path(shutil.copytree(inputs["sft"]["model"], tmp_path / "model"))


def test_nan_in_the_weights(refused, model):
    weights = load_file(model / "model.safetensors")
    name = sorted(weights)[-1]
    weights[name].view(-1)[0] = torch.nan
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    for stage in COMMANDS:
        said = refused(stage, model=model)
        assert f"{model}: the weight '{name}' is not finite" in said


def test_weights_cut_short(refused, model):
    content = (model / "model.safetensors").read_bytes()
    (model / "model.safetensors").write_bytes(content[: len(content) // 2])
    assert f"{model}: the weights cannot be read" in refused("sft", model=model)


def test_a_model_without_tokenizer(refused, model):
    for file in model.glob("tokenizer*"):
        file.unlink()
    said = refused("sft", model=model)
    assert said.startswith(f"model: {model} has no tokenizer")
    assert "copy the model's tokenizer files into it" in said


def test_no_model_there(refused, tmp_path):
    for stage in COMMANDS:
        assert f"{tmp_path}/none: no model there" in refused(stage, model=tmp_path / "none")
    assert "no model there" in refused("ppo", reward_model=tmp_path / "none")


def test_a_reward_model_as_policy_and_the_other_way_round(refused, inputs):
    policy, judge = inputs["ppo"]["model"], inputs["ppo"]["reward_model"]
    assert refused("sft", model=judge).startswith(
        f"model: {judge} is a reward model, not a policy;"
    )
    assert refused("ppo", model=judge).startswith(
        f"model: {judge} is a reward model, not a policy;"
    )
    said = refused("ppo", reward_model=policy)
    complaint = f"{policy} is a policy, not a reward model; train one with `instructgpt reward`"
    assert said == f"reward_model: {complaint}"
    assert "is a policy, not a reward model" in refused(
        "score", model=policy, prompt="a", response="b"
    )
    assert "is a reward model, not a policy" in refused("generate", model=judge, prompt="a")


# ---------------------------------------------------------------- configuration


@pytest.mark.parametrize("stage", COMMANDS)
def test_an_unknown_key(stage, refused, write):
    file = write("lerning_rate: 1\n", "bad.yaml")
    assert (
        refused(stage, file)
        == f"{file}: unknown key 'lerning_rate' (did you mean 'learning_rate'?)"
    )
    said = refused(stage, lerning_rate=1)
    assert "--lerning_rate" in said
    assert "--learning_rate" in said


def test_a_wrong_type(refused, write):
    file = write("epochs: three\n", "bad.yaml")
    said = refused("sft", file, epochs="null")
    assert said == "--epochs: input should be a valid integer (given: None)"
    said = refused("sft", write("dropout: much\n", "bad.yaml"), dropout="much")
    assert said.startswith("--dropout: input should be a valid number")
    assert said.endswith("(given: 'much')")


def test_a_wrong_type_in_a_file(cli, write, tmp_path):
    file = write(f"model: m\ndata: d\nout: {tmp_path}/run\nepochs: three\n", "bad.yaml")
    result = cli("sft", file)
    assert result.status == 2
    said = result.err.removeprefix("instructgpt: ").strip()
    assert said.startswith(f"{file}: epochs: input should be a valid integer")
    assert said.endswith("(given: 'three')")
    assert not (tmp_path / "run").exists()


def test_yaml_that_is_none(refused, write):
    file = write("epochs: 3\n  seed: 4\n", "bad.yaml")
    assert refused("sft", file).startswith(f"{file} line 2: ")
    assert "no such file" in refused("sft", "nowhere.yaml")


def test_unknown_names(refused, write, tmp_path):
    assert "no preset 'papier-6b' (did you mean 'paper-6b'?)" in refused("sft", preset="papier-6b")
    sections = write("sfft: {epochs: 1}\nppo: {seed: 1}\n", "bad.yaml")
    assert "unknown key 'sfft' beside the sections ppo (did you mean 'sft'?)" in refused(
        "ppo", sections
    )
    assert "has no section 'sft:', only ppo" in refused(
        "sft", write("ppo: {seed: 1}\n", "bad.yaml")
    )
    said = refused("sfft")
    assert "sfft" in said
    assert "sft" in said.replace("sfft", "")
    said = refused("pipeline", write("sfft: {seed: 1}\n", "bad.yaml"), out=tmp_path / "p")
    assert "bad.yaml: unknown section 'sfft' (did you mean 'sft'?)" in said


def test_values_that_exclude_each_other(refused):
    said = refused("ppo", batch_size=10)
    assert said == "batch_size 10 is not divisible by num_mini_batches 4: change one"
    assert "less than one batch of 8" in refused("ppo", total_episodes=4)


def test_pretraining_text_is_asked_for(cli, inputs):
    flags = {key: inputs["ppo"][key] for key in ("model", "reward_model", "data")}
    assert "or set ptx_coef 0 for plain PPO" in cli("ppo", **flags, out="run").err


def test_what_is_missing(cli, tmp_path):
    for stage in COMMANDS:
        result = cli(stage)
        assert result.status == 2
        assert re.fullmatch(
            rf"instructgpt: {stage} needs '\w+': give --\w+ or put .*\n", result.err
        )
    assert "generate needs a prompt" in cli("generate", model="m").err
    assert "score needs --prompt" in cli("score", model="m").err
    assert "report needs a run" in cli("report").err
    assert "pipeline needs 'out'" in cli("pipeline").err
    out = tmp_path / "compare"
    assert "nobody judges" in cli("eval", "compare", "a", "b", data="shipped:prompts", out=out).err


def test_the_pipelines_own_mistakes(refused, write, tmp_path):
    def said(*words):
        return refused("pipeline", *words, out=tmp_path / "p")

    assert "a pipeline needs a section sft, reward or ppo" in said(
        write("init: {seed: 1}\n", "a.yaml")
    )
    assert "--epochs: no such flag" in said("--epochs", 3)
    assert "--sft.epochs is given twice" in said("--sft.epochs", 3, "--sft.epochs", 4)
    assert "--sft.epochs: input should be" in said("--preset", "tiny", "--sft.epochs", "many")
    assert "unknown key 'epohcs'" in said("--preset", "tiny", "--sft.epohcs", "3")
    typo = write("common: {templat: x}\nsft: {data: d}\n", "a.yaml")
    assert f"{typo}: unknown key 'templat' in common (did you mean 'template'?)" in said(typo)
    assert "no such file" in said("nowhere.yaml")


# ---------------------------------------------------------------- runs


def test_a_run_is_not_mixed_with_another(cli, refused, inputs, tmp_path):
    flags = inputs["sft"] | {"out": tmp_path / "run", "threads": 1}
    assert cli("sft", **flags).status == 0
    before = contents(tmp_path)
    said = refused("sft", seed=3, learning_rate=0.1)
    assert "other settings: learning_rate 0.2 -> 0.1 (from --learning_rate), seed 0 -> 3 (" in said
    assert "seed 0 -> 3 (from --seed); choose another --out" in said
    assert "holds a run of 'sft', not of 'ppo'" in refused("ppo")
    assert "--resume is 'never'" in refused("sft", resume="never")
    assert contents(tmp_path) == before


def test_data_that_changed_since_the_run_began(cli, refused, inputs, tmp_path):
    data = tmp_path / "data.jsonl"
    shutil.copy(inputs["sft"]["data"], data)
    flags = inputs["sft"] | {"data": data, "out": tmp_path / "run", "threads": 1}
    assert cli("sft", **flags).status == 0
    info = json.loads((tmp_path / "run" / "run.json").read_text())
    (tmp_path / "run" / "run.json").write_text(json.dumps(info | {"status": "interrupted"}))
    data.write_text(data.read_text() + '{"prompt": "a", "response": "b"}\n')
    said = refused("sft", data=data)
    assert said.startswith(f"{data} (data) has changed since {tmp_path}/run was begun; restore it")


def test_an_output_that_is_a_file(refused, write):
    assert "cannot be written (it is a file, not a folder)" in refused(
        "sft", out=write("here", "run")
    )


def test_several_processes(refused, monkeypatch):
    world.cache_clear()
    monkeypatch.setenv("WORLD_SIZE", "2")  # and nothing else of what torchrun sets
    for stage in COMMANDS:
        assert "WORLD_SIZE is 2, but RANK is not set" in refused(stage)


def test_a_report_of_nothing(refused, tmp_path):
    assert "no run there" in refused("report", tmp_path / "none")


# ---------------------------------------------------------------- as a process


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["sft", "--epohcs", "3"], 2, "--epochs"),
        (["sft", "nowhere.yaml"], 2, "nowhere.yaml: no such file; check the path"),
        (["generate", "--model", "nowhere/at/all", "--prompt", "hi"], 2, "no model there"),
    ],
)
def test_in_a_process_of_its_own(words, status, said, tmp_path):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "instructgpt", *words]
    result = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False
    )
    assert (result.returncode, result.stdout) == (status, "")
    assert result.stderr.startswith("instructgpt: ")
    assert result.stderr.count("\n") == 1
    assert said in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_failure_of_the_program_is_status_1(cli, inputs, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("two\nlines")

    monkeypatch.setattr("instructgpt.sft.trainer.SFTTrainer.train_step", fail)
    flags = inputs["sft"] | {"out": tmp_path / "run", "threads": 1}
    result = cli("sft", **flags)
    assert result.status == 1
    assert result.err.endswith("failed: two lines (set INSTRUCTGPT_TRACEBACK=1 to see where)\n")
