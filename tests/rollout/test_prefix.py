"""Prompts that begin alike are read from their common beginning on."""

import copy
import functools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instructgpt.rollout import RolloutEngine, Sampling, prefix
from instructgpt.rollout.decoders import Cached, reads_on
from instructgpt.rollout.prefix import SHORTEST, beginnings, left_to_read
from tests.rollout.test_engine import assert_same
from tests.tiny import ARCHITECTURES, tiny_model

EXAMPLES, OTHERS = tuple(range(200)), tuple(range(100, 260))


def test_what_is_read_once():
    prompts = [(*EXAMPLES, 7), (*OTHERS, 1, 2), (*EXAMPLES, 8, 9), (3,), (*OTHERS, 4)]
    found = beginnings(prompts)
    assert [(one.tokens, one.places) for one in found] == [(EXAMPLES, [0, 2]), (OTHERS, [1, 4])]
    assert left_to_read(prompts, found) == 2


@pytest.mark.parametrize(
    "prompts",
    [
        [(*EXAMPLES, 7)],  # alone
        [(*EXAMPLES[:SHORTEST], 1), (*EXAMPLES[: SHORTEST - 1], 2, 3)],  # alike for less
        [EXAMPLES, EXAMPLES[::-1]],
        # All are in one forward: the long one would have the others read whole.
        [(*EXAMPLES, 7), (*EXAMPLES, 8), tuple(range(300, 500))],
    ],
    ids=["alone", "short", "different", "beside a long one"],
)
def test_what_is_read_whole(prompts):
    assert beginnings(prompts) == []
    assert left_to_read(prompts, []) == max(map(len, prompts))


def test_a_prompt_that_is_the_beginning_of_another_keeps_a_token_to_read():
    found = beginnings([EXAMPLES, (*EXAMPLES, 5)])
    assert [one.tokens for one in found] == [EXAMPLES[:-1]]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([(), (1,) * 3, (1, 1, 2)]), st.lists(st.integers(0, 2))),
        min_size=1,
    )
)
def test_every_beginning_is_its_prompts_own_and_shorter(parts):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prefix, "SHORTEST", 2)
        prompts = list({(*head, *tail, 9): None for head, tail in parts})
        for tokens, places in beginnings(prompts):
            assert len(places) > 1
            for place in places:
                assert prompts[place][: len(tokens)] == tokens != prompts[place]


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_answers_are_those_of_prompts_read_whole(arch, monkeypatch, by_forward):
    """Two beginnings, ragged ends, prompts that come again, slots that are filled again."""
    model, numbers = tiny_model(arch), random.Random(0)

    def drawn(count):
        return [numbers.randrange(8, 256) for _ in range(count)]

    heads = [drawn(24), drawn(20)]
    prompts = [[*heads[n % 2], *drawn(numbers.randint(1, 6))] for n in range(14)]
    prompts += [prompts[3], heads[0]]
    sampling, seeds = Sampling(9, stop_tokens=tuple(range(8))), range(len(prompts))
    whole = RolloutEngine(model, slots=6).generate(prompts, seeds, sampling)
    assert reads_on(model)

    tokens = []
    forward = Cached._forward

    def counted(cached, ids, *args):
        tokens.append(sum(map(len, ids)))
        return forward(cached, ids, *args)

    monkeypatch.setattr(Cached, "_forward", counted)
    RolloutEngine(model, slots=6).generate(prompts, seeds, sampling)
    before = sum(tokens)
    tokens.clear()
    monkeypatch.setattr(prefix, "SHORTEST", 8)
    shared = RolloutEngine(model, slots=6).generate(prompts, seeds, sampling)
    assert sum(tokens) < 0.8 * before
    assert_same(shared, whole)


def test_a_model_that_cannot_read_on_reads_each_prompt_whole(monkeypatch):
    model = tiny_model("llama")
    refusing = copy.deepcopy(model)
    forward = refusing.forward

    @functools.wraps(forward)
    def only_whole(**inputs):
        new = inputs["input_ids"].shape[1]
        if 1 < new < inputs.get("attention_mask", inputs["input_ids"]).shape[1]:
            raise ValueError("several tokens behind a cache")
        return forward(**inputs)

    monkeypatch.setattr(prefix, "SHORTEST", 8)
    prompts = [[*range(20), 7], [*range(20), 8, 9]]
    usual = RolloutEngine(model).generate(prompts, [0, 1], Sampling(4))
    monkeypatch.setattr(refusing, "forward", only_whole)
    assert not reads_on(refusing)
    assert_same(RolloutEngine(refusing).generate(prompts, [0, 1], Sampling(4)), usual)
