"""Chat templates on the command line: what they refuse is named by file and line, in every command,
and the template of training is the one that later commands use.
"""

import json

import pytest

from instructgpt.reward.model import RewardModel
from instructgpt.rollout.policy import SFTModel
from tests.files import write_rows
from tests.templates import talker
from tests.tiny import tiny_model

USER = {"role": "user", "content": "Hi"}
SYSTEM = [{"role": "system", "content": "Be brief."}, USER]
ANSWERS = {"responses": [{"text": "a"}, {"text": "b"}], "ranks": [1, 2]}
SHORT = {"max_new_tokens": 4}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A policy and a judge with Gemma's template, and records of which the second has a system's
    turn, which that template refuses.
    """
    folder = tmp_path_factory.mktemp("gemma")
    tokenizer = talker("gemma")
    policy = SFTModel(tiny_model(vocab_size=len(tokenizer)), tokenizer)
    prompts = [[USER], SYSTEM, "Bye"]
    return {
        "model": str(policy.save(folder / "policy")),
        "judge": str(RewardModel(policy).save(folder / "judge")),
        "prompts": write_rows(folder / "prompts.jsonl", [{"prompt": p} for p in prompts]),
        "answers": write_rows(
            folder / "answers.jsonl", [{"prompt": p, "response": "x"} for p in prompts]
        ),
        "rankings": write_rows(
            folder / "rankings.jsonl", [{"prompt": p, **ANSWERS} for p in prompts]
        ),
    }


def commands(files, out):
    """Each command that reads prompts, with a run of a fraction of a second."""
    model, judge = files["model"], files["judge"]
    prompts, answers, rankings = files["prompts"], files["answers"], files["rankings"]
    sampled = {
        "total_episodes": 2,
        "batch_size": 2,
        "num_mini_batches": 1,
        "ptx_coef": 0,
        "warmup": 0,
    }
    compared = {"data": prompts, "judge": judge, "out": out, **SHORT}
    stage = {"threads": 1, "out": out}
    return {
        "sft": (["sft"], {"model": model, "data": answers, "batch_size": 2, **stage}),
        "reward": (["reward"], {"model": model, "data": rankings, **stage}),
        "ppo": (
            ["ppo"],
            {"model": model, "reward_model": judge, "data": prompts, **sampled, **stage}
            | {"response_length": 4},
        ),
        "sample": (["sample"], {"model": model, "data": prompts, "k": 2, "out": out, **SHORT}),
        "generate": (["generate"], {"model": model, "data": prompts, **SHORT}),
        "score": (["score"], {"model": judge, "data": answers}),
        "compare": (["eval", "compare", model, model], compared),
    }


@pytest.mark.parametrize("name", ["sft", "reward", "ppo", "sample", "generate", "score", "compare"])
def test_a_conversation_that_a_template_refuses(name, files, cli, tmp_path):
    words, flags = commands(files, tmp_path / "run")[name]
    result = cli(*words, **flags)
    assert (result.status, result.out) == (2, "")
    (line,) = result.err.splitlines()
    assert ".jsonl line 2: " in line
    assert "the chat template refuses the conversation (System role not supported); " in line
    assert line.endswith(", or pass --on_error skip")
    result = cli(*words, "--on_error", "skip", **flags)
    assert result.status == 0, result.err
    assert "skipped: " in result.err
    assert "line 2" in result.err


def test_chat_says_what_the_template_refuses_and_goes_on(files, cli, monkeypatch):
    """With one line a turn roles alternate, so a line is refused for what it spells out alone."""
    tokenizer = talker("{% for m in messages %}{{ m.content | upper }}{% endfor %}")
    policy = SFTModel(tiny_model(vocab_size=len(tokenizer)), tokenizer)
    path = policy.save(files["model"] + "-upper")
    lines = iter(["a<|im_end|>b", "ok", ""])
    monkeypatch.setattr("builtins.input", lambda _: next(lines))
    result = cli("chat", model=path, **SHORT)
    assert result.status == 0
    assert "spells out the control token '<|im_end|>'" in result.err
    assert len(result.err.splitlines()) == 1


def test_a_broken_template_names_the_model(files, cli, tmp_path):
    policy = SFTModel(files["model"])
    policy.tokenizer.chat_template = "{{ messages }"
    path = policy.save(tmp_path / "broken")
    flags = {"model": path, "prompt": "Hi", **SHORT}
    result = cli("generate", **flags)
    assert result.status == 2
    (line,) = result.err.splitlines()
    assert line.startswith(f"instructgpt: {path}: the chat template is broken (")
    assert cli("generate", template="plain", **flags).status == 0  # the remedy


def test_candidates_say_at_which_token_they_ended(files, cli, tmp_path):
    """Of a policy with many ends, in the queue for the labelers, where cut answers say nothing."""
    policy = SFTModel(files["model"])
    policy.model.generation_config.eos_token_id = list(range(100))
    path = policy.save(tmp_path / "policy")
    flags = {"data": files["answers"], "template": "plain", "max_new_tokens": 3}
    assert cli("sample", model=path, k=8, out=tmp_path / "run", **flags).status == 0
    rows = (tmp_path / "run" / "candidates.jsonl").read_text().splitlines()
    answers = [answer for row in rows for answer in json.loads(row)["responses"]]
    ends = SFTModel(path).text.ends
    for sampling in (answer["sampling"] for answer in answers):
        assert sampling["finished"] == ("ended_by" in sampling)
        if sampling["finished"]:
            assert policy.tokenizer.convert_tokens_to_ids(sampling["ended_by"]) in ends
    assert {answer["sampling"]["finished"] for answer in answers} == {True, False}
    assert len({answer["sampling"].get("ended_by") for answer in answers}) > 3


def test_the_stages_hand_on_template_and_ends(files, cli, tmp_path):
    """A chain of stages under chat, and one under plain: each uses what the last was trained with,
    and every answer that ended says where.
    """
    for template in ("chat", "plain"):
        folder = tmp_path / template
        words, flags = commands(files, folder / "sft")["sft"]
        result = cli(*words, "--on_error", "skip", template=template, **flags)
        assert result.status == 0, result.err
        assert ("was trained with" in result.err) == (template == "plain")
        model = folder / "sft" / "model"
        config = json.loads((model / "config.json").read_text())
        assert config["prompt_template"] == template
        end = "<end_of_turn>" if template == "chat" else "<|endoftext|>"
        policy = SFTModel(model)
        assert policy.text.template == template
        assert policy.tokenizer.convert_ids_to_tokens(policy.text.response("x")[-1]) == end
        flags = {"model": model, "data": files["rankings"], "on_error": "skip", "threads": 1}
        result = cli("reward", out=folder / "reward", **flags)
        assert "was trained with" not in result.err
        judge = RewardModel(folder / "reward" / "model")
        assert judge.text.template == template
