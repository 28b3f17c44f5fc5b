"""CUDA graphs against the engine that launches every step, and against plain forwards."""

import copy

import pytest
import torch

from instructgpt.rollout import RolloutEngine, Sampling, graphs
from tests.rollout.test_engine import MODELS, PROMPTS, SAMPLING, SEEDS, worst_gap
from tests.rollout.test_graphs import FIXED


@pytest.fixture
def captured(monkeypatch):
    """The graphs that were captured, by width; None where a capture failed."""
    found = {}
    capture = graphs.FixedRows._capture

    def noted(rows):
        found[rows.rows.width] = capture(rows)
        return found[rows.rows.width]

    monkeypatch.setattr(graphs.FixedRows, "_capture", noted)
    return found


def both_ways(model, prompts, seeds, sampling, **options):
    """Answers with graphs, and of the engine that launches every step."""
    engine = RolloutEngine(model, **options)
    assert engine._takes_graphs
    found = engine.generate(prompts, seeds, sampling)
    engine._takes_graphs = False
    return found, engine.generate(prompts, seeds, sampling)


@pytest.mark.parametrize("arch", FIXED)
@pytest.mark.parametrize("slots", [1, 5, 32])
def test_replayed_steps_draw_what_launched_ones_do(arch, slots, captured, monkeypatch):
    monkeypatch.setattr(graphs, "WIDTH_STEP", 16)
    model = copy.deepcopy(MODELS[arch]).cuda()
    found, expected = both_ways(model, PROMPTS, SEEDS, SAMPLING, slots=slots)
    assert len(captured) >= 2
    assert None not in captured.values()
    assert [sample.tokens for sample in found] == [sample.tokens for sample in expected]
    assert worst_gap(MODELS[arch], PROMPTS, found) < 1e-4  # of a plain forward on the CPU


@pytest.mark.parametrize(
    "sampling", [Sampling(7, temperature=0), Sampling(1), Sampling(9, top_p=0.7, top_k=20)]
)
def test_other_ways_to_draw(sampling, captured):
    model = copy.deepcopy(MODELS["llama"]).cuda()
    found, expected = both_ways(model, PROMPTS, SEEDS, sampling, slots=4)
    assert [sample.tokens for sample in found] == [sample.tokens for sample in expected]
    assert None not in captured.values()


def test_new_weights_are_seen_by_the_next_call():
    """A graph reads the weights where they lie; nothing of an earlier call is kept."""
    model = copy.deepcopy(MODELS["llama"]).cuda()
    before, _ = both_ways(model, PROMPTS, SEEDS, SAMPLING)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(1.5)
    after, expected = both_ways(model, PROMPTS, SEEDS, SAMPLING)
    assert [sample.tokens for sample in after] == [sample.tokens for sample in expected]
    assert [sample.tokens for sample in after] != [sample.tokens for sample in before]


def test_under_autocast_weights_are_cast_once(captured):
    model = copy.deepcopy(MODELS["llama"]).cuda()
    with torch.autocast("cuda", dtype=torch.bfloat16):
        found, expected = both_ways(model, PROMPTS, SEEDS, Sampling(3), slots=4)
    assert None not in captured.values()
    same = [a.tokens == b.tokens for a, b in zip(found, expected, strict=True)]
    assert sum(same) >= len(same) - 1
    for one, other, alike in zip(found, expected, same, strict=True):
        if alike:
            assert one.logprobs == pytest.approx(other.logprobs, abs=0.1)
