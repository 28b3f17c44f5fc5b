"""What must change nothing: the micro-batch and the padding side.

The movement of the weights is compared, ‖Δw₁ − Δw₂‖ / ‖Δw₁‖, not the weights: those hardly move.
"""

from functools import partial

import pytest
import torch

from instructgpt.models.forward import last_token_scores, response_logprobs, response_values
from instructgpt.models.rows import pad_rows
from instructgpt.ppo import collect
from instructgpt.ppo import step as step_module
from instructgpt.ppo import trainer as trainer_module
from instructgpt.ppo.loss import policy_loss, value_loss
from instructgpt.ppo.step import MinibatchStep
from instructgpt.ppo.trainer import PPOTrainer
from tests.ppo.letters import PROMPTS, letter_ppo, make_config
from tests.tiny import ARCHITECTURES

STEPS = 20
WINDOWS = [[1 + (i + t) % 7 for t in range(2 + i % 5)] for i in range(80)]
"""Pretraining text, ragged: two to six tokens."""


def movement(**changes) -> dict[str, torch.Tensor]:
    """Where the weights of each network go in 20 optimizer steps on a batch of ragged episodes."""
    ppo = letter_ppo()
    settings = {
        "batch_size": 40,
        "num_mini_batches": 10,
        "num_ppo_epochs": 2,
        "learning_rate": 1e-3,
        "critic_learning_rate": 1e-3,
        "ptx_coef": 2.0,
        "pretrain_data": "text",
    }
    trainer = PPOTrainer(ppo, make_config(**settings | changes))
    start = {name: flat(module) for name, module in trainer.state.modules.items()}
    trainer.train_step(PROMPTS * 5, WINDOWS)
    assert trainer.step == STEPS
    return {name: flat(module) - start[name] for name, module in trainer.state.modules.items()}


def flat(module) -> torch.Tensor:
    return torch.cat([p.detach().flatten().double() for p in module.parameters()])


def distance(one, other) -> dict[str, float]:
    """Of two movements, relative, for each network."""
    return {name: ((one[name] - other[name]).norm() / one[name].norm()).item() for name in one}


@pytest.fixture(scope="module")
def reference():
    return movement(micro_batch_tokens=100_000)


@pytest.mark.parametrize("tokens", [1, 24])
def test_the_micro_batch_changes_nothing(reference, tokens):
    apart = distance(reference, movement(micro_batch_tokens=tokens))
    assert max(apart.values()) < 1e-3, apart


def test_the_padding_side_changes_nothing(reference, monkeypatch):
    padded = []

    def left(module, *args, **settings):
        padded.append(module)
        return pad_rows(*args, **settings, side="left")

    for module in (collect, step_module):
        monkeypatch.setattr(module, "pad_rows", partial(left, module.__name__))
    apart = distance(reference, movement(micro_batch_tokens=100_000))
    assert max(apart.values()) < 1e-3, apart
    assert set(padded) == {collect.__name__, step_module.__name__}


class AverageOfAverages(MinibatchStep):
    """The well-known mistake: the mean of the micro-batches' means."""

    factor = torch.tensor(0.0)

    def _micro_batches(self):
        groups = list(super()._micro_batches())
        AverageOfAverages.factor = self.batch.response_length_B.sum() / len(groups)
        yield from groups


@pytest.mark.parametrize(
    ("name", "loss", "network"),
    [("policy_loss", policy_loss, "policy"), ("value_loss", value_loss, "critic")],
)
def test_an_average_of_averages_fails_the_same_comparison(
    reference, monkeypatch, name, loss, network
):
    def averaged(*args):
        total, count = loss(*args)
        return total / count * AverageOfAverages.factor, count

    monkeypatch.setattr(step_module, name, averaged)
    monkeypatch.setattr(trainer_module, "MinibatchStep", AverageOfAverages)
    apart = distance(reference, movement(micro_batch_tokens=24))
    assert apart[network] > 1e-2
    whole = distance(reference, movement(micro_batch_tokens=100_000))
    assert max(whole.values()) < 1e-3, "with one micro-batch the two are the same"


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_left_and_right_padding_give_the_same_numbers(arch):
    ppo = letter_ppo(arch)
    prompts = [ppo.policy.text.prompt(prompt) for prompt in PROMPTS]
    responses = [[1 + (i * 3 + t) % 7 for t in range(1 + i % 6)] for i in range(len(PROMPTS))]
    left, right = (pad_rows(prompts, responses, side=side) for side in ("left", "right"))
    assert not torch.equal(left.tokens_BT, right.tokens_BT)
    with torch.no_grad():
        for read in (
            partial(response_logprobs, ppo.policy.model, temperature=0.8),
            partial(response_values, ppo.critic.model),
            partial(last_token_scores, ppo.reward_model.model),
        ):
            torch.testing.assert_close(read(left), read(right), rtol=1e-4, atol=1e-4)
