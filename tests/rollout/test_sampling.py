import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from instructgpt.errors import UserError
from instructgpt.rollout.sampling import Sampling, draw, filter_probs, uniforms

LARGEST_UNIFORM = 1 - 2**-53
PLAIN = Sampling(1)


def logits_of(probs):
    return torch.tensor([probs], dtype=torch.float64).log().float()


def draw_many(logits_V, count, sampling, seed=0):
    uniforms_B = torch.tensor(uniforms(seed, count), dtype=torch.float64)
    return draw(logits_V.expand(count, -1), uniforms_B, sampling)


def test_evenly_spaced_uniforms_draw_each_token_in_proportion():
    probs = [0.1, 0.4, 0.25, 0.25]
    uniforms_B = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000
    tokens_B, logprobs_B = draw(logits_of(probs).expand(1000, -1), uniforms_B, PLAIN)
    assert tokens_B.bincount().tolist() == [100, 400, 250, 250]
    assert tokens_B.tolist() == sorted(tokens_B.tolist())  # inverse CDF, in the order of the ids
    expected_B = torch.tensor(probs).log()[tokens_B]
    torch.testing.assert_close(logprobs_B, expected_B)


@pytest.mark.parametrize("temperature", [1.0, 0.7, 3.0])
def test_frequencies_match_softmax(temperature):
    count, vocabulary = 20_000, 40
    logits_V = torch.randn(vocabulary, generator=torch.Generator().manual_seed(0))
    tokens_B, _ = draw_many(logits_V, count, Sampling(1, temperature=temperature))
    observed = np.bincount(tokens_B.numpy(), minlength=vocabulary)
    weights = np.exp(logits_V.double().numpy() / temperature)
    probs = weights / weights.sum()
    assert (np.abs(observed - count * probs) < 4 * np.sqrt(count * probs * (1 - probs))).all()
    assert chisquare(observed, count * probs).pvalue > 1e-3


def test_temperature_zero_and_top_k_one_take_the_best_and_of_equals_the_first():
    logits_BV = torch.tensor([[0.0, 2.0, 1.0, 2.0], [3.0, 3.0, 3.0, 3.0], [0.0, 0.0, 0.0, 1.0]])
    uniforms_B = torch.tensor([0.999, 0.5, 0.0], dtype=torch.float64)
    greedy_B, logprobs_B = draw(logits_BV, uniforms_B, Sampling(1, temperature=0))
    top_one_B, top_one_logprobs_B = draw(logits_BV, uniforms_B, Sampling(1, top_k=1))
    assert greedy_B.tolist() == top_one_B.tolist() == [1, 0, 3]
    assert logprobs_B[1].item() == pytest.approx(-math.log(4))
    assert logprobs_B.tolist() == top_one_logprobs_B.tolist()


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"top_p": 0.45}, [1]),
        ({"top_p": 0.55}, [1, 2]),
        ({"top_p": 0.79}, [1, 2]),
        ({"top_p": 0.85}, [0, 1, 2]),  # of the equal two, the lower id
        ({"top_p": 0.95}, [0, 1, 2, 3]),
        ({"top_p": 1e-9}, [1]),
        ({"top_k": 3}, [0, 1, 2]),
        ({"top_k": 99}, [0, 1, 2, 3]),
        ({"top_k": 2, "top_p": 0.6}, [1]),  # 0.5 is 62.5 % of what top-k leaves
        ({"top_k": 2, "top_p": 0.65}, [1, 2]),
        ({}, [0, 1, 2, 3]),
    ],
)
def test_filters_by_hand(options, kept):
    probs_BV = torch.tensor([[0.1, 0.5, 0.3, 0.1]])
    before_BV = probs_BV.clone()
    filtered_BV = filter_probs(probs_BV, Sampling(1, **options))
    assert filtered_BV[0].nonzero()[:, 0].tolist() == kept
    assert torch.equal(filtered_BV[0, kept], before_BV[0, kept])
    assert torch.equal(probs_BV, before_BV)


def test_top_p_reached_exactly_is_enough():
    probs_BV = torch.tensor([[0.125, 0.5, 0.25, 0.125]])
    assert filter_probs(probs_BV, Sampling(1, top_p=0.75))[0].nonzero()[:, 0].tolist() == [1, 2]


def test_among_many_equals_the_lowest_ids_stay():
    filtered_BV = filter_probs(torch.full((2, 1000), 1e-3), Sampling(1, top_k=50))
    assert filtered_BV.nonzero()[:, 1].tolist() == [*range(50), *range(50)]


def test_logprob_is_of_the_unfiltered_distribution_at_the_temperature():
    logits_V = torch.randn(30, generator=torch.Generator().manual_seed(1))
    sampling = Sampling(1, temperature=0.5, top_p=0.6, top_k=5)
    tokens_B, logprobs_B = draw_many(logits_V, 200, sampling)
    assert len(tokens_B.unique()) > 1
    torch.testing.assert_close(logprobs_B, (logits_V / 0.5).log_softmax(-1)[tokens_B])


def test_filtered_frequencies_are_renormalised():
    tokens_B, _ = draw_many(logits_of([0.1, 0.5, 0.3, 0.1])[0], 20_000, Sampling(1, top_k=2))
    assert set(tokens_B.tolist()) == {1, 2}
    sigma = math.sqrt(20_000 * 0.625 * 0.375)
    assert abs((tokens_B == 1).sum().item() - 12_500) < 4 * sigma


@pytest.mark.parametrize("uniform", [0.0, 0.5, 1 - 2**-24, LARGEST_UNIFORM])
@pytest.mark.parametrize("options", [{}, {"top_k": 3}, {"top_p": 0.9}])
def test_zero_probability_is_never_drawn(uniform, options):
    logits_BV = torch.randn(500, 20, generator=torch.Generator().manual_seed(2))
    logits_BV[:, [0, 1, 7, 18, 19]] = -math.inf
    logits_BV[:, 6] = -200.0  # a probability that underflows to zero
    uniforms_B = torch.full((500,), uniform, dtype=torch.float64)
    tokens_B, logprobs_B = draw(logits_BV, uniforms_B, Sampling(1, **options))
    assert not set(tokens_B.tolist()) & {0, 1, 6, 7, 18, 19}
    assert logprobs_B.isfinite().all()


def test_a_uniform_that_rounds_up_to_the_total_draws_the_last_possible_token():
    logits_BV = torch.tensor([[0.0, 0.0, -math.inf]])
    for uniform in (LARGEST_UNIFORM, 1.0):
        tokens_B, _ = draw(logits_BV, torch.tensor([uniform], dtype=torch.float64), PLAIN)
        assert tokens_B.tolist() == [1]


def test_rare_tokens_at_the_far_end_keep_their_probability():
    """In a float32 sum, 1 + 1e-9 is 1, and the last thousand tokens would never be drawn."""
    logits_BV = logits_of([1 - 1e-6] + [1e-9] * 1000)
    uniforms_B = 1 - 1e-6 + 1e-9 * (torch.arange(10, 990, 70, dtype=torch.float64) + 0.5)
    tokens_B, _ = draw(logits_BV.expand(len(uniforms_B), -1), uniforms_B, PLAIN)
    expected_B = torch.arange(11, 991, 70)
    assert (tokens_B - expected_B).abs().max() <= 60  # the first probability has float32 precision
    assert len(tokens_B.unique()) == len(tokens_B)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("sampling", [PLAIN, Sampling(1, temperature=0), Sampling(1, top_p=0.5)])
def test_a_bad_row_gets_nan_and_spoils_no_other(bad, sampling):
    logits_BV = torch.zeros(3, 5)
    logits_BV[1, 3] = bad
    _, logprobs_B = draw(logits_BV, torch.full((3,), 0.5, dtype=torch.float64), sampling)
    assert logprobs_B.isfinite().tolist() == [True, False, True]


@given(
    st.lists(st.floats(-30, 30), min_size=1, max_size=30),
    st.floats(0, LARGEST_UNIFORM),
    st.integers(0, 5),
    st.floats(0.01, 1),
    st.floats(0.1, 4),
)
def test_a_drawn_token_has_survived_the_filters(logits, uniform, top_k, top_p, temperature):
    sampling = Sampling(1, temperature=temperature, top_k=top_k, top_p=top_p)
    logits_BV = torch.tensor([logits])
    tokens_B, logprobs_B = draw(logits_BV, torch.tensor([uniform], dtype=torch.float64), sampling)
    logprobs_BV = (logits_BV / temperature).log_softmax(-1)
    assert logprobs_B[0] == logprobs_BV[0, tokens_B[0]]
    assert filter_probs(logprobs_BV.exp(), sampling)[0, tokens_B[0]] > 0


def test_uniforms_belong_to_the_seed():
    assert uniforms(7, 5) == uniforms(7, 50)[:5]
    assert uniforms(7, 5) != uniforms(8, 5)
    assert all(0 <= value < 1 for value in uniforms(2**64 + 3, 1000))


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens"),
        ({"temperature": -0.1}, "temperature"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_p": 1.1}, "top_p"),
        ({"top_k": -1}, "top_k"),
    ],
)
def test_impossible_settings_are_refused(options, name):
    with pytest.raises(UserError, match=name):
        Sampling(**({"max_new_tokens": 1} | options))
