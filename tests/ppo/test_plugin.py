"""A reward of one's own: in the enumerated world, in a run, and when it misbehaves."""

import hashlib
import math
import sys

import pytest
import torch

import instructgpt as ig
from instructgpt.models.parts import trunk
from instructgpt.run.plugin import load_function
from instructgpt.run.streams import read_lines
from tests.ppo.letters import PROMPTS, letter_policy, make_config
from tests.small_runs import differing, killed_after, run_stage, write_inputs

GOOD = """
def brevity(prompts, responses):
    assert len(prompts) == len(responses)
    return [-len(response) / 2 for response in responses]
"""


def fixed(scores):
    return lambda *_: scores


def raising(prompts, responses):
    return prompts[99]


@pytest.mark.parametrize(
    ("reward", "said"),
    [
        (fixed([1.0]), "gave 1 scores for 8 answers; it must give one for each"),
        (fixed([0.0] * 7 + [math.nan]), "gave nan for answer 8"),
        (fixed([math.inf] * 8), "gave inf for answer 1"),
        (fixed(None), "gave None; it must give a list of numbers"),
        (fixed(["a"] * 8), "it must give a list of numbers"),
        (fixed(torch.zeros(8, 2)), "it must give a list of numbers"),
        (raising, "the reward raising failed in "),
        (list, "failed (TypeError: "),
    ],
)
def test_a_reward_that_misbehaves_ends_in_a_sentence(reward, said):
    trainer = ig.PPOTrainer(ig.PPOModel(letter_policy(), reward=reward), make_config())
    with pytest.raises(ig.UserError) as raised:
        trainer.train_step(PROMPTS)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
    assert trainer.step == 0


def test_where_a_reward_failed():
    trainer = ig.PPOTrainer(ig.PPOModel(letter_policy(), reward=raising), make_config())
    line = raising.__code__.co_firstlineno + 1
    with pytest.raises(ig.UserError, match=rf"test_plugin.py line {line} \(IndexError: "):
        trainer.collect(PROMPTS)


@pytest.mark.parametrize("reward", [3, "rewards:brevity", None, object()])
def test_what_is_no_reward_is_refused(reward):
    with pytest.raises(ig.UserError, match="a reward is a RewardModel, a function"):
        ig.PPOModel(letter_policy(), reward=reward)


class Lengths:
    """An object; it is told which answers ended."""

    def __init__(self):
        self.seen = []

    def score(self, prompts, responses, finished):
        self.seen += zip(prompts, responses, finished, strict=True)
        return torch.tensor([float(len(response)) for response in responses])


def test_an_object_is_told_prompts_answers_and_ends():
    policy, reward = letter_policy(), Lengths()
    ppo = ig.PPOModel(policy, reward)
    experience = ig.PPOTrainer(ppo, make_config(missing_eos_penalty=2.0)).collect(PROMPTS)
    texts = [policy.text.decode(response) for response in experience.responses]
    assert reward.seen == list(zip(PROMPTS, texts, experience.finished_B.tolist(), strict=True))
    penalty = 2.0 * ~experience.finished_B
    expected = torch.tensor([len(text) for text in texts]) - penalty
    assert torch.equal(experience.scores_B, expected)


def test_the_value_function_starts_from_the_policy():
    policy = letter_policy()
    critic = ig.PPOModel(policy, fixed([0.0] * 8)).critic
    pairs = zip(trunk(critic.model).parameters(), trunk(policy.model).parameters(), strict=True)
    assert all(torch.equal(one, other) and one is not other for one, other in pairs)
    assert critic.shift == 0


# ---------------------------------------------------------------- module:function


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A directory of its own, in which modules are found."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", sys.path[:])
    return tmp_path


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("nocolon", "", "'nocolon' names no function; write module:function"),
        ("a b:c", "", "names no function"),
        ("nowhere_at_all:f", "", "there is no module 'nowhere_at_all' in "),
        ("plug_a:f", "x = 1", "plug_a:f: plug_a has no 'f'; check its spelling"),
        ("plug_b:f", "import not_there", "importing plug_b fails (ModuleNotFoundError: "),
        ("plug_c:f", "def f(:", "importing plug_c fails (SyntaxError: "),
        ("plug_d:f", "raise SystemExit(3)", "importing plug_d fails (SystemExit: 3)"),
    ],
)
def test_names_that_lead_nowhere(here, name, text, said):
    (here / f"{name.partition(':')[0]}.py").write_text(text) if text else None
    with pytest.raises(ig.UserError) as raised:
        load_function(name)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_class_is_made_and_methods_are_found(here):
    (here / "plug_e.py").write_text(
        "class Judge:\n    def score(self, prompts, responses):\n        return [1.0]\n"
        "judge = Judge()\n"
    )
    assert load_function("plug_e:Judge").score([], []) == [1.0]
    assert load_function("plug_e:judge.score")([], []) == [1.0]


@pytest.fixture
def settings(here):
    values = write_inputs(here)["ppo"]
    del values["reward_model"]
    return values | {"kl_target": None}


def test_a_run_with_a_reward_of_ones_own(here, settings):
    """Its scores, its digest, and a resume to the bit; not with another file."""
    (here / "plug_f.py").write_text(GOOD)
    settings |= {"reward": "plug_f:brevity", "save_every": 3}
    straight = run_stage("ppo", settings, here / "straight")
    shown = read_lines(here / "straight" / "samples.jsonl")
    assert all(row["score"] == -len(row["response"]) / 2 for row in shown)
    [source] = [s for s in straight.info["inputs"] if s["key"] == "reward"]
    assert source["path"] == "plug_f:brevity"
    assert source["digest"] == hashlib.sha256(GOOD.encode()).hexdigest()
    with killed_after(5):
        run_stage("ppo", settings, here / "killed")
    (here / "plug_f.py").write_text(GOOD.replace("/ 2", "/ 3"))
    with pytest.raises(ig.UserError, match=r"plug_f:brevity \(reward\) has changed since"):
        run_stage("ppo", settings, here / "killed")
    (here / "plug_f.py").write_text(GOOD)
    run_stage("ppo", settings, here / "killed")
    assert differing(here / "straight", here / "killed") == []


def test_reward_and_reward_model_exclude_each_other():
    with pytest.raises(ig.UserError, match="reward and reward_model exclude each other"):
        make_config(reward="rewards:brevity")
    config = make_config(reward_model="")
    with pytest.raises(ig.UserError, match="or --reward module:function"):
        ig.ppo.train(config)
