"""Which architectures are sampled over a cache: found by trying, so that a version of transformers
that takes it otherwise is either served or fails here.
"""

import functools

import pytest
import torch
from transformers import AutoConfig, MambaConfig, PreTrainedModel, RwkvConfig

from instructgpt.rollout import RolloutEngine, Sampling
from instructgpt.rollout.decoders import cache_argument
from tests.rollout.test_engine import MODELS, PROMPTS, SEEDS, SMALL, random_model, worst_gap
from tests.tiny import ARCHITECTURES, tiny_model

SIZES = {
    **SMALL,
    "pad_token_id": 257,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
}
OLDER = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128}
WINDOW = {"head_dim": 8, "sliding_window": 8}
KEEP_KEYS = {
    "biogpt": {},
    "bloom": {},
    "cohere": {},
    "cohere2": WINDOW,
    "falcon": {},
    "gemma": {"head_dim": 8},
    "gemma2": WINDOW,
    "gemma3_text": WINDOW,
    "glm4": {"head_dim": 8},
    "gpt_bigcode": {},
    "gpt_oss": {**WINDOW, "num_local_experts": 2, "num_experts_per_tok": 1},
    "gptj": {**OLDER, "rotary_dim": 4},
    "granite": {},
    "mistral": WINDOW,
    "mixtral": {"num_local_experts": 2},
    "mpt": {"d_model": 32, "n_heads": 4, "n_layers": 2, "max_seq_len": 128},
    "olmo2": {},
    "opt": {"ffn_dim": 64, "word_embed_proj_dim": 32},
    "phi": {},
    "phi3": {},
    "qwen3": {"head_dim": 8},
    "smollm3": {},
    "stablelm": {},
    "starcoder2": {"sliding_window": 8},
}
"""Architectures that keep keys and values, with windows that bite."""
KEEP_OTHERS = {
    "mamba": MambaConfig(**SMALL, num_hidden_layers=1, state_size=4),
    "rwkv": RwkvConfig(**SMALL, num_hidden_layers=2, attention_hidden_size=32),
}
"""Recurrent ones, whose rows are computed again for every token."""


@functools.cache
def made(name: str) -> PreTrainedModel:
    if name in MODELS:
        return MODELS[name]
    return random_model(AutoConfig.for_model(name, **{**SIZES, **KEEP_KEYS[name]}))


@pytest.mark.parametrize("name", [*ARCHITECTURES, *KEEP_KEYS])
def test_a_model_that_keeps_keys_is_sampled_over_a_cache(name):
    model = made(name)
    assert cache_argument(model) is not None, "its rows would be computed again for every token"
    shapes = []
    handle = model.register_forward_pre_hook(
        lambda _module, _args, given: shapes.append(tuple(given["input_ids"].shape)),
        with_kwargs=True,
    )
    samples = RolloutEngine(model, slots=3).generate(PROMPTS[:3], SEEDS[:3], Sampling(12))
    handle.remove()
    assert shapes == [(3, 40)] + [(3, 1)] * 11
    assert worst_gap(model, PROMPTS[:3], samples) < 1e-4


@pytest.mark.parametrize("name", KEEP_OTHERS)
def test_the_known_exceptions_say_so_once(name, caplog):
    model = random_model(KEEP_OTHERS[name])
    for _ in range(2):
        assert cache_argument(model) is None
    (said,) = caplog.messages
    assert type(model).__name__ in said


def renamed(model: PreTrainedModel, monkeypatch, **changes) -> None:
    """Let the model's forward take its cache as `memory`, of no declared type."""
    forward, name = model.forward, cache_argument(tiny_model("llama"))

    def other(input_ids=None, attention_mask=None, position_ids=None, labels=None, memory=None,
              use_cache=None):  # fmt: skip
        given = {"attention_mask": attention_mask, "position_ids": position_ids, "labels": labels}
        return forward(
            input_ids=input_ids, use_cache=use_cache, **{name: memory}, **given | changes
        )

    monkeypatch.setattr(model, "forward", other)


def test_the_cache_is_found_under_any_name(monkeypatch):
    model = tiny_model("llama")
    renamed(model, monkeypatch)
    assert cache_argument(model) == "memory"


@pytest.mark.parametrize(("name", "loses"), [("gpt2", "position_ids"), ("llama", "attention_mask")])
def test_a_cache_that_gives_other_logits_is_none(name, loses, monkeypatch):
    model = tiny_model(name)
    renamed(model, monkeypatch, **{loses: None})
    assert cache_argument(model) is None


def test_trying_leaves_no_trace():
    model = tiny_model("gpt2").train()
    torch.manual_seed(0)
    state = torch.random.get_rng_state()
    assert cache_argument(model) is not None
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(module.training for module in model.modules())
    assert all(weight.grad is None for weight in model.parameters())


def test_bfloat16_weights_and_a_vocabulary_of_two():
    assert cache_argument(tiny_model("llama").bfloat16()) is not None
    assert cache_argument(tiny_model("llama", vocab_size=2)) is not None
