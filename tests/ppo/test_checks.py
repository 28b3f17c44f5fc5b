"""The checks that are always on, each provoked."""

from contextlib import nullcontext

import pytest
import torch

from instructgpt.models.forward import response_logprobs
from instructgpt.ppo import collect, step
from instructgpt.ppo.checks import check_first_ratio
from instructgpt.ppo.trainer import PPOTrainer
from instructgpt.rollout.sampling import Sampling
from instructgpt.training.optimizer import NotFiniteError
from tests.ppo.letters import PROMPTS, letter_ppo, make_config

RATIO = (
    r"the first minibatch has a typical log-ratio of .* where 1 is due; likely cause: the sampler"
)
KL = r"the first iteration has a KL of .* nats per token .*; likely cause: the reference is not"


def nudge(model, size=1e-2):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1 + size)


def test_a_policy_that_moved_since_it_sampled_is_noticed_in_every_iteration():
    trainer = PPOTrainer(letter_ppo(), make_config())
    trainer.train_step(PROMPTS)
    trainer.collect(PROMPTS)
    nudge(trainer.ppo.policy.model)
    with pytest.raises(RuntimeError, match=RATIO):
        trainer.update()
    assert trainer.step == 2


@pytest.mark.parametrize(
    ("dtype", "approxkl", "ratio_max", "noticed"),
    [
        ("float32", 4.9e-7, 1.009, False),
        ("float32", 5.1e-7, 1.0, True),  # a typical log-ratio above 0.001
        ("float32", 0.0, 1.011, True),  # a single one above 0.01
        ("bfloat16", 0.019, 7.3, False),
        ("bfloat16", 0.021, 1.0, True),
        ("bfloat16", 0.0, 7.5, True),
    ],
)
def test_how_far_the_first_ratio_may_lie_from_one(dtype, approxkl, ratio_max, noticed):
    with pytest.raises(RuntimeError, match=RATIO) if noticed else nullcontext():
        check_first_ratio(approxkl, ratio_max, make_config(dtype=dtype))


def test_a_reference_that_is_not_the_policy_is_noticed():
    trainer = PPOTrainer(letter_ppo(), make_config())
    nudge(trainer.ppo.reference.model)
    with pytest.raises(RuntimeError, match=KL):
        trainer.collect(PROMPTS)


def test_a_sampler_of_another_temperature_is_noticed(monkeypatch):
    def unscaled(response_length, temperature, **settings):
        return Sampling(response_length, 1.0, **settings)

    monkeypatch.setattr(collect, "Sampling", unscaled)
    with pytest.raises(RuntimeError, match=KL):
        PPOTrainer(letter_ppo(), make_config(temperature=0.7)).collect(PROMPTS)


def test_old_log_probs_and_reference_that_share_a_wrong_temperature_are_noticed(monkeypatch):
    def forgetful(model, rows, *, temperature=1.0):
        return response_logprobs(
            model, rows, temperature=temperature if torch.is_grad_enabled() else 1.0
        )

    for module in (collect, step):
        monkeypatch.setattr(module, "response_logprobs", forgetful)
    trainer = PPOTrainer(letter_ppo(), make_config(temperature=0.7, old_logprobs="trainer"))
    trainer.collect(PROMPTS)
    with pytest.raises(RuntimeError, match=RATIO):
        trainer.update()


@pytest.mark.parametrize("name", ["policy", "critic"])
def test_a_gradient_that_is_not_finite_is_not_stepped(name):
    trainer = PPOTrainer(letter_ppo(), make_config())
    trainer.collect(PROMPTS)
    module = trainer.state.modules[name]
    weight = next(module.parameters())
    before = weight.detach().clone()
    before[1, 0] = torch.nan
    with torch.no_grad():
        weight[1, 0] = torch.nan
    with pytest.raises(NotFiniteError, match="is not finite; the step was not taken"):
        trainer.update()
    torch.testing.assert_close(weight.detach(), before, rtol=0, atol=0, equal_nan=True)
