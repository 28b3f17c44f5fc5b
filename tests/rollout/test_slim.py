"""Sampling from layers laid out for reading, against the model's own forward."""

import pytest
import torch
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    MistralConfig,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
)

from instructgpt.distributed.sharding import shard
from instructgpt.distributed.world import World
from instructgpt.models.slim import products
from instructgpt.models.slim.stack import Heads
from instructgpt.rollout import RolloutEngine, Sampling
from instructgpt.rollout.episode import Episode
from instructgpt.rollout.prefix import Beginning
from instructgpt.rollout.slim import COLUMNS, Columns, Slim, takes_slim
from instructgpt.sft.config import SFTConfig
from tests.tiny import tiny_config, tiny_model

ROPE = {
    "rope_type": "llama3",
    "rope_theta": 1e4,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
SIZE = {
    "vocab_size": 258,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "bos_token_id": 256,
    "eos_token_id": 256,
}
CONFIGS: dict[str, PreTrainedConfig] = {
    "gpt2": tiny_config("gpt2"),
    "gpt_neo, a window of 8": tiny_config("gpt_neo"),
    "llama": tiny_config("llama"),
    "llama, biases": LlamaConfig(**SIZE, attention_bias=True, mlp_bias=True),
    "llama, scaled positions": LlamaConfig(**SIZE, rope_parameters=ROPE),
    "mistral, a window of 5": MistralConfig(**SIZE, sliding_window=5),
    "mistral": MistralConfig(**SIZE, sliding_window=None),
    "qwen2": Qwen2Config(**SIZE),
    "qwen2, windows of 5 above": Qwen2Config(
        **SIZE, use_sliding_window=True, sliding_window=5, max_window_layers=1
    ),
    "qwen3, wide heads": Qwen3Config(**SIZE, head_dim=16),
}


def random_model(config: PreTrainedConfig) -> PreTrainedModel:
    """With weights and biases that make logits differ visibly."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).float().eval()
    for weight in model.parameters():
        nn.init.normal_(weight, mean=float("norm" in str(weight.shape)), std=0.2)
    return model


@pytest.fixture(params=CONFIGS)
def model(request) -> PreTrainedModel:
    return random_model(CONFIGS[request.param])


@pytest.fixture(params=["highest", "medium"])
def precision(request):
    """`medium` packs weights, where the processor has oneDNN."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(request.param)
    yield
    torch.set_float32_matmul_precision(before)


@torch.no_grad()
def whole(model: PreTrainedModel, rows: list[Episode]) -> torch.Tensor:
    """Logits after each row, read alone from its first token."""
    read = [[*row.prompt, *row.tokens] for row in rows]
    return torch.cat([model(input_ids=torch.tensor([ids])).logits[:, -1] for ids in read])


def gap(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return ((ours - theirs).norm() / theirs.norm()).item()


def episodes(lengths, seed=0) -> list[Episode]:
    numbers = torch.Generator().manual_seed(seed)
    rows = [torch.randint(0, 256, (length,), generator=numbers).tolist() for length in lengths]
    return [Episode(place, tokens, 0, 100) for place, tokens in enumerate(rows)]


@torch.no_grad()
def test_logits_are_those_of_whole_rows(model, precision):
    """Over prompts of different lengths, 70 steps, and columns that are added three times."""
    assert takes_slim(model)
    rows = episodes([9, 4, 20, 1])
    decoder = Slim(model, 4, 128, torch.float32)
    assert gap(decoder.prefill(rows, 0), whole(model, rows)) < 1e-5
    for step in range(70):
        for row in rows:
            row.add((5 * step + row.index) % 256, 0.0)
        assert gap(decoder.step(rows), whole(model, rows)) < 1e-5
    assert decoder.kept.width == 3 * COLUMNS


@torch.no_grad()
def test_rows_move_and_columns_are_given_back(model):
    rows = episodes([90, 3, 5])
    decoder = Slim(model, 3, 128, torch.float32)
    decoder.prefill(rows, 0)
    decoder.move(2, 0, 5)
    live = [rows[2], rows[1]]
    for row in live:
        row.add(7, 0.0)
    assert gap(decoder.step(live), whole(model, live)) < 1e-5
    assert decoder.kept.width == COLUMNS


@torch.no_grad()
def test_equal_prompts_are_read_once_and_what_others_begin_with(model, monkeypatch):
    monkeypatch.setattr("instructgpt.rollout.prefix.SHORTEST", 20)
    (longest, other) = episodes([40, 12])
    prompts = [longest.prompt, [*longest.prompt[:30], 3, 1], other.prompt, longest.prompt[:25]]
    rows = [Episode(place, tokens, 0, 100) for place, tokens in enumerate([*prompts, *prompts])]
    decoder = Slim(model, 9, 128, torch.float32)
    read = []
    states = type(decoder.stack).states
    monkeypatch.setattr(
        type(decoder.stack),
        "states",
        lambda stack, ids, *args: read.append(len(ids)) or states(stack, ids, *args),
    )
    assert gap(decoder.prefill(rows, 1), whole(model, rows)) < 1e-5
    assert read == [24, 16 + 8 + 12 + 1]  # 24 tokens that three share, then what is left
    for slot, row in enumerate(rows):
        row.add(slot, 0.0)
    decoder.kept.move(0, 0)
    shifted = [Episode(9, [1], 0, 9), *rows]
    shifted[0].add(1, 0.0)
    assert gap(decoder.step(shifted)[1:], whole(model, rows)) < 1e-5


def test_answers_are_those_of_the_models_own_forward(model, monkeypatch):
    prompts = [row.prompt for row in episodes([30, 1, 7, 7, 12, 3, 25, 4, 9])]
    sampling = Sampling(60, stop_tokens=tuple(range(8)))
    ours = RolloutEngine(model, slots=3).generate(prompts, range(9), sampling)
    monkeypatch.setattr("instructgpt.rollout.engine.takes_slim", lambda _: False)
    theirs = RolloutEngine(model, slots=3).generate(prompts, range(9), sampling)
    assert len({len(sample.tokens) for sample in ours}) > 2
    assert [sample.tokens for sample in ours] == [sample.tokens for sample in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)


@torch.no_grad()
def test_in_bfloat16_logits_are_as_close_as_autocasts(model):
    rows = episodes([9, 4, 20, 1])
    exact = whole(model, rows)
    with torch.autocast("cpu", torch.bfloat16):
        theirs = whole(model, rows).float()
        decoder = Slim(model, 4, 128, torch.bfloat16)
        ours = decoder.prefill(rows, 0).float()
        assert 1e-4 < gap(ours, exact) < 1.5 * gap(theirs, exact)
        for row in rows:
            row.add(9, 0.0)
        ours, theirs = decoder.step(rows).float(), whole(model, rows).float()
    exact = whole(model, rows)
    assert 1e-4 < gap(ours, exact) < 1.5 * gap(theirs, exact)


# ---------------------------------------------------------------- what is taken


def test_a_model_that_was_changed_is_sampled_by_its_own_forward():
    def changed(change) -> PreTrainedModel:
        model = tiny_model("llama")
        assert takes_slim(model)
        change(model.model.layers[1].self_attn)
        return model

    class Adapted(nn.Module):
        """As peft's: around the layer, whose weight it shows."""

        def __init__(self, base):
            super().__init__()
            self.base = base
            self.more = nn.Linear(32, 32, bias=False)

        weight = property(lambda self: self.base.weight)
        bias = property(lambda self: self.base.bias)

        def forward(self, states):
            return self.base(states) + self.more(states)

    def adapt(attention):
        attention.q_proj = Adapted(attention.q_proj)

    def replace(attention):
        attention.__class__ = type("Other", (type(attention),), {"__module__": "elsewhere"})

    def hook(attention):
        attention.register_forward_hook(lambda *_: None)

    def forward(attention):
        attention.forward = attention.forward

    def half(attention):
        attention.to(torch.bfloat16)

    for change in (adapt, replace, hook, forward, half):
        assert not takes_slim(changed(change)), change


@pytest.mark.parametrize(
    "config",
    [
        tiny_config("gpt_neox"),
        LlamaConfig(**SIZE, rope_parameters={**ROPE, "rope_type": "dynamic"}),
    ],
    ids=["another family", "positions that change with the longest row"],
)
def test_others_are_not_taken(config):
    assert not takes_slim(AutoModelForCausalLM.from_config(config).float())


def test_one_whose_logits_come_out_otherwise_is_not_taken(monkeypatch, caplog):
    """As a later transformers might change a family."""
    rms = "instructgpt.models.slim.families._rms"
    monkeypatch.setattr(rms, lambda norm: lambda states: 0.99 * norm(states))
    assert not takes_slim(tiny_model("llama"))
    assert "LlamaForCausalLM" in caplog.text


def test_one_with_a_part_that_is_not_as_known_is_not_taken():
    model = tiny_model("llama")
    model.model.layers[0].input_layernorm = nn.RMSNorm(32)  # its epsilon has another name
    assert not takes_slim(model)


def test_layers_that_are_recomputed_are_laid_out_all_the_same():
    model = tiny_model("llama")
    shard(model, SFTConfig(model="m", data="d", out="o", activation_checkpointing=True), World())
    assert takes_slim(model)
    assert RolloutEngine(model).way == "laid out"


def test_the_way_is_told(by_forward):
    assert RolloutEngine(tiny_model("llama")).way == "cache"


def test_no_prompts_have_no_answers():
    assert RolloutEngine(tiny_model("llama")).generate([], [], Sampling(3)) == []


@torch.no_grad()
def test_buffers_are_no_wider_than_the_longest_row(monkeypatch):
    monkeypatch.setattr("instructgpt.rollout.prefix.SHORTEST", 20)
    (one, other) = episodes([65, 60])
    rows = [one, Episode(1, [*one.prompt[:64], 3], 0, 9), other]
    model = tiny_model("llama")
    decoder = Slim(model, 3, 128, torch.float32)
    read = decoder.read(
        [tuple(row.prompt) for row in rows], 0, [Beginning((*one.prompt[:64],), [0, 1])]
    )
    assert gap(read, whole(model, rows)) < 1e-5
    assert decoder.kept.width == 3 * COLUMNS


# ---------------------------------------------------------------- its parts


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("has_bias", [True, False])
def test_a_product_of_layers_side_by_side(dtype, has_bias, precision):
    layers = [nn.Linear(24, size, bias=has_bias) for size in (8, 16, 40)]
    multiply = products.product(layers, dtype, 4)
    states_NI = torch.randn(5, 24)
    expected = torch.cat([layer(states_NI) for layer in layers], -1)
    found = multiply(states_NI.to(dtype))
    assert found.dtype == dtype
    assert gap(found.float(), expected) < (1e-6 if dtype == torch.float32 else 1e-2)


def test_without_onednn_products_are_plain(monkeypatch, precision):
    def missing(*_):
        raise RuntimeError("no such operator")

    monkeypatch.setattr(torch.ops.mkldnn, "_reorder_linear_weight", missing)
    layer = nn.Linear(24, 8)
    states_NI = torch.randn(5, 24)
    found = products.product([layer], torch.float32, 4)(states_NI)
    assert torch.allclose(found, layer(states_NI), atol=1e-6)


def test_columns_grow_and_shrink_and_keep_what_they_hold():
    kept = Columns(1, 2, Heads(4, 2, 3), torch.float32)
    kept.fit(1)
    assert kept.width == COLUMNS
    keys, values = kept.layers[0]
    keys.normal_()
    values.normal_()
    before = keys.clone(), values.clone()
    kept.grow(COLUMNS + 1)
    assert kept.width == 2 * COLUMNS
    kept.fit(COLUMNS)  # not worth a copy
    assert kept.width == 2 * COLUMNS
    kept.grow(5 * COLUMNS)
    kept.grow(3)
    assert kept.width == 5 * COLUMNS
    assert not kept.layers[0][0][..., COLUMNS:].any()
    kept.fit(3)
    assert kept.width == COLUMNS
    assert all(map(torch.equal, kept.layers[0], before))
