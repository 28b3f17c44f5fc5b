"""Mistakes in Python: each is a `UserError` of one sentence, whatever was given."""

import pytest
import torch

import instructgpt as ig
from instructgpt.data.records import Demonstration, Message
from tests.ppo.letters import letter_policy, letter_ppo, make_config

CONVERSATION = [{"role": "user", "content": "cab"}]


@pytest.fixture(scope="module")
def policy():
    return letter_policy()


@pytest.fixture(scope="module")
def reward():
    return ig.RewardModel(letter_policy(seed=1))


def refused(call, *parts):
    with pytest.raises(ig.UserError) as raised:
        call()
    text = str(raised.value)
    assert "\n" not in text
    assert len(text) < 250
    for part in parts:
        assert part in text


def test_one_pair_is_scored_as_it_is_in_a_list(reward):
    score = reward.score("cab", "bad")
    assert isinstance(score, float)
    assert score == pytest.approx(reward.score(["cab", "a"], ["bad", "b"])[0].item(), abs=1e-5)
    cut = reward.score("cab", "bad", finished=False)
    assert cut == pytest.approx(reward.score(["cab"], ["bad"], finished=[False]).item(), abs=1e-5)
    assert cut != score


def test_messages_come_as_dictionaries(policy, reward):
    turns = (Message(role="user", content="cab"),)
    assert reward.score(CONVERSATION, "bad") == reward.score(turns, "bad")
    same = reward.score([CONVERSATION, turns, "a"], ["bad"] * 3)
    assert same[0].item() == pytest.approx(same[1].item(), abs=1e-5)
    text = policy.generate(CONVERSATION, max_new_tokens=4)
    assert isinstance(text, str)
    two = policy.generate([turns, CONVERSATION], max_new_tokens=4)
    assert two[0].text == text
    trainer = ig.PPOTrainer(letter_ppo(), make_config())
    batch = trainer.collect([CONVERSATION, {"prompt": "a"}, *"abcdef"])
    assert batch.prompts[1] == policy.text.prompt("a")
    rate = ig.evaluation.win_rate(policy, policy, [CONVERSATION], reward, max_new_tokens=2)
    assert rate.estimate == 0.5


@pytest.mark.parametrize(
    ("prompts", "part"),
    [
        (3, "expected a list, found int (3)"),
        ([3], "a prompt is a text, or a list of messages"),
        ([{"role": "user"}], "content: Field required"),
        ([{"role": "robot", "content": "a"}], "role (system, user or assistant)"),
        ([None], "a prompt is a text"),
    ],
)
def test_prompts_of_another_kind(policy, prompts, part):
    refused(lambda: policy.generate(prompts), part)


def test_scores_of_unequal_lists(reward):
    refused(lambda: reward.score(["a", "b"], ["c"]), "2 prompts, 1 answers")
    refused(lambda: reward.score(["a"], ["c"], finished=[True, True]), "2 finished")
    refused(lambda: reward.score("a", ["c", "d"]), "one prompt and a list of answers")
    refused(lambda: reward.score(["a"], [7]), "answer 1 must be a text, found int (7)")


def test_sampling_of_another_kind(policy):
    refused(lambda: policy.generate("a", max_new_tokens="3"), "max_new_tokens", "'3'")
    refused(lambda: policy.generate("a", temperature=None), "temperature")


@pytest.mark.parametrize("config", [ig.SFTConfig, ig.RewardConfig, ig.PPOConfig])
def test_configurations(config):
    refused(lambda: config(learning_rat=1), "learning_rat", "did you mean 'learning_rate'?")
    refused(lambda: config(learning_rate="fast"), "learning_rate", "'fast'")
    refused(lambda: config(batch_size=0), "batch_size")
    for key in ("model", "data", "out"):
        values = {"model": "m", "data": "d", "out": "o"} | {key: ""}
        room = {"SFT": ig.sft, "Reward": ig.reward, "PPO": ig.ppo}[config.__name__[:-6]]
        refused(lambda room=room, v=values: room.train(config(**v)), config.__name__, f"'{key}'")


def test_a_stage_given_something_else():
    refused(lambda: ig.sft.train("sft.yaml"), "expected SFTConfig, found str")
    refused(lambda: ig.reward.train({"model": "m"}), "RewardConfig: 'data' is needed")
    refused(lambda: ig.ppo.train(ig.SFTConfig(model="m", data="d", out="o")), "expected PPOConfig")


def test_models_that_are_none(policy, reward):
    refused(lambda: ig.SFTModel(3), "found int")
    refused(lambda: ig.SFTModel(policy.model), "needs its tokenizer")
    refused(lambda: ig.RewardModel(reward), "found RewardModel")
    refused(lambda: ig.PPOModel(reward, policy), "expected SFTModel, found RewardModel")
    refused(lambda: ig.PPOModel(policy, policy), "reward is a policy")
    refused(lambda: ig.PPOModel(policy, reward, critic=policy), "expected Scorer")


def test_trainers_of_other_models(policy, reward):
    refused(lambda: ig.SFTTrainer("gpt2", {}), "SFTTrainer's model", "found str")
    refused(lambda: ig.SFTTrainer(policy, 3), "SFTTrainer's config", "found int")
    refused(lambda: ig.SFTTrainer(policy, {"epoch": 3}), "unknown key 'epoch'")
    refused(lambda: ig.RewardModelTrainer(policy, {}), "expected RewardModel, found SFTModel")
    refused(lambda: ig.PPOTrainer(policy, {}), "expected PPOModel, found SFTModel")


def test_batches_of_nothing(policy, reward):
    sft = ig.SFTTrainer(letter_policy(), {}, total_steps=1)
    refused(lambda: sft.train_step([]), "the list is empty")
    refused(lambda: sft.train_epoch([]), "no batch")
    refused(lambda: sft.train_epoch(iter([])), "no batch")
    refused(lambda: ig.SFTTrainer(letter_policy(), {}).train_epoch(iter([])), "total_steps")
    refused(lambda: sft.train_step(["cab"]), "expected a demonstration or a dictionary, found str")
    refused(lambda: sft.train_step([{"prompt": "a"}]), "demonstration 1: found the keys prompt")
    refused(lambda: sft.train_step({"prompt": ["a"], "response": []}), "differ in length")
    refused(lambda: sft.train_step({"input_ids": torch.tensor([3, 4])}), "rows of token ids")
    ids, labels = torch.tensor([[1, 2, 3]]), torch.tensor([[1, -100, 3]])
    refused(lambda: sft.train_step({"input_ids": ids, "labels": labels}), "row 1", "end of the row")
    torn = {"prompt": [{"role": ["user", "user"], "content": ["a", "b"]}], "response": ["c", "d"]}
    refused(lambda: sft.train_step(torn), "collate_fn=list")
    rm = ig.RewardModelTrainer(ig.RewardModel(letter_policy()), {}, total_steps=1)
    refused(lambda: rm.train_step([]), "the list is empty")
    refused(lambda: rm.train_step([Demonstration(prompt="a", response="b")]), "ranking 1")


def test_ppos_batches():
    trainer = ig.PPOTrainer(letter_ppo(), make_config(ptx_coef=1.0))
    refused(lambda: trainer.train_step(["a"]), "batch_size prompts (8), found 1")
    refused(lambda: trainer.train_step("cab"), "expected a list")
    refused(lambda: trainer.train_step(["a"] * 8, [[1, 2]]), "1 examples for the 2 updates")
    refused(lambda: trainer.train_step(["a"] * 8, [[1], [2]]), "fewer than two tokens")
    refused(lambda: trainer.train_step(["a"] * 8, [3, 4]), "must be a text or token ids, found int")
    refused(lambda: trainer.compute_pretrain_loss(None), "empty")
    assert trainer.experience is None


def test_comparisons_of_nothing(policy, reward):
    refused(lambda: ig.evaluation.win_rate(policy, policy, [], reward), "no prompt")
    refused(lambda: ig.evaluation.win_rate(policy, "x", ["a"], reward), "expected a policy")
    refused(lambda: ig.evaluation.win_rate(policy, policy, ["a"], len), "score")
