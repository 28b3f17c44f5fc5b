"""The learning-rate schedules against sequences computed by hand and torch's own schedulers."""

import math

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LinearLR

from instructgpt.errors import UserError
from instructgpt.run.schedule import (
    constant,
    cosine,
    linear,
    linear_warmup,
    multiplier,
    scheduled,
)


def learning_rates(scheduler_class, updates, **options):
    """What torch would use for each of the updates, from a peak of 1."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = scheduler_class(optimizer, **options)
    rates = []
    for _ in range(updates):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def test_cosine_by_hand():
    # cos 0, π/6, π/3, π/2, ...: half of 0.9 · (1 + cos) above the floor of 0.1
    root = math.sqrt(3) / 2
    cosines = [1, root, 0.5, 0, -0.5, -root, -1]
    expected = [0.1 + 0.45 * (1 + x) for x in cosines]
    assert [cosine(step, 6) for step in range(7)] == pytest.approx(expected)


@pytest.mark.parametrize("floor", [0.1, 0.0, 1.0])
def test_cosine_equals_torch(floor):
    expected = learning_rates(CosineAnnealingLR, 30, T_max=30, eta_min=floor)
    assert [cosine(step, 30, floor) for step in range(30)] == pytest.approx(expected)


def test_linear_equals_torch():
    expected = learning_rates(LinearLR, 30, start_factor=1.0, end_factor=0.0, total_iters=30)
    assert [linear(step, 30) for step in range(30)] == pytest.approx(expected)


def test_warmup_equals_torch():
    expected = learning_rates(LinearLR, 30, start_factor=0.1, total_iters=10)
    assert [linear_warmup(step, 10) for step in range(30)] == pytest.approx(expected)


def test_the_papers_ppo_schedule():
    # Appendix C.4: constant, after a warm-up over the first 10 iterations from a tenth.
    rates = [multiplier("constant", step, total=500, warmup=10) for step in range(500)]
    assert rates[:11] == pytest.approx(
        [0.1, 0.19, 0.28, 0.37, 0.46, 0.55, 0.64, 0.73, 0.82, 0.91, 1]
    )
    assert set(rates[10:]) == {1.0} == {constant()}


@pytest.mark.parametrize(("name", "last"), [("constant", 1.0), ("cosine", 0.1), ("linear", 0.0)])
def test_every_schedule_begins_at_the_peak_and_falls_to_its_end(name, last):
    rates = [multiplier(name, step, total=20) for step in range(21)]
    assert rates[0] == 1.0
    assert rates[-1] == pytest.approx(last)
    assert rates == sorted(rates, reverse=True)


def test_the_floor_is_that_of_the_cosine():
    assert multiplier("cosine", 20, total=20, floor=0.3) == pytest.approx(0.3)
    assert multiplier("linear", 20, total=20, floor=0.3) == 0.0


@pytest.mark.parametrize("name", ["constant", "cosine", "linear"])
def test_the_warmup_multiplies_the_schedule(name):
    for step in range(21):
        plain = multiplier(name, step, total=20, floor=0.3)
        warmed = multiplier(name, step, total=20, warmup=5, floor=0.3, start=0.2)
        assert warmed == pytest.approx(plain * min(1, 0.2 + 0.8 * step / 5))


def test_a_step_outside_the_schedule_is_a_mistake_of_the_caller():
    for step in (-1, 21):
        with pytest.raises(AssertionError, match="outside"):
            multiplier("linear", step, total=20)


def test_as_a_lambda_of_torch():
    rates = learning_rates(
        LambdaLR, 8, lr_lambda=lambda step: multiplier("cosine", step, 8, warmup=2)
    )
    assert rates == [multiplier("cosine", step, 8, warmup=2) for step in range(8)]


@pytest.mark.parametrize("name", ["cosine", "linear"])
def test_a_schedule_that_decays_needs_its_length(name):
    with pytest.raises(UserError) as raised:
        scheduled(name, 0, 0, length="total_steps")
    assert f"the {name} schedule" in str(raised.value)
    assert "give total_steps, or the schedule 'constant'" in str(raised.value)


def test_a_constant_schedule_needs_no_length():
    assert [scheduled("constant", step, 0, 4, length="total_steps") for step in range(6)] == (
        pytest.approx([0.1, 0.325, 0.55, 0.775, 1, 1])
    )


def test_beyond_its_length_a_schedule_stays_at_its_floor_or_is_refused():
    assert scheduled("cosine", 9, 4, 0, 0.25, length="total_steps") == 0.25
    assert scheduled("constant", 9, 4, length="total_steps") == 1
    assert scheduled("linear", 3, 4, length="total_steps") == 0.25
    with pytest.raises(UserError, match=r"come down to 0 after 4 steps: give a greater total_ep"):
        scheduled("linear", 4, 4, length="total_episodes")
