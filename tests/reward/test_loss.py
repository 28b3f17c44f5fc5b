"""The ranking loss against double loops, TRL's pairwise loss and finite differences."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import logsigmoid

from instructgpt.reward.loss import pair_accuracy, prompts_with_pairs, ranking_loss

TIES = pytest.mark.parametrize("ties", ["drop", "half"])


def example(dtype=torch.float64, prompts=6, k=9):
    """Scores, ranks full of ties, and from nine responses a prompt down to none."""
    torch.manual_seed(0)
    scores_BK = torch.randn(prompts, k, dtype=dtype)
    ranks_BK = torch.randint(1, 5, (prompts, k))
    sizes_B = torch.tensor([9, 4, 2, 1, 0, 7])[:prompts]
    present_BK = torch.rand(prompts, k).argsort(1) < sizes_B[:, None]
    ranks_BK[2] = 1  # a prompt whose responses are all tied
    return scores_BK, ranks_BK, present_BK


def pairs_of(ranks_K, present_K):
    """Each pair of present responses once, the better one first; and whether it is a tie."""
    for i in range(len(ranks_K)):
        for j in range(i + 1, len(ranks_K)):
            if present_K[i] and present_K[j]:
                better, worse = (i, j) if ranks_K[i] <= ranks_K[j] else (j, i)
                yield better, worse, ranks_K[i] == ranks_K[j]


def loss_by_loops(scores_BK, ranks_BK, present_BK, ties, log_sigmoid):
    """InstructGPT eq. 1, pair by pair."""
    total, prompts = 0.0, 0
    for scores_K, ranks_K, present_K in zip(scores_BK, ranks_BK, present_BK, strict=True):
        losses = []
        for better, worse, is_tie in pairs_of(ranks_K, present_K):
            margin = scores_K[better] - scores_K[worse]
            if not is_tie:
                losses.append(-log_sigmoid(margin))
            elif ties == "half":
                losses.append(-0.5 * log_sigmoid(margin) - 0.5 * log_sigmoid(-margin))
        if losses:
            total += sum(losses) / len(losses)
            prompts += 1
    return total, prompts


@TIES
def test_equals_double_loops_over_plain_numbers(ties):
    scores, ranks, present = example()
    total, prompts = ranking_loss(scores, ranks, present, ties)
    expected, expected_prompts = loss_by_loops(
        scores.tolist(),
        ranks.tolist(),
        present.tolist(),
        ties,
        log_sigmoid=lambda margin: math.log(1 / (1 + math.exp(-margin))),
    )
    assert total.item() == pytest.approx(expected, rel=1e-12)
    assert prompts.item() == expected_prompts == prompts_with_pairs(ranks, present, ties).item()
    assert expected_prompts == {"drop": 3, "half": 4}[ties]


@TIES
def test_gradient_equals_that_of_double_loops_in_torch(ties):
    scores, ranks, present = example()
    scores.requires_grad_()
    expected, _ = loss_by_loops(scores, ranks, present, ties, logsigmoid)
    total, _ = ranking_loss(scores, ranks, present, ties)
    torch.testing.assert_close(
        torch.autograd.grad(total, scores), torch.autograd.grad(expected, scores)
    )


@TIES
def test_gradient_by_finite_differences(ties):
    scores, ranks, present = example()
    torch.autograd.gradcheck(
        lambda x: ranking_loss(x, ranks, present, ties)[0], scores.requires_grad_()
    )


def test_two_responses_are_the_pairwise_loss_of_trl():
    # trl 1.12, RewardTrainer.compute_loss:
    #   rewards_chosen, rewards_rejected = torch.chunk(outputs.logits.squeeze(-1), chunks=2)
    #   loss = -nn.functional.logsigmoid(rewards_chosen - rewards_rejected).mean()
    torch.manual_seed(0)
    chosen, rejected = torch.randn(2, 16)
    expected = -torch.nn.functional.logsigmoid(chosen - rejected).mean()

    chosen_is_first = torch.arange(16) % 2 == 0
    scores = torch.where(
        chosen_is_first, torch.stack([chosen, rejected]), torch.stack([rejected, chosen])
    )
    ranks = torch.where(chosen_is_first, torch.tensor([[1], [2]]), torch.tensor([[2], [1]]))
    total, prompts = ranking_loss(scores.T, ranks.T, torch.ones(16, 2, dtype=torch.bool))
    torch.testing.assert_close(total / prompts, expected)


def test_by_hand():
    scores = torch.tensor([[1.0, 0.0, -1.0], [5.0, 5.0, 0.0]])
    ranks = torch.tensor([[2, 1, 3], [1, 2, 9]])
    present = torch.tensor([[True, True, True], [True, True, False]])
    total, prompts = ranking_loss(scores, ranks, present)
    # first prompt: margins -1 (rank 1 over 2), 1 (rank 1 over 3), 2 (rank 2 over 3); second: 0
    assert total.item() == pytest.approx(
        (1.313262 + 0.313262 + 0.126928) / 3 + math.log(2), rel=1e-5
    )
    assert prompts.item() == 2


def test_every_prompt_weighs_the_same_whatever_its_k():
    ranks = torch.arange(1, 10).repeat(2, 1)
    present = torch.tensor([[True] * 9, [True] * 2 + [False] * 7])
    total, prompts = ranking_loss(torch.zeros(2, 9), ranks, present)
    assert total.item() == pytest.approx(2 * math.log(2))
    assert prompts.item() == 2


SCORES_AND_RANKS = st.lists(st.tuples(st.floats(-8, 8), st.integers(1, 4)), min_size=2, max_size=6)


def prompt_of(scores_and_ranks):
    scores, ranks = zip(*scores_and_ranks, strict=True)
    scores_BK = torch.tensor([scores], dtype=torch.float64)
    return scores_BK, torch.tensor([ranks]), torch.ones_like(scores_BK, dtype=torch.bool)


@TIES
@settings(deadline=None, max_examples=50)
@given(responses=SCORES_AND_RANKS, data=st.data())
def test_the_order_in_which_responses_are_listed_is_irrelevant(ties, responses, data):
    total, prompts = ranking_loss(*prompt_of(responses), ties)
    shuffled = prompt_of(data.draw(st.permutations(responses)))
    shuffled_total, shuffled_prompts = ranking_loss(*shuffled, ties)
    torch.testing.assert_close(shuffled_total, total)
    assert shuffled_prompts == prompts


@TIES
@settings(deadline=None, max_examples=50)
@given(responses=SCORES_AND_RANKS, shift=st.floats(-100, 100))
def test_only_differences_of_scores_and_the_order_of_ranks_matter(ties, responses, shift):
    scores, ranks, present = prompt_of(responses)
    torch.testing.assert_close(
        ranking_loss(scores + shift, 7 * ranks - 20, present, ties)[0],
        ranking_loss(scores, ranks, present, ties)[0],
        rtol=1e-9,
        atol=1e-9,
    )


@TIES
@settings(deadline=None, max_examples=50)
@given(responses=SCORES_AND_RANKS)
def test_a_prompt_all_tied_costs_nothing_or_at_least_log_two(ties, responses):
    scores, ranks, present = prompt_of(responses)
    total, prompts = ranking_loss(scores, torch.ones_like(ranks), present, ties)
    assert prompts.item() == (ties == "half")
    assert total.item() >= (math.log(2) - 1e-9 if ties == "half" else 0)


@TIES
@pytest.mark.parametrize("junk", [math.nan, math.inf, -math.inf])
def test_absent_responses_have_no_influence(ties, junk):
    scores, ranks, present = example()
    junk_scores = torch.where(present, scores, junk)
    junk_ranks = torch.where(present, ranks, -(2**40))
    outcomes = []
    for x, y in ((scores, ranks), (junk_scores, junk_ranks)):
        x.requires_grad_()
        total, prompts = ranking_loss(x, y, present, ties)
        (gradient,) = torch.autograd.grad(total, x)
        assert not gradient[~present].any()
        outcomes.append((total, prompts, gradient, *pair_accuracy(x, y, present)))
    for clean, junked in zip(*outcomes, strict=True):
        assert torch.equal(clean, junked)


@TIES
def test_sums_over_parts_add_up_to_the_whole(ties):
    whole = ranking_loss(*example(), ties)
    parts = [ranking_loss(*(x[i : i + 2] for x in example()), ties) for i in (0, 2, 4)]
    torch.testing.assert_close(tuple(map(sum, zip(*parts, strict=True))), whole)


def test_huge_margins_keep_finite_gradients():
    scores = torch.tensor([[1e4, -1e4]], requires_grad=True)
    total, _ = ranking_loss(scores, torch.tensor([[2, 1]]), torch.tensor([[True, True]]))
    total.backward()
    assert total.item() == 2e4
    assert scores.grad.tolist() == [[1.0, -1.0]]


def test_a_batch_without_pairs_is_a_sum_of_nothing():
    scores = torch.randn(2, 3, requires_grad=True)
    one = torch.tensor([[True, False, False], [False, False, False]])
    total, prompts = ranking_loss(scores, torch.arange(6).view(2, 3), one)
    total.backward()
    assert (total.item(), prompts.item()) == (0.0, 0)
    assert not scores.grad.any()


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_half_precision_scores_are_compared_in_float32(half):
    scores, ranks, present = example(half)
    total, _ = ranking_loss(scores, ranks, present)
    assert total.dtype == torch.float32
    assert torch.equal(total, ranking_loss(scores.float(), ranks, present)[0])


def test_accuracy_equals_double_loops():
    scores, ranks, present = example()
    scores = scores.round()  # some equal scores
    right_B, pairs_B = pair_accuracy(scores, ranks, present)
    for b in range(len(scores)):
        right, pairs = 0.0, 0
        for better, worse, is_tie in pairs_of(ranks[b].tolist(), present[b].tolist()):
            if not is_tie:
                pairs += 1
                right += 1.0 if scores[b, better] > scores[b, worse] else 0.0
                right += 0.5 if scores[b, better] == scores[b, worse] else 0.0
        assert (right_B[b].item(), pairs_B[b].item()) == (right, pairs)


@settings(deadline=None, max_examples=50)
@given(responses=SCORES_AND_RANKS)
def test_accuracies_of_a_model_and_of_its_opposite_sum_to_one(responses):
    scores, ranks, present = prompt_of(responses)
    right, pairs = pair_accuracy(scores, ranks, present)
    opposite, _ = pair_accuracy(-scores, ranks, present)
    assert torch.equal(right + opposite, pairs.double())
