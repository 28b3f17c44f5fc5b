"""The head fitted on a trunk that stands still: a convex minimum, found again independently."""

from itertools import combinations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from instructgpt.models.load import scorer_from_policy
from instructgpt.models.parts import scalar_head, trunk
from instructgpt.reward import RewardConfig, RewardModel
from instructgpt.reward.data import Comparison
from instructgpt.reward.head import fit_head
from instructgpt.reward.reading import ComparisonReader
from tests.tiny import byte_tokenizer, tiny_model

PROMPT = [5, 6]
COMPARISONS = [
    Comparison("a", PROMPT, [[7, 8], [9], [10, 11, 12]], [[1, 2, 3], [2, 1, 2]], ["x", "y"]),
    Comparison("b", [20, 21, 22], [[30], [31, 32]], [[2, 1]], ["x"]),
    Comparison("c", [1], [[2, 3], [4], [8, 9], [7]], [[4, 2, 2, 1]], ["y"]),
    Comparison("d", [15], [[2], [4]], [[1, 1]], ["y"]),  # a tie teaches nothing
]


def make(**values):
    reward = RewardModel(scorer_from_policy(tiny_model(), seed=0), byte_tokenizer())
    settings = {"model": "m", "data": "d", "out": "o", "head_l2": 0.05}
    return reward, RewardConfig(**settings | values)


def states(reward):
    """One row at a time, through plain transformers."""
    rows = [[*c.prompt, *answer] for c in COMPARISONS for answer in c.responses]
    with torch.no_grad():
        found = [trunk(reward.model)(torch.tensor([row])).last_hidden_state[0, -1] for row in rows]
    return torch.stack(found).double().numpy()


def eq_1(scores):
    """Mean over rankings of the mean over untied pairs of -log sigmoid(better - worse)."""
    losses, offset = [], 0
    for comparison in COMPARISONS:
        own = scores[offset : offset + len(comparison.responses)]
        offset += len(own)
        for ranks in comparison.ranks:
            pairs = [
                np.log1p(np.exp(-(own[i] - own[j]) * np.sign(ranks[j] - ranks[i])))
                for i, j in combinations(range(len(own)), 2)
                if ranks[i] != ranks[j]
            ]
            if pairs:
                losses.append(np.mean(pairs))
    return float(np.mean(losses))


@pytest.mark.parametrize("micro_batch_tokens", [4, 4096])
def test_it_finds_the_minimum(micro_batch_tokens):
    reward, config = make(micro_batch_tokens=micro_batch_tokens)
    x = states(reward)
    scale = x.std(0, ddof=1)
    z = (x - x.mean(0)) / scale
    best = minimize(lambda w: eq_1(z @ w) + 0.05 * w @ w, np.zeros(x.shape[1]), method="BFGS")
    loss = fit_head(ComparisonReader(reward, config), COMPARISONS)
    head = scalar_head(reward.model).weight[0].detach().double().numpy()
    np.testing.assert_allclose(head * scale, best.x, atol=2e-3)
    assert loss == pytest.approx(eq_1(z @ best.x), abs=1e-4)
    assert loss < eq_1(np.zeros(len(x))) - 0.1


def test_only_the_head_moves_and_its_start_plays_no_part():
    reward, config = make()
    before = {name: w.clone() for name, w in reward.model.state_dict().items()}
    fit_head(ComparisonReader(reward, config), COMPARISONS)
    after = reward.model.state_dict()
    assert [name for name in after if not torch.equal(after[name], before[name])] == [
        "score.weight"
    ]
    fitted = after["score.weight"].clone()
    with torch.no_grad():
        scalar_head(reward.model).weight.normal_()
    fit_head(ComparisonReader(reward, config), COMPARISONS)
    torch.testing.assert_close(reward.model.state_dict()["score.weight"], fitted)


def test_a_stronger_penalty_makes_smaller_weights():
    norms = []
    for head_l2 in (0.0, 0.1, 10.0):
        reward, config = make(head_l2=head_l2)
        fit_head(ComparisonReader(reward, config), COMPARISONS)
        norms.append(scalar_head(reward.model).weight.norm().item())
    assert norms[0] > 2 * norms[1] > 20 * norms[2]
