"""The KL estimators against the divergence itself, which small distributions let us sum exactly."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from instructgpt.ppo.kl import adaptive_kl_coef, k1, k2, k3

LOGPROBS = st.lists(st.floats(-20, 0), min_size=1, max_size=8)


def distributions(closeness=1.0):
    """Log-probabilities of a policy over 50 tokens, and of a reference nearby."""
    torch.manual_seed(0)
    logits, change = torch.randn(2, 50, dtype=torch.float64)
    return logits.log_softmax(0), (logits + closeness * change).log_softmax(0)


def divergence_by_loops(logprobs, ref_logprobs):
    return sum(
        math.exp(p) * (p - q) for p, q in zip(logprobs.tolist(), ref_logprobs.tolist(), strict=True)
    )


@pytest.mark.parametrize("estimator", [k1, k3])
def test_k1_and_k3_are_unbiased(estimator):
    policy, reference = distributions()
    expectation = (policy.exp() * estimator(policy, reference)).sum()
    assert expectation.item() == pytest.approx(divergence_by_loops(policy, reference), rel=1e-12)


def test_k2_is_biased_less_and_less_as_the_policies_meet():
    biases = []
    for closeness in (1.0, 0.1, 0.01):
        policy, reference = distributions(closeness)
        truth = divergence_by_loops(policy, reference)
        biases.append(abs((policy.exp() * k2(policy, reference)).sum().item() / truth - 1))
    assert biases[0] > 0.05
    assert biases == sorted(biases, reverse=True)
    assert biases[-1] < 0.01


def test_by_hand():
    logprobs, ref_logprobs = torch.tensor([0.5, 0.25]).log(), torch.tensor([0.25, 0.5]).log()
    log_2 = math.log(2)
    torch.testing.assert_close(k1(logprobs, ref_logprobs), torch.tensor([log_2, -log_2]))
    torch.testing.assert_close(k2(logprobs, ref_logprobs), torch.tensor([log_2**2 / 2] * 2))
    torch.testing.assert_close(
        k3(logprobs, ref_logprobs), torch.tensor([0.5 - 1 + log_2, 2 - 1 - log_2])
    )


def test_a_flipped_sign_would_be_noticed():
    policy, reference = distributions()
    flipped = (policy.exp() * k1(reference, policy)).sum().item()
    truth = divergence_by_loops(policy, reference)
    assert flipped == pytest.approx(-truth)
    assert truth > 0.1
    assert not torch.allclose(k3(policy, reference), k3(reference, policy))


@settings(deadline=None, max_examples=100)
@given(logprobs=LOGPROBS, data=st.data())
def test_k2_and_k3_are_never_negative(logprobs, data):
    ref_logprobs = data.draw(
        st.lists(st.floats(-20, 0), min_size=len(logprobs), max_size=len(logprobs))
    )
    pair = torch.tensor(logprobs), torch.tensor(ref_logprobs)
    assert (k2(*pair) >= 0).all()
    assert (k3(*pair) >= 0).all()
    assert not torch.stack([estimator(pair[0], pair[0]) for estimator in (k1, k2, k3)]).any()


@pytest.mark.parametrize("gap", [1e-2, 1e-3, 1e-4])
def test_k3_keeps_its_digits_for_close_policies(gap):
    logprobs = torch.tensor([gap])
    estimate = k3(logprobs, torch.zeros(1)).item()  # float32
    assert estimate == pytest.approx(gap**2 / 2 - gap**3 / 6, rel=2e-3)


@pytest.mark.parametrize("estimator", [k1, k2, k3])
def test_gradient_by_finite_differences(estimator):
    policy, reference = distributions()
    torch.autograd.gradcheck(estimator, (policy.requires_grad_(), reference))


@pytest.mark.parametrize("estimator", [k1, k2, k3])
@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_half_precision_is_upcast(estimator, half):
    policy, reference = (x.to(half) for x in distributions())
    estimate = estimator(policy, reference)
    assert estimate.dtype == torch.float32
    assert torch.equal(estimate, estimator(policy.float(), reference.float()))


@pytest.mark.parametrize(
    ("kl", "factor"),
    [
        (6.0, 1.0),  # on target
        (6.6, 1.01),  # 10 % above, K_β = episodes / horizon = 0.1
        (5.4, 0.99),
        (60.0, 1.02),  # the error is clipped to 0.2
        (0.0, 0.98),
        (-3.0, 0.98),  # an estimate of KL may be negative
    ],
)
def test_the_coefficient_moves_against_the_error(kl, factor):
    assert adaptive_kl_coef(0.5, kl, target=6.0, episodes=1000, horizon=10_000) == pytest.approx(
        0.5 * factor
    )
