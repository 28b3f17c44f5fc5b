"""Frozen networks say the same, to the bit, wherever and in whatever precision they are held."""

import os
from pathlib import Path

import pytest
import torch
from torch import nn

from instructgpt.models import frozen
from instructgpt.models.forward import (
    autocast,
    last_token_scores,
    response_logprobs,
    response_values,
)
from instructgpt.models.frozen import KeptOnDisk, hold_as_read
from instructgpt.models.load import scorer_from_policy
from instructgpt.models.rows import pad_rows
from tests.tiny import ARCHITECTURES, tiny_model

ROWS = ([[1, 2, 3], [4]], [[5, 6], [7, 8, 9]])


def read(model, scorer, dtype):
    rows = pad_rows(*ROWS)
    with torch.no_grad(), autocast(dtype, "cpu"):
        logprobs = response_logprobs(model, rows)
        return [logprobs, response_values(scorer, rows), last_token_scores(scorer, rows)]


def networks(arch):
    model = tiny_model(arch)
    scorer = scorer_from_policy(model, seed=1)
    return model.requires_grad_(False), scorer.requires_grad_(False)


def same(before, after):
    return all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_held_in_bfloat16_they_say_the_same(arch):
    model, scorer = networks(arch)
    before, held = read(model, scorer, "bfloat16"), size(model)
    for network in (model, scorer):
        hold_as_read(network, "bfloat16")
    assert same(before, read(model, scorer, "bfloat16"))
    assert size(model) < held
    kept = [
        p.dtype
        for name, p in model.named_parameters()
        if any(word in name for word in ("norm", "emb", "ln_", "wte"))
    ]
    assert set(kept) == {torch.float32}


def test_a_head_that_is_the_embedding_stays_as_it_is():
    model, _ = networks("llama")
    assert model.lm_head.weight is model.model.embed_tokens.weight
    hold_as_read(model, "bfloat16")
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert model.lm_head.weight.dtype == torch.float32


def test_in_float32_nothing_changes():
    model, _ = networks("llama")
    pointers = [p.data_ptr() for p in model.parameters()]
    hold_as_read(model, "float32")
    assert [p.data_ptr() for p in model.parameters()] == pointers


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("arch", ["gpt2", "llama"])
def test_on_the_disk_they_say_the_same(arch, dtype, tmp_path):
    model, scorer = networks(arch)
    for network in (model, scorer):
        hold_as_read(network, dtype)
    before = read(model, scorer, dtype)
    kept = KeptOnDisk([model, scorer], tmp_path)
    assert same(before, read(model, scorer, dtype))
    kept.rest()
    assert same(before, read(model, scorer, dtype))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not os.path.exists("/proc/self/smaps"), reason="needs Linux")
def test_at_rest_they_take_no_memory(tmp_path):
    layer = nn.Linear(2048, 2048, bias=False).requires_grad_(False)  # 16 MiB
    expected = layer.weight.clone()
    kept = KeptOnDisk([layer], tmp_path)
    start = layer.weight.data_ptr()
    assert torch.equal(layer.weight, expected)
    assert resident_kilobytes(start) >= 16 * 1024
    kept.rest()
    assert resident_kilobytes(start) == 0
    assert torch.equal(layer.weight, expected)


def test_where_there_is_no_room_they_stay(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(frozen.tempfile, "TemporaryFile", full)
    layer = nn.Linear(4, 4).requires_grad_(False)
    unaligned = torch.rand(17)[1:].view(4, 4)
    layer.weight.data = unaligned
    pointer = layer.bias.data_ptr()
    KeptOnDisk([layer], tmp_path).rest()
    assert layer.bias.data_ptr() == pointer
    assert layer.weight.data_ptr() % 64 == 0
    assert torch.equal(layer.weight, unaligned)


def size(model):
    return sum(p.numel() * p.element_size() for p in model.parameters())


def resident_kilobytes(address):
    """Of the mapping that the address lies in."""
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first = line.split()[0]
        if "-" in first and not first.endswith(":"):
            begin, end = (int(part, 16) for part in first.split("-"))
            inside = begin <= address < end
        elif inside and first == "Rss:":
            return int(line.split()[1])
    raise AssertionError("no such mapping")
