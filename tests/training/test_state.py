"""`TrainState`: what it gives away is what it takes back, in place and to the bit."""

import pytest
import torch
from torch import nn

from instructgpt.distributed.world import World
from instructgpt.sft.config import SFTConfig
from instructgpt.training.optimizer import Losses, make_adam, take_step
from instructgpt.training.state import TensorInfo, TrainState

CONFIG = SFTConfig(model="-", data="-", out="-")


def make_state(seed):
    """Two networks, one with tied weights and a frozen layer; an average; a batch in flight."""
    torch.manual_seed(seed)
    policy = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 4), nn.Linear(4, 5, bias=False))
    policy[2].weight = policy[0].weight
    policy[1].requires_grad_(False)
    critic = nn.Linear(4, 1)
    return TrainState(
        modules={"policy": policy, "critic": critic},
        optimizers={"policy": make_adam(policy, CONFIG), "critic": make_adam(critic, CONFIG)},
        averages={"policy": {"0.weight": torch.rand(5, 4)}},
        tensors={"response": torch.randint(9, (2, 3)), "finished": torch.tensor([True, False])},
        counters={"step": seed, "kl_coef": 0.1},
    )


def train(state, seed):
    """A few steps on random gradients."""
    torch.manual_seed(seed)
    for _ in range(3):
        for module in state.modules.values():
            for parameter in module.parameters():
                if parameter.requires_grad:
                    parameter.grad = torch.randn_like(parameter)
        take_step(state, dict.fromkeys(state.optimizers, 0.01), CONFIG, Losses(World(), str))


def copies(tensors):
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def assert_equal(one, other):
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("already", [0, 1])
def test_a_restored_state_has_the_same_future(already):
    state, other = make_state(1), make_state(2)
    train(state, 3)
    for _ in range(already):  # moments that are there must be replaced, not added to
        train(other, 4)
    state.counters["step"] = 3
    saved, counters = copies(state.to_tensors()), dict(state.counters)
    other.restore(saved, counters)
    assert_equal(other.to_tensors(), saved)
    assert other.counters == {"step": 3, "kl_coef": 0.1}
    train(state, 5)
    train(other, 5)
    assert_equal(other.to_tensors(), state.to_tensors())
    assert not torch.equal(
        state.to_tensors()["weight.policy.0.weight"], saved["weight.policy.0.weight"]
    )


def test_it_restores_in_place():
    """The trainer, the sampler and the optimizer hold the networks themselves, a stage the
    counters.
    """
    state, other = make_state(1), make_state(2)
    policy = other.modules["policy"]
    weight, average = policy[0].weight, other.averages["policy"]["0.weight"]
    counters, in_flight = other.counters, other.tensors
    other.restore(state.to_tensors(), state.counters)
    assert counters is other.counters == {"step": 1, "kl_coef": 0.1}
    assert in_flight is other.tensors
    assert policy[0].weight is policy[2].weight is weight
    assert other.averages["policy"]["0.weight"] is average
    assert torch.equal(weight, state.modules["policy"][0].weight)


def test_what_it_took_is_its_own():
    state, other = make_state(1), make_state(2)
    train(state, 3)
    saved = state.to_tensors()
    other.restore(saved, state.counters)
    before = copies(saved)
    train(other, 4)
    other.counters["step"] = 99
    assert_equal(before, saved)
    assert state.counters["step"] == 1


def test_before_the_first_step_the_moments_are_zero():
    state, other = make_state(1), make_state(2)
    train(other, 3)
    other.restore(copies(state.to_tensors()), state.counters)
    assert_equal(other.to_tensors(), state.to_tensors())
    moments = [t for name, t in other.to_tensors().items() if name.startswith(("exp_", "step"))]
    assert len(moments) == 3 * 3  # three parameters train
    assert not any(tensor.any() for tensor in moments)


def test_moments_that_were_not_saved_begin_anew():
    """A parameter without a gradient had none in earlier versions."""
    state, other = make_state(1), make_state(2)
    train(other, 3)
    saved = {n: t for n, t in state.to_tensors().items() if not n.startswith(("exp_", "step."))}
    other.restore(saved, state.counters)
    assert_equal(other.to_tensors(), saved)
    train(state, 5)
    train(other, 5)
    assert_equal(other.to_tensors(), state.to_tensors())


def test_a_checkpoint_is_read_into_what_is_there():
    """Not beside it: weights, averages and moments are most of what a machine holds."""
    state = make_state(1)
    tensors = state.to_tensors()
    shapes = {name: TensorInfo(t.size(), t.dtype) for name, t in tensors.items()}
    places = state.places(shapes)
    assert places.keys() == tensors.keys()
    new = [n for n, place in places.items() if place.data_ptr() != tensors[n].data_ptr()]
    assert all(name.startswith("batch.") for name in new)
    state.restore(places, state.counters)
    assert all(t is tensors[n] for n, t in state.to_tensors().items() if n not in new)


def test_everything_is_there_by_name():
    state = make_state(1)
    train(state, 3)
    names = set(state.to_tensors())
    assert names == {
        "batch.response",
        "batch.finished",
        "weight.policy.0.weight",
        "weight.policy.1.weight",
        "weight.policy.1.bias",
        "weight.critic.weight",
        "weight.critic.bias",
        "average.policy.0.weight",
        *(f"{key}.policy.0.weight" for key in ("step", "exp_avg", "exp_avg_sq")),
        *(
            f"{key}.critic.{name}"
            for key in ("step", "exp_avg", "exp_avg_sq")
            for name in ("weight", "bias")
        ),
    }
