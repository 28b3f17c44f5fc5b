"""Streams of random numbers: pinned, because a changed stream would silently change every run."""

import hashlib

import torch
from hypothesis import given
from hypothesis import strategies as st

from instructgpt.run.seeds import derive, permutation, seed_torch


def test_derived_seeds_are_pinned():
    assert derive(0, "sft/order", 0) == 5440642848812747543
    assert derive(0, "ppo/episode", 17) == 5542374331988766279
    assert derive(1, "ppo/minibatch", 3, 0) == 5136387002832681720
    assert derive(7, "reward/head") == 5518834908372389326


def test_a_seed_is_the_first_63_bits_of_a_hash():
    digest = hashlib.sha256(b"5/ppo/minibatch/3/1").hexdigest()
    assert derive(5, "ppo/minibatch", 3, 1) == int(digest[:16], 16) // 2


def test_permutations_are_pinned():
    assert permutation(8, 0, "sft/order", 0) == [0, 7, 6, 4, 1, 3, 2, 5]
    assert permutation(8, 0, "sft/order", 1) == [1, 6, 4, 5, 7, 0, 3, 2]


def test_torch_is_seeded():
    seed_torch(0, "sft/dropout", 0, 0)
    first = torch.rand(3)
    assert torch.equal(
        first,
        torch.rand(3, generator=torch.Generator().manual_seed(derive(0, "sft/dropout", 0, 0))),
    )
    seed_torch(0, "sft/dropout", 0, 1)
    assert not torch.equal(first, torch.rand(3))


@given(st.integers(0, 300), st.integers(0, 2**31), st.lists(st.integers(0, 10**6), max_size=3))
def test_a_permutation_takes_everything_once(count, seed, counters):
    order = permutation(count, seed, "any", *counters)
    assert sorted(order) == list(range(count))
    assert order == permutation(count, seed, "any", *counters)


def test_streams_and_counters_do_not_meet():
    uses = [
        (seed, stream, *rest)
        for seed in (0, 1, 11)
        for stream in ("a", "b")
        for rest in ((), (1,), (1, 1), (11,))
    ]
    assert len({derive(*use) for use in uses}) == len(uses)
