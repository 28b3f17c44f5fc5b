"""Whatever cannot be used is found before a weight is loaded, and before anything is written."""

import pytest
import yaml

from instructgpt.errors import UserError
from instructgpt.evaluation.config import CompareConfig
from instructgpt.label.simulated.config import LabelConfig
from instructgpt.label.simulated.stage import simulate_labels
from instructgpt.models import scorer as scorers
from instructgpt.models.config import InitConfig
from instructgpt.models.init import init
from instructgpt.models.scorer import Scorer
from instructgpt.pipeline import pipeline as module
from instructgpt.pipeline.config import RankConfig, SampleConfig
from instructgpt.pipeline.evaluate import evaluate
from instructgpt.pipeline.pipeline import run_pipeline
from instructgpt.pipeline.rank import rank_candidates
from instructgpt.pipeline.sample import sample
from instructgpt.ppo import inputs as ppo_inputs
from instructgpt.reward import inputs as reward_inputs
from instructgpt.rollout import policy as policies
from instructgpt.run.outline import time_left
from instructgpt.sft import inputs as sft_inputs
from tests.files import sentence, write_rows
from tests.small_runs import STAGES, one_backend, run_stage, write_inputs

LONG = "a" * 60
"""More than the 48 tokens that every model here reads."""


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """Every stage's configuration without `out`, and its entry."""
    folder = tmp_path_factory.mktemp("looking")
    stages = {name: (STAGES[name][:2], values) for name, values in write_inputs(folder).items()}
    (model, prompts) = (stages["ppo"][1][key] for key in ("model", "data"))
    judge, prose = stages["ppo"][1]["reward_model"], stages["ppo"][1]["pretrain_data"]
    answers = write_rows(
        folder / "answers.jsonl", [{"prompt": "cab", "responses": [{"text": "a"}, {"text": "b"}]}]
    )
    asking = {"data": prompts, "max_new_tokens": 6}
    compared = {"a": model, "b": model, "base": model, "others": model, "judge": judge}
    rankings = stages["reward"][1]["data"]
    stages |= {
        "sample": ((SampleConfig, sample), {"model": model, **asking}),
        "evaluate": ((CompareConfig, evaluate), {**compared, **asking, "prose": prose}),
        "label": ((LabelConfig, simulate_labels), {"data": answers}),
        "rank": ((RankConfig, rank_candidates), {"data": answers, "rankings": rankings}),
        "init": ((InitConfig, init), {"preset": "gpt3-tiny", "tokenizer_data": prose}),
    }
    return stages


LOADERS = ((policies, "load_policy"), (scorers, "load_scorer"))


@pytest.fixture
def refused(given, tmp_path, monkeypatch):
    """Runs a stage that must be refused before it holds a weight, and returns the sentence."""
    for owner, name in LOADERS:
        monkeypatch.setattr(owner, name, lambda *_, **__: pytest.fail("weights were loaded"))

    def run(stage, **values):
        (config, start), settings = given[stage]
        out = tmp_path / "run"
        with pytest.raises(UserError) as raised:
            start(config(**{**settings, **values, "out": str(out)}))
        assert [path.name for path in out.iterdir()] == [".lock"]
        return sentence(raised)

    return run


def load(*_, **__):
    raise RuntimeError("weights were loaded")


@pytest.mark.parametrize("stage", ["sft", "reward", "ppo", "sample", "evaluate"])
def test_policies_are_loaded_where_the_refusals_watch(stage, given, tmp_path, patched):
    patched(*LOADERS[0], load)
    (config, start), settings = given[stage]
    with pytest.raises(RuntimeError, match="weights were loaded"):
        start(config(**settings | {"out": str(tmp_path / "run")}))


def test_scorers_are_loaded_where_the_refusals_watch(given, patched):
    patched(*LOADERS[1], load)
    with pytest.raises(RuntimeError, match="weights were loaded"):
        Scorer(given["evaluate"][1]["judge"])


FILES = [
    ("sft", "data"),
    ("sft", "eval_data"),
    ("sft", "pretrain_data"),
    ("sft", "eval_pretrain_data"),
    ("reward", "data"),
    ("reward", "demonstrations"),
    ("ppo", "data"),
    ("ppo", "eval_data"),
    ("ppo", "pretrain_data"),
    ("sample", "data"),
    ("evaluate", "data"),
    ("evaluate", "prose"),
    ("label", "data"),
    ("rank", "data"),
    ("rank", "rankings"),
    ("init", "tokenizer_data"),
]
MODELS = [
    ("sft", "model"),
    ("sft", "reward_model"),
    ("reward", "model"),
    ("ppo", "model"),
    ("ppo", "reward_model"),
    ("ppo", "critic"),
    ("sample", "model"),
    ("evaluate", "a"),
    ("evaluate", "b"),
    ("evaluate", "base"),
    ("evaluate", "others"),
    ("evaluate", "judge"),
    ("init", "tokenizer"),
]


@pytest.mark.parametrize(("stage", "key"), FILES)
def test_a_file_that_is_missing_or_broken(stage, key, refused, tmp_path):
    nowhere = tmp_path / "nowhere.jsonl"
    said = refused(stage, **{key: str(nowhere)})
    assert said == f"{key}: {nowhere} does not exist; check the path"
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"prompt": \n')
    said = refused(stage, **{key: str(broken)})
    assert said.startswith(f"{key}: {broken} line 1: not valid JSON")


@pytest.mark.parametrize(("stage", "key"), MODELS)
def test_a_model_that_is_not_there(stage, key, refused, tmp_path):
    nowhere = str(tmp_path / "nowhere")
    assert refused(stage, **{key: nowhere}).startswith(f"{key}: {nowhere}: ")


OF_EITHER_KIND = {("reward", "model"), ("init", "tokenizer")}


@pytest.mark.parametrize(
    ("stage", "key"), [place for place in MODELS if place not in OF_EITHER_KIND]
)
def test_a_model_of_the_other_kind(stage, key, refused, given):
    other = {"policy": given["ppo"][1]["reward_model"], "scorer": given["ppo"][1]["model"]}
    kind = "scorer" if key in {"reward_model", "critic", "judge"} else "policy"
    said = refused(stage, **{key: other[kind]})
    assert said.startswith(f"{key}: {other[kind]} is a ")


@pytest.mark.parametrize(
    ("stage", "key"),
    [("ppo", "data"), ("ppo", "eval_data"), ("sample", "data"), ("evaluate", "data")],
)
def test_an_over_long_prompt_is_named_by_file_and_line(stage, key, refused, tmp_path):
    rows = [*({"prompt": "bad"} for _ in range(40)), {"prompt": LONG}, {"prompt": "cab"}]
    long = write_rows(tmp_path / "long.jsonl", rows)
    said = refused(stage, **{key: long})
    assert f"{key}: {long} line 41: the prompt has 60 tokens, more than the 42 " in said
    assert "--on_error skip" in said


@pytest.mark.parametrize(
    ("stage", "key", "row"),
    [
        ("sft", "data", {"response": "a"}),
        ("sft", "eval_data", {"response": "a"}),
        ("reward", "data", {"responses": [{"text": "a"}, {"text": "b"}], "ranks": [1, 2]}),
        ("reward", "demonstrations", {"response": "a"}),
    ],
)
def test_an_over_long_record_is_named_by_file_and_line(stage, key, row, refused, tmp_path):
    rows = [{"prompt": text, **row} for text in ("bad", "cab", LONG)]
    long = write_rows(tmp_path / "long.jsonl", rows)
    said = refused(stage, **{key: long})
    assert said.startswith(f"{key}: {long} line 3: ")
    assert "62 tokens, more than the 48 that fit" in said  # a letter and the end besides
    assert "--on_long skip" in said


def test_values_that_do_not_go_with_the_data(refused, tmp_path):
    assert "no prompt with split 'dev'" in refused("ppo", split="dev")
    said = refused("reward", eval_fraction=0, eval_split="dev")
    assert "no rankings have the split 'dev'" in said
    said = refused("ppo", response_length=48)
    assert "response_length 48 leaves no room for a prompt" in said
    one = write_rows(tmp_path / "one.jsonl", [{"prompt": "cab", "responses": [{"text": "a"}]}])
    assert f"data: {one} line 1: prompt" in refused("label", data=one)


# ---------------------------------------------------------------- dry runs


def test_what_a_dry_run_says_is_what_the_run_does(given, tmp_path):
    """Counted by hand from the letters; a prompt has as many tokens, an answer one more."""
    with one_backend():
        for stage, look in (
            ("sft", sft_inputs.look),
            ("reward", reward_inputs.look),
            ("ppo", ppo_inputs.look),
        ):
            (config, _), settings = given[stage]
            found = look(config(**settings, out=str(tmp_path / stage)))
            rows = dict(found.outline())
            run = run_stage(stage, settings, tmp_path / stage)
            assert len(run.metrics) == found.steps
            if stage == "sft":
                # 5 prompts of 3 + 1 + 7 + 3 + 6 letters, answers of 3 + 3 + 0 + 4 + 3 and 5 ends
                assert rows["data"] == "5 demonstrations, 38 tokens, the longest 10"
                assert rows["steps"] == "6, 3 an epoch"  # batches of 2 and a window, two epochs
                # twice the 18 tokens of the answers; six windows of 8 teach 7 each
                assert rows["tokens"] == "78 to be learnt"
                assert sum(row["sft/tokens"] for row in run.metrics) == 78
            if stage == "ppo":
                assert rows["data"] == "5 prompts, 20 tokens, the longest 7"
                assert rows["steps"] == "16: 2 iterations of 8"
                assert rows["episodes"] == "16 of at most 6 tokens"


def test_the_tokens_of_a_run_that_stops_in_an_epoch(given, tmp_path):
    """As many as its batches hold, walked one by one."""
    (config, _), settings = given["sft"]
    for steps in (1, 2, 4, 5):
        settings = {**settings, "max_steps": steps, "out": str(tmp_path)}
        batches = sft_inputs.look(config(**settings)).batches
        said = batches.total_tokens
        walked = sum(len(example.response) for _ in range(steps) for example in batches.next())
        assert said == walked


def test_the_time_is_told_from_the_runs_own_pace(tmp_path):
    assert time_left(tmp_path, 100) == ""
    rows = [{"step": step, "timing/train": 40.0, "timing/rollout": 20.0} for step in (1, 2)]
    write_rows(tmp_path / "timings.jsonl", rows)
    assert time_left(tmp_path, 55) == "53 min for the 53 steps left"


# ---------------------------------------------------------------- pipelines


@pytest.fixture
def whole(given, tmp_path):
    """A pipeline's configuration, from a model on the disk to an evaluation."""
    sft, reward, ppo = ({**given[name][1]} for name in ("sft", "reward", "ppo"))
    for settings, wired in ((reward, ("model", "data")), (ppo, ("model", "reward_model"))):
        for key in wired:
            settings.pop(key)
    data = ppo["data"]
    return {
        "common": {"threads": 1},
        "sft": sft,
        "sample": {"data": data, "k": 2, "max_new_tokens": 6},
        "rank": {"by": "simulated"},
        "reward": reward,
        "ppo": ppo,
        "evaluate": {
            "data": data,
            "max_new_tokens": 6,
            "judge": "rule",
            "prose": ppo["pretrain_data"],
        },
    }


@pytest.fixture
def ahead(whole, tmp_path, monkeypatch):
    """Runs a pipeline that must be refused before its first stage, and returns the sentence."""
    monkeypatch.setattr(module.Stage, "run", lambda *_: pytest.fail("a stage ran"))

    def run(**changes):
        config = {name: {**values, **changes.get(name, {})} for name, values in whole.items()}
        file = tmp_path / "whole.yaml"
        file.write_text(yaml.safe_dump(config))
        with pytest.raises(UserError) as raised:
            run_pipeline(tmp_path / "out", files=[file])
        assert not (tmp_path / "out").exists()
        return sentence(raised)

    return run


def test_a_pipeline_finds_what_its_last_stages_need_before_the_first(ahead, given, tmp_path):
    judge, policy = given["ppo"][1]["reward_model"], given["ppo"][1]["model"]
    long = write_rows(tmp_path / "long.jsonl", [{"prompt": "a"}, {"prompt": LONG}])
    nowhere = str(tmp_path / "nowhere.jsonl")
    for stage, key in (("reward", "demonstrations"), ("ppo", "eval_data"), ("evaluate", "prose")):
        assert ahead(**{stage: {key: nowhere}}).startswith(f"{stage}: {key}: {nowhere} does not")
    said = ahead(rank={"by": "people", "rankings": nowhere})
    assert said.startswith(f"rank: rankings: {nowhere} does not exist")
    assert ahead(evaluate={"judge": policy}).startswith(f"evaluate: judge: {policy} is a policy")
    assert ahead(sft={"reward_model": policy}).startswith(f"sft: reward_model: {policy} is a")
    assert ahead(ppo={"critic": policy}).startswith(f"ppo: critic: {policy} is a policy")
    for stage in ("sample", "ppo", "evaluate"):
        said = ahead(**{stage: {"data": long}})
        assert said.startswith(f"{stage}: data: {long} line 2: the prompt has 60 tokens")
    assert "evaluate: data: no prompt with split 'dev'" in ahead(evaluate={"split": "dev"})
    said = ahead(reward={"eval_fraction": 0, "eval_split": "heldout"})
    assert said.startswith("reward: eval_split: 'heldout' leaves one side empty")
    assert ahead(evaluate={"judge": judge, "base": judge}).startswith(
        f"evaluate: base: {judge} is a reward model"
    )


def test_a_missing_matplotlib_is_found_before_the_first_stage(ahead, monkeypatch):
    def missing():
        raise UserError("the report draws with matplotlib; pip install 'instructgpt[report]'")

    monkeypatch.setattr(module, "require_matplotlib", missing)
    assert "instructgpt[report]" in ahead()


def test_a_dry_run_of_a_pipeline_writes_nothing(whole, tmp_path, capsys):
    file = tmp_path / "whole.yaml"
    file.write_text(yaml.safe_dump(whole))
    before = sorted(tmp_path.rglob("*"))
    run_pipeline(tmp_path / "out", files=[file], show="plan")
    said = capsys.readouterr().out
    blocks = said.split("\n\n")
    assert [block.split(" -> ")[0] for block in blocks] == [
        *("sft", "sample", "rank", "reward", "ppo", "evaluate")
    ]
    assert "answers  10 of at most 6 tokens" in blocks[1]  # 5 prompts, two answers each
    assert "data  the answers to 5 prompts" in blocks[2]
    assert sorted(tmp_path.rglob("*")) == before


def test_a_pipelines_printed_configuration_is_taken_back(whole, tmp_path, capsys):
    file, again = tmp_path / "whole.yaml", tmp_path / "again.yaml"
    file.write_text(yaml.safe_dump(whole))
    run_pipeline(tmp_path / "out", files=[file], flags={"ppo.seed": 3}, show="config")
    first = capsys.readouterr().out
    assert "  seed: 3  # --ppo.seed" in first
    assert f"  # model: {tmp_path}/out/01-sft/model  # pipeline" in first
    again.write_text(first)
    run_pipeline(tmp_path / "elsewhere", files=[again], show="config")
    second = capsys.readouterr().out
    assert yaml.safe_load(second) == yaml.safe_load(first)
    assert sorted(tmp_path.iterdir()) == [again, file]
