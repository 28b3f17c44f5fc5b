"""The PPO losses against plain loops, closed forms and finite differences."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from instructgpt.ppo.loss import policy_loss, policy_statistics, value_loss

IS_RESPONSE = torch.tensor(
    [[True, True, True, True], [True, True, False, False], [False, False, False, False]]
)
JUNK = pytest.mark.parametrize("junk", [math.nan, math.inf, -math.inf])
HALF = pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
CLIP = pytest.mark.parametrize("clip", [0.2, 0.01, None])
SEEDS = st.integers(0, 2**32 - 1)


def example(seed=0, dtype=torch.float64, spread=0.3):
    """Log-probabilities (or values), old ones, advantages (or returns), and the responses."""
    generator = torch.Generator().manual_seed(seed)
    x, change, y = torch.randn(3, *IS_RESPONSE.shape, dtype=dtype, generator=generator)
    return x, x + spread * change, y, IS_RESPONSE


def tokens(*tensors, is_response_BR):
    """The response tokens, as rows of plain numbers."""
    return zip(*(x[is_response_BR].tolist() for x in tensors), strict=True)


def policy_loss_by_loops(logprobs, old_logprobs, advantages, is_response, clip):
    """Minus Schulman 2017, eq. 7, token by token."""
    objective = 0.0
    for new, old, advantage in tokens(
        logprobs, old_logprobs, advantages, is_response_BR=is_response
    ):
        ratio = math.exp(new) / math.exp(old)
        clipped = min(max(ratio, 1 - clip), 1 + clip)
        objective += min(ratio * advantage, clipped * advantage)
    return -objective


@pytest.mark.parametrize("clip", [0.2, 0.01])
def test_policy_loss_equals_plain_loops(clip):
    total, count = policy_loss(*example(), clip)
    assert total.item() == pytest.approx(policy_loss_by_loops(*example(), clip), rel=1e-12)
    assert count.item() == 6


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "gradient"),
    [
        (1.5, 1.0, -1.2, 0.0),  # better, and already far enough
        (1.5, -1.0, 1.5, 1.5),  # worse, and gone the wrong way: pulled back
        (0.5, 1.0, -0.5, -0.5),
        (0.5, -1.0, 0.8, 0.0),
        (1.1, 2.0, -2.2, -2.2),
    ],
)
def test_policy_loss_by_hand(ratio, advantage, loss, gradient):
    logprobs = torch.tensor([[math.log(ratio)]], requires_grad=True)
    total, _ = policy_loss(
        logprobs, torch.zeros(1, 1), torch.tensor([[advantage]]), torch.tensor([[True]]), 0.2
    )
    total.backward()
    assert total.item() == pytest.approx(loss)
    assert logprobs.grad.item() == pytest.approx(gradient)  # d ratio / d log π = ratio


@settings(deadline=None, max_examples=30)
@given(seed=SEEDS)
def test_before_the_first_update_the_loss_is_minus_the_advantages(seed):
    logprobs, _, advantages, is_response = example(seed)
    logprobs.requires_grad_()
    total, _ = policy_loss(logprobs, logprobs.detach(), advantages, is_response, 0.2)
    torch.testing.assert_close(total, -advantages[is_response].sum())
    (gradient,) = torch.autograd.grad(total, logprobs)
    torch.testing.assert_close(gradient, -advantages * is_response)


@settings(deadline=None, max_examples=30)
@given(seed=SEEDS, clips=st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted))
def test_a_narrower_clip_never_lowers_the_policy_loss(seed, clips):
    narrow, wide = (policy_loss(*example(seed), clip)[0] for clip in clips)
    unclipped, _ = policy_loss(*example(seed), 1e9)
    assert narrow >= wide >= unclipped


def value_loss_by_loops(values, old_values, returns, is_response, clip):
    total = 0.0
    for value, old, target in tokens(values, old_values, returns, is_response_BR=is_response):
        errors = [(value - target) ** 2]
        if clip is not None:
            nearby = min(max(value, old - clip), old + clip)
            errors.append((nearby - target) ** 2)
        total += 0.5 * max(errors)
    return total


@CLIP
def test_value_loss_equals_plain_loops(clip):
    total, count = value_loss(*example(), clip)
    assert total.item() == pytest.approx(value_loss_by_loops(*example(), clip), rel=1e-12)
    assert count.item() == 6


@pytest.mark.parametrize(
    ("value", "target", "clip", "loss", "gradient"),
    [
        (1.0, 2.0, None, 0.5, -1.0),
        (1.0, 2.0, 0.2, 1.62, 0.0),  # (0.2 - 2)² / 2: gone further than 0.2 from the old value 0
        (1.0, -2.0, 0.2, 4.5, 3.0),  # gone the wrong way: the whole error, and its gradient
        (0.1, 2.0, 0.2, 1.805, -1.9),  # within the clip
    ],
)
def test_value_loss_by_hand(value, target, clip, loss, gradient):
    values = torch.tensor([[value]], requires_grad=True)
    total, _ = value_loss(
        values, torch.zeros(1, 1), torch.tensor([[target]]), torch.tensor([[True]]), clip
    )
    total.backward()
    assert total.item() == pytest.approx(loss)
    assert values.grad.item() == pytest.approx(gradient)


@settings(deadline=None, max_examples=30)
@given(seed=SEEDS, clips=st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted))
def test_clipping_never_lowers_the_value_loss(seed, clips):
    unclipped, _ = value_loss(*example(seed), None)
    assert all(value_loss(*example(seed), clip)[0] >= unclipped for clip in clips)
    torch.testing.assert_close(value_loss(*example(seed), 1e9)[0], unclipped, rtol=0, atol=0)


def test_without_a_clip_the_old_values_are_not_looked_at():
    values, old_values, returns, is_response = example()
    nothing = torch.full_like(old_values, math.nan)
    assert torch.equal(
        value_loss(values, nothing, returns, is_response, None)[0],
        value_loss(values, old_values, returns, is_response, None)[0],
    )


LOSSES = pytest.mark.parametrize(
    ("loss", "clip"), [(policy_loss, 0.2), (value_loss, 0.2), (value_loss, None)]
)


@LOSSES
def test_gradient_by_finite_differences(loss, clip):
    x, *others = example()
    torch.autograd.gradcheck(lambda y: loss(y, *others, clip)[0], x.requires_grad_())


@LOSSES
@JUNK
def test_what_stands_outside_the_responses_has_no_influence(loss, clip, junk):
    *tensors, is_response = example()
    losses, gradients = [], []
    for x, *others in (tensors, [torch.where(is_response, x, junk) for x in tensors]):
        x.requires_grad_()
        total, _ = loss(x, *others, is_response, clip)
        losses.append(total)
        gradients += torch.autograd.grad(total, x)
    assert torch.equal(losses[0], losses[1])
    assert torch.equal(gradients[0], gradients[1])
    assert not gradients[1][~is_response].any()


@LOSSES
def test_padding_changes_no_bit(loss, clip):
    padded = [torch.nn.functional.pad(x, (2, 3)) for x in example()]
    assert torch.equal(loss(*padded, clip)[0], loss(*example(), clip)[0])


@LOSSES
def test_sums_over_parts_add_up_to_the_whole(loss, clip):
    parts = [loss(*(x[i : i + 1] for x in example()), clip) for i in range(3)]
    torch.testing.assert_close(tuple(map(sum, zip(*parts, strict=True))), loss(*example(), clip))


@LOSSES
@HALF
def test_half_precision_is_upcast(loss, clip, half):
    *tensors, is_response = example(dtype=half)
    total, _ = loss(*tensors, is_response, clip)
    assert total.dtype == torch.float32
    assert torch.equal(total, loss(*(x.float() for x in tensors), is_response, clip)[0])


def test_statistics_equal_plain_loops():
    logprobs, old_logprobs, advantages, is_response = example()
    ratios, approxkl, clipped = [], 0.0, 0
    for new, old, advantage in tokens(
        logprobs, old_logprobs, advantages, is_response_BR=is_response
    ):
        ratios.append(math.exp(new - old))
        approxkl += 0.5 * (new - old) ** 2
        # eq. 7 takes the smaller objective: the clip binds only where moving on looks better
        clipped += ratios[-1] > 1.2 if advantage > 0 else ratios[-1] < 0.8
    statistics = policy_statistics(logprobs, old_logprobs, advantages, is_response, 0.2)
    assert [x.item() for x in statistics] == pytest.approx(
        [approxkl, clipped, sum(ratios), max(ratios), 6]
    )
    assert 0 < clipped < 6


def test_statistics_before_the_first_update():
    logprobs, _, advantages, is_response = example()
    statistics = policy_statistics(logprobs, logprobs, advantages, is_response, 0.2)
    assert [x.item() for x in statistics] == [0.0, 0.0, 6.0, 1.0, 6]


def test_statistics_of_nothing():
    *tensors, is_response = example()
    statistics = policy_statistics(*tensors, torch.zeros_like(is_response), 0.2)
    assert [x.item() for x in statistics] == [0.0, 0.0, 0.0, 0.0, 0]


@JUNK
def test_statistics_ignore_padding_and_carry_no_gradient(junk):
    *tensors, is_response = example()
    junked = [torch.where(is_response, x, junk).requires_grad_() for x in tensors]
    statistics = policy_statistics(*junked, is_response, 0.2)
    assert torch.equal(
        torch.stack(statistics), torch.stack(policy_statistics(*tensors, is_response, 0.2))
    )
    assert not any(x.requires_grad for x in statistics)
