"""Networks of other sizes than the policy's: padded embeddings work, too few positions are refused
before an answer is sampled.
"""

import copy

import pytest
import torch

from instructgpt.errors import UserError
from instructgpt.models.fit import embedding_rows, widen_embedding
from instructgpt.models.load import load_policy, load_scorer
from instructgpt.models.parts import scalar_head
from instructgpt.models.scorer import Scorer
from instructgpt.ppo.model import PPOModel
from instructgpt.ppo.trainer import PPOTrainer
from instructgpt.reward.model import RewardModel
from instructgpt.rollout.policy import SFTModel
from instructgpt.run.streams import read_lines
from tests.files import sentence
from tests.ppo.letters import PROMPTS, letter_policy, letter_tokenizer, make_config
from tests.small_runs import one_backend, run_stage, write_inputs
from tests.tiny import tiny_model

FAMILIES = ("gpt2", "gpt_neo", "llama", "qwen2")
ROWS = 9
"""The end of text, seven letters and the padding token."""
PADDED = 64


def padded(source: str, target, *, scorer: bool):
    """The model with its embedding padded to a multiple of 64 rows, as transformers pads it."""
    load = load_scorer if scorer else load_policy
    model = load(source)
    assert embedding_rows(model) == ROWS
    torch.manual_seed(0)
    model.resize_token_embeddings(ROWS, pad_to_multiple_of=PADDED, mean_resizing=False)
    assert embedding_rows(model) == PADDED
    model.save_pretrained(target)
    letter_tokenizer().save_pretrained(target)
    return str(target)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return write_inputs(tmp_path_factory.mktemp("inputs"))["ppo"]


def test_a_padded_reward_model_gives_the_same_run(inputs, tmp_path):
    """Rows that no token has change nothing."""
    judge = padded(inputs["reward_model"], tmp_path / "judge", scorer=True)
    with one_backend():
        plain = run_stage("ppo", inputs, tmp_path / "plain")
        wide = run_stage("ppo", inputs, tmp_path / "wide", reward_model=judge)
    metrics = [read_lines(run.dir / "metrics.jsonl") for run in (plain, wide)]
    assert len(metrics[0]) == 16
    for one, other in zip(*metrics, strict=True):  # where weights lie decides the last bit
        assert one.pop("stage") == other.pop("stage") == "ppo"
        assert one == pytest.approx(other, rel=1e-3, abs=1e-4)
    assert embedding_rows(load_scorer(wide.dir / "critic")) == PADDED


def test_a_padded_policy_may_write_tokens_that_stand_for_nothing(inputs, tmp_path):
    """Neither reward model nor value function has rows for them."""
    policy = padded(inputs["model"], tmp_path / "policy", scorer=False)
    run = run_stage("ppo", inputs, tmp_path / "run", model=policy, critic=inputs["reward_model"])
    assert len(read_lines(run.dir / "metrics.jsonl")) == 16
    assert embedding_rows(load_scorer(run.dir / "critic")) == PADDED


@pytest.mark.parametrize("arch", FAMILIES)
def test_a_token_that_stands_for_nothing_is_scored_as_a_zero_vector(arch):
    """By transformers' own forward of the narrow model, which is given vectors in place of ids."""
    model = tiny_model(arch, vocab_size=PADDED)
    policy = SFTModel(model, letter_tokenizer())
    reward = RewardModel(letter_policy(arch, seed=7))
    narrow = copy.deepcopy(reward.model)
    ppo = PPOModel(policy, reward)
    assert ppo.shares_vocabulary
    experience = PPOTrainer(ppo, make_config()).make_experience(PROMPTS, list(range(8)))
    assert experience.response_BR.max() >= ROWS
    embed = narrow.get_input_embeddings().weight
    pairs = zip(experience.prompts, experience.responses, experience.scores_B, strict=True)
    for prompt, response, score in pairs:
        ids = torch.tensor([*prompt, *response])
        vectors_TD = torch.where((ids < ROWS)[:, None], embed[ids.clamp(max=ROWS - 1)], 0.0)
        with torch.no_grad():
            states = narrow.base_model(inputs_embeds=vectors_TD[None]).last_hidden_state
            expected = scalar_head(narrow)(states[0, -1]).item()
        assert score.item() == pytest.approx(expected, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("arch", FAMILIES)
@pytest.mark.parametrize("role", ["reward model", "value function"])
def test_too_few_positions_are_refused_before_an_answer_is_sampled(arch, role, monkeypatch):
    """The longest prompt has seven tokens, an answer up to six."""
    policy, reward = letter_policy(), RewardModel(letter_policy(seed=1))
    short = RewardModel(letter_policy(arch, context=12))
    enough = RewardModel(letter_policy(arch, context=13))
    refused, fine = (
        PPOModel(policy, other, critic=reward) if role == "reward model"
        else PPOModel(policy, reward, critic=other)
        for other in (short, enough)
    )  # fmt: skip
    PPOTrainer(fine, make_config()).make_experience(PROMPTS, list(range(8)))
    monkeypatch.setattr(SFTModel, "sample", None)
    with pytest.raises(UserError) as raised:
        PPOTrainer(refused, make_config()).make_experience(PROMPTS, list(range(8)))
    said = sentence(raised)
    assert said.startswith(f"the {role} reads 12 tokens at most, but the longest prompt with ")
    assert "response_length 6 has 13; " in said


def test_an_answer_that_is_longer_in_the_reward_models_tokens_does_not_end_the_run(capfd):
    """Its end is not scored, and that is said: the policy's letters are pairs of tokens there."""
    reward = RewardModel(letter_policy(letters="abcdefgh", context=8))
    ppo = PPOModel(letter_policy(), reward)
    assert not ppo.shares_vocabulary
    PPOTrainer(ppo, make_config()).train_step(PROMPTS)
    assert "the reward model reads 8 tokens at most" in capfd.readouterr().err


def test_the_users_critic_is_widened_and_keeps_what_it_read():
    policy = SFTModel(tiny_model(vocab_size=PADDED), letter_tokenizer())
    critic = Scorer(RewardModel(letter_policy(seed=3)).model, letter_tokenizer())
    before = critic.score(["cab"], ["bad"])
    PPOModel(policy, RewardModel(letter_policy(seed=4)), critic=critic).begin()
    assert embedding_rows(critic.model) == PADDED
    assert torch.equal(critic.score(["cab"], ["bad"]), before)
    widen_embedding(critic.model, 10)
    assert embedding_rows(critic.model) == PADDED
