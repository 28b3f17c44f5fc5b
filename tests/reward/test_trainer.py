"""`RewardModelTrainer` against plain loops over pairs, each answer scored alone by transformers."""

import copy
import math
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch.nn.functional import logsigmoid
from torch.nn.utils import clip_grad_norm_

from instructgpt.errors import UserError
from instructgpt.models.load import scorer_from_policy
from instructgpt.models.parts import trunk
from instructgpt.models.rows import budget_groups
from instructgpt.reward import Comparison, RewardConfig, RewardModel, RewardModelTrainer
from tests.tiny import ARCHITECTURES, byte_tokenizer, tiny_model

SIZES = [2, 9, 4, 3, 10, 2]
"""K of each prompt; the second and fifth have three labelers, the last has nothing but ties."""


def ragged_batch(seed=0):
    rng = np.random.default_rng(seed)

    def draw(length):
        return rng.integers(0, 258, length).tolist()

    batch = []
    for number, k in enumerate(SIZES):
        labelers = 3 if k > 8 else 1
        ranks = rng.integers(1, k + 1, (labelers, k)).tolist()
        ranks[0][:2] = [1, 2]  # at least one pair
        if number == len(SIZES) - 1:
            ranks = [[1] * k]
        responses = [draw(rng.integers(1, 12)) for _ in range(k)]
        names = [f"labeler {i}" for i in range(labelers)]
        batch.append(Comparison(f"p{number}", draw(rng.integers(1, 9)), responses, ranks, names))
    return batch


def settings(**values):
    return RewardConfig(**{"model": "-", "data": "-", "out": "-"} | values)


def trainer_of(arch="llama", *, kind=RewardModelTrainer, total_steps=1, **values):
    scorer = scorer_from_policy(tiny_model(arch), seed=0)
    scorer.config.pad_token_id = None  # transformers then reads a single row's last token, as we do
    return kind(RewardModel(scorer, byte_tokenizer()), settings(**values), total_steps)


def scores_by_transformers(model, comparison):
    rows = [[*comparison.prompt, *response] for response in comparison.responses]
    return torch.cat([model(torch.tensor([row])).logits[0] for row in rows])


def losses_of_rankings(scores_K, comparison, ties):
    """For each labeler the mean over the pairs that count, or None: eq. 1 spelt out, in torch."""
    for ranks in comparison.ranks:
        losses = []
        for i in range(len(ranks)):
            for j in range(len(ranks)):
                if ranks[i] < ranks[j]:
                    losses.append(-logsigmoid(scores_K[i] - scores_K[j]))
                elif ranks[i] == ranks[j] and i < j and ties == "half":
                    margin = scores_K[i] - scores_K[j]
                    losses.append(-(logsigmoid(margin) + logsigmoid(-margin)) / 2)
        yield sum(losses) / len(losses) if losses else None


def numpy_loss(batch, scores, ties):
    """In NumPy: (sum over rankings, rankings that count, pairs ordered right, untied pairs)."""
    total = rankings = right = pairs = 0
    for comparison, scores_K in zip(batch, scores, strict=True):
        for ranks in comparison.ranks:
            losses = []
            for i in range(len(ranks)):
                for j in range(len(ranks)):
                    margin = float(scores_K[i]) - float(scores_K[j])
                    if ranks[i] < ranks[j]:
                        losses.append(np.log1p(np.exp(-margin)))
                        right, pairs = right + (margin > 0) + (margin == 0) / 2, pairs + 1
                    elif ranks[i] == ranks[j] and i < j and ties == "half":
                        losses.append((np.log1p(np.exp(-margin)) + np.log1p(np.exp(margin))) / 2)
            total, rankings = total + (np.mean(losses) if losses else 0), rankings + bool(losses)
    return total, rankings, right, pairs


def weights(model):
    return torch.cat([weight.detach().flatten() for weight in model.parameters()]).clone()


@pytest.mark.parametrize("ties", ["drop", "half"])
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_the_loss_equals_loops_over_all_pairs(arch, ties):
    trainer, batch = trainer_of(arch, ties=ties), ragged_batch()
    with torch.no_grad():
        scores = [scores_by_transformers(trainer.reward.model, c).numpy() for c in batch]
    total, rankings, right, pairs = numpy_loss(batch, scores, ties)
    loss, our_right, our_pairs = trainer.compute_comparison_loss(batch)
    assert loss.item() == pytest.approx(total, rel=1e-5)
    assert (our_right.item(), our_pairs.item()) == (right, pairs)
    assert rankings == 10 - (ties == "drop")
    metrics = trainer.train_step(batch)
    assert metrics["reward/loss"] == pytest.approx(total / rankings, rel=1e-5)
    assert metrics["reward/accuracy"] == pytest.approx(right / pairs)


def test_two_answers_are_the_pairwise_loss():
    """TRL's: -logsigmoid(rewards_chosen - rewards_rejected).mean()."""
    trainer = trainer_of()
    batch = [
        Comparison("p", [1, 2], [[3, 256], [4, 5, 256]], [[1, 2]], ["-"]),
        Comparison("q", [6], [[7, 256], [8, 9, 256]], [[2, 1]], ["-"]),
    ]
    with torch.no_grad():
        one, other = (scores_by_transformers(trainer.reward.model, c) for c in batch)
    chosen, rejected = torch.stack([one[0], other[1]]), torch.stack([one[1], other[0]])
    expected = -logsigmoid(chosen - rejected).mean().item()
    assert trainer.train_step(batch)["reward/loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("micro_batch_tokens", [1, 60, 4096])
def test_every_answer_is_forwarded_exactly_once(micro_batch_tokens):
    settings = {"micro_batch_tokens": micro_batch_tokens, "shared_prefix": False}
    trainer, batch = trainer_of(**settings), ragged_batch()
    seen = []

    def look(module, arguments, named):
        tokens, attended = named["input_ids"], named["attention_mask"].bool()
        seen.extend(tuple(row[mask].tolist()) for row, mask in zip(tokens, attended, strict=True))

    trunk(trainer.reward.model).register_forward_pre_hook(look, with_kwargs=True)
    trainer.train_step(batch)
    expected = [(*c.prompt, *response) for c in batch for response in c.responses]
    assert len(expected) == sum(SIZES)
    assert sorted(seen) == sorted(expected)


@pytest.mark.parametrize("micro_batch_tokens", [1, 60, 4096])
def test_with_a_shared_prefix_every_prompt_is_forwarded_exactly_once(micro_batch_tokens):
    trainer, batch = trainer_of(micro_batch_tokens=micro_batch_tokens), ragged_batch()
    seen = []

    def look(module, arguments, named):
        seen.append(named["input_ids"].numel())

    trunk(trainer.reward.model).register_forward_pre_hook(look, with_kwargs=True)
    trainer.train_step(batch)
    expected = sum(len(c.prompt) + sum(map(len, c.responses)) for c in batch)
    assert 0 <= sum(seen) - expected < 64 * len(seen)  # filled up to a round number of tokens


@pytest.mark.parametrize("max_grad_norm", [0.05, 1e9])
def test_steps_equal_those_of_adamw_by_hand(max_grad_norm):
    trainer = trainer_of(
        total_steps=4, learning_rate=1e-3, max_grad_norm=max_grad_norm, micro_batch_tokens=100
    )
    model = copy.deepcopy(trainer.reward.model)
    adam = torch.optim.AdamW(
        model.parameters(), betas=(0.9, 0.95), eps=1e-8, weight_decay=0, foreach=False
    )
    start = weights(model)
    for step, multiplier in enumerate([1, 0.868198, 0.55, 0.231802]):  # (1 + 9 (1 + cos πt/4)/2)/10
        batch = ragged_batch(step)
        losses = [
            loss
            for comparison in batch
            for loss in losses_of_rankings(
                scores_by_transformers(model, comparison), comparison, "drop"
            )
            if loss is not None
        ]
        adam.zero_grad()
        (sum(losses) / len(losses)).backward()
        norm = clip_grad_norm_(model.parameters(), max_grad_norm).item()
        adam.param_groups[0]["lr"] = 1e-3 * multiplier
        adam.step()
        metrics = trainer.train_step(batch)
        assert metrics["reward/grad_norm"] == pytest.approx(norm, rel=1e-3)
        assert metrics["reward/learning_rate"] == pytest.approx(1e-3 * multiplier, rel=1e-5)
    ours, theirs = weights(trainer.reward.model) - start, weights(model) - start
    assert ((ours - theirs).norm() / theirs.norm()).item() < 1e-3


class MeanOfMeans(RewardModelTrainer):
    """The classic mistake: each micro-batch weighs the same, however few rankings it holds."""

    def train_step(self, batch):
        lengths, rows = [c.longest for c in batch], [len(c.responses) for c in batch]
        self.groups = len(budget_groups(lengths, self.config.micro_batch_tokens, rows))
        self.rankings = self.count(batch)
        return super().train_step(batch)

    def compute_comparison_loss(self, batch):
        loss, right, pairs = super().compute_comparison_loss(batch)
        return loss * self.rankings / (max(self.count(batch), 1) * self.groups), right, pairs

    def count(self, batch):
        return sum(len(set(ranks)) > 1 for comparison in batch for ranks in comparison.ranks)


def movement(kind, arch, micro_batch_tokens):
    """How far 20 steps at a learning rate of 1e-3 carry the weights.

    The last norm's bias is left out: it adds the same to every score, so that its gradient is
    nothing but rounding, which Adam blows up into steps.
    """

    def weights(model):
        left_out = ("ln_f.bias", "final_layer_norm.bias")
        kept = [w for name, w in model.named_parameters() if not name.endswith(left_out)]
        return torch.cat([weight.detach().flatten() for weight in kept]).clone()

    trainer = trainer_of(
        arch, kind=kind, total_steps=20, learning_rate=1e-3, micro_batch_tokens=micro_batch_tokens
    )
    start = weights(trainer.reward.model)
    for step in range(20):
        trainer.train_step(ragged_batch(step))
    return weights(trainer.reward.model) - start


def distance(one, other):
    return ((one - other).norm() / one.norm()).item()


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_micro_batches_change_nothing(arch):
    whole, cut = movement(RewardModelTrainer, arch, 10_000), movement(RewardModelTrainer, arch, 60)
    assert distance(whole, cut) < 1e-3


def test_the_mean_of_means_fails_the_same_test():
    whole = movement(MeanOfMeans, "llama", 10_000)
    assert distance(whole, movement(RewardModelTrainer, "llama", 10_000)) < 1e-3
    assert distance(whole, movement(MeanOfMeans, "llama", 60)) > 0.1


def test_a_batch_of_nothing_but_ties():
    tied = [Comparison("p", [1], [[2], [3]], [[1, 1]], ["-"])]
    dropped = trainer_of(ties="drop").train_step(tied)
    assert (dropped["reward/loss"], dropped["reward/grad_norm"]) == (0, 0)
    assert "reward/accuracy" not in dropped  # a share of nothing
    assert trainer_of(ties="half").train_step(tied)["reward/loss"] >= math.log(2)


def test_a_constant_reward_costs_log_two_and_is_half_right():
    trainer = trainer_of()
    with torch.no_grad():
        trainer.reward.model.score.weight.zero_()
    metrics = trainer.train_step(ragged_batch())
    assert metrics["reward/loss"] == pytest.approx(math.log(2))
    assert metrics["reward/accuracy"] == 0.5


def test_preferences_are_learnt():
    trainer = trainer_of(learning_rate=1e-2, total_steps=30)
    batch = [
        Comparison(f"p{i}", [i], [[10 + i], [20 + i], [30 + i]], [[1 + i % 3, 3 - i % 3, 2]], ["-"])
        for i in range(1, 7)
    ]
    first, *_, last = [trainer.train_step(batch) for _ in range(30)]
    assert last["reward/loss"] < 0.05 < first["reward/loss"]
    assert last["reward/accuracy"] == 1


@pytest.mark.parametrize(("schedule", "said"), [("cosine", True), ("constant", False)])
def test_a_step_without_the_length_of_the_schedule_is_refused(schedule, said):
    trainer = trainer_of(total_steps=0, schedule=schedule, learning_rate=1e-3)
    expected = pytest.raises(UserError, match="total_steps") if said else nullcontext()
    for _ in range(2):
        with expected:
            assert trainer.train_step(ragged_batch())["reward/learning_rate"] == 1e-3
    assert trainer.step == 2 * (not said)
