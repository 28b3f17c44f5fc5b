"""The batched products against attention written out head by head in float64."""

import math

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, DeepseekV32Config
from transformers.masking_utils import sdpa_mask

from instructgpt.models import attention
from instructgpt.models.attention import attend, batched_products
from instructgpt.models.load import use_attention
from instructgpt.models.tree import reads_trees
from instructgpt.rollout import RolloutEngine, Sampling
from tests.tiny import tiny_model

PADDING = [0, 3, 5]


@pytest.fixture
def fused_calls(monkeypatch):
    """The shapes of what still goes to the fused kernel."""
    shapes = []
    fused = attention.sdpa_attention_forward

    def noted(module, query, *args, **kwargs):
        shapes.append(tuple(query.shape))
        return fused(module, query, *args, **kwargs)

    monkeypatch.setattr(attention, "sdpa_attention_forward", noted)
    return shapes


def inputs(new: int, heads: int, key_heads: int, width: int = 7, size: int = 6):
    """Random queries, keys and values, and the mask of left-padded rows."""
    torch.manual_seed(0)
    query = torch.randn(3, heads, new, size)
    key, value = torch.randn(2, 3, key_heads, width, size)
    is_token = torch.arange(width) >= torch.tensor(PADDING)[:, None]
    mask = sdpa_mask(
        batch_size=3, q_length=new, kv_length=width, q_offset=width - new, attention_mask=is_token
    )
    return query, key, value, mask


def by_hand(query, key, value, row: int, head: int, new: int, scaling: float):
    """One query's output in float64: it sees its row's tokens up to its own column."""
    shared = head // (query.shape[1] // key.shape[1])
    last = key.shape[2] - query.shape[2] + new
    keys, values = (
        states[row, shared, PADDING[row] : last + 1].double() for states in (key, value)
    )
    probs = (keys @ query[row, head, new].double() * scaling).softmax(0)
    return (probs @ values).float()


@pytest.mark.parametrize("new", [1, 7], ids=["decoding", "prefill"])
@pytest.mark.parametrize(("heads", "key_heads"), [(4, 4), (6, 2), (3, 1)])
@pytest.mark.parametrize("scaling", [None, 0.3])
@pytest.mark.parametrize("block", [attention.BLOCK, 3], ids=["one block", "blocks"])
def test_every_head_of_every_row(new, heads, key_heads, scaling, block, fused_calls, monkeypatch):
    monkeypatch.setattr(attention, "BLOCK", block)
    query, key, value, mask = inputs(new, heads, key_heads)
    assert mask is not None
    out_BTHD, _ = attend(nn.Module(), query, key, value, mask, scaling=scaling)
    assert out_BTHD.shape == (3, new, heads, 6)
    assert out_BTHD.isfinite().all()  # also where a row's padding stands
    assert not fused_calls
    for row in range(3):
        for head in range(heads):
            for t in range(max(0, PADDING[row] - (7 - new)), new):
                expected = by_hand(query, key, value, row, head, t, scaling or 1 / math.sqrt(6))
                torch.testing.assert_close(out_BTHD[row, t, head], expected)


def test_one_new_token_in_rows_of_one_length_needs_no_mask(fused_calls):
    query, key, value, _ = inputs(1, 4, 2)
    out_BTHD, _ = attend(nn.Module(), query, key, value, None)
    expected = by_hand(query, key, value, row=0, head=3, new=0, scaling=1 / math.sqrt(6))
    torch.testing.assert_close(out_BTHD[0, 0, 3], expected)
    assert not fused_calls


def test_rows_of_one_length_are_causal_without_a_mask(fused_calls):
    query, key, value, _ = inputs(7, 4, 2)
    out_BTHD, _ = attend(nn.Module(), query, key, value, None)
    for t in range(7):
        expected = by_hand(query, key, value, row=0, head=3, new=t, scaling=1 / math.sqrt(6))
        torch.testing.assert_close(out_BTHD[0, t, 3], expected)
    assert not fused_calls


def test_blocks_leave_out_only_what_no_query_sees(fused_calls, monkeypatch):
    """Rows of 7 in blocks of 3, where each query sees two keys beyond its own."""
    monkeypatch.setattr(attention, "BLOCK", 3)
    query, key, value, _ = inputs(7, 4, 2)
    sees = torch.ones(7, 7, dtype=torch.bool).tril(2)
    assert attention._blocks(sees[None, None], 7, 7) == [(0, 3, 7), (3, 6, 7), (6, 7, 7)]
    assert attention._blocks(sees.tril()[None, None], 7, 7) == [(0, 3, 3), (3, 6, 6), (6, 7, 7)]
    out_BTHD, _ = attend(nn.Module(), query, key, value, sees[None, None])
    keys, values = key[1, 1].double(), value[1, 1].double()
    for t in range(7):
        seen = slice(0, t + 3)
        probs = (keys[seen] @ query[1, 3, t].double() / math.sqrt(6)).softmax(0)
        torch.testing.assert_close(out_BTHD[1, t, 3], (probs @ values[seen]).float())
    assert not fused_calls


@pytest.mark.parametrize("block", [attention.BLOCK, 3], ids=["one block", "blocks"])
@pytest.mark.parametrize("masked", [True, False])
def test_gradients_are_those_of_the_fused_kernel(masked, block, fused_calls, monkeypatch):
    """Of the same queries, keys and values; rows that begin with padding see nothing there."""
    monkeypatch.setattr(attention, "BLOCK", block)
    query, key, value, mask = inputs(7, 6, 2)
    module = nn.Module()
    module.num_key_value_groups = 3
    weight_BTHD = torch.randn(3, 7, 6, 6)
    if masked:  # what a padding token sees is nobody's business
        is_token = torch.arange(7) >= torch.tensor(PADDING)[:, None]
        weight_BTHD *= is_token[..., None, None]
    found = []
    for largest in (attention.LARGEST_TRAINED, 0):
        monkeypatch.setattr(attention, "LARGEST_TRAINED", largest)
        leaves = [states.clone().requires_grad_(True) for states in (query, key, value)]
        out_BTHD, _ = attend(module, *leaves, mask if masked else None)
        (out_BTHD * weight_BTHD).sum().backward()
        found.append([leaf.grad for leaf in leaves])
    assert len(fused_calls) == 1
    for products, fused in zip(*found, strict=True):
        torch.testing.assert_close(products, fused)


FUSED = ["not causal", "dropout", "mask by head", "additive term", "too many", "too many to keep"]


@pytest.mark.parametrize("case", FUSED)
def test_what_the_fused_kernel_keeps(case, fused_calls, monkeypatch):
    query, key, value, mask = inputs(7, 4, 4)
    products, _ = attend(nn.Module(), query, key, value, mask)
    options = {}
    if case == "not causal":
        mask, options = None, {"is_causal": False}
    elif case == "dropout":
        options = {"dropout": 1e-9}
    elif case == "mask by head":
        mask = mask.expand(-1, 4, -1, -1)
    elif case == "additive term":
        options = {"position_bias": torch.zeros(1, 4, 7, 7)}
    elif case == "too many":
        monkeypatch.setattr(attention, "LARGEST_SCORES", 3 * 4 * 7 * 7 - 1)
    else:
        monkeypatch.setattr(attention, "LARGEST_TRAINED", 3 * 4 * 7 * 7 - 1)
        query.requires_grad_(True)
    fused, _ = attend(nn.Module(), query, key, value, mask, **options)
    assert fused_calls == [(3, 4, 7, 6)]
    # The last token sees its whole row, causal or not.
    torch.testing.assert_close(fused[0, -1], products[0, -1])


@pytest.mark.parametrize("kernels", ["sdpa", "eager"])
def test_a_sampling_model_uses_the_products_and_then_its_own_kernel_again(kernels, fused_calls):
    model = tiny_model("llama")
    model.set_attn_implementation(kernels)
    expected = model(input_ids=torch.tensor([[1, 2, 3]])).logits
    seen = set()
    watch = model.model.layers[0].self_attn.register_forward_pre_hook(
        lambda module, _inputs: seen.add(module.config._attn_implementation)
    )
    RolloutEngine(model).generate([[1, 2, 3], [4]], [0, 1], Sampling(5))
    RolloutEngine(model).generate([[1, 2, 3]], [0], Sampling(5))  # whose prompt has no mask
    assert seen == {attention.NAME}
    assert not fused_calls
    watch.remove()
    assert model.config._attn_implementation == kernels
    nn.init.constant_(model.model.norm.weight, torch.nan)
    with pytest.raises(RuntimeError):  # also after a failure
        RolloutEngine(model).generate([[1, 2, 3]], [0], Sampling(5))
    nn.init.ones_(model.model.norm.weight)
    assert model.config._attn_implementation == kernels
    assert torch.equal(model(input_ids=torch.tensor([[1, 2, 3]])).logits, expected)


def test_training_takes_the_products_unless_told():
    model = tiny_model("llama")
    use_attention(model, "auto")
    assert model.config._attn_implementation == attention.NAME
    use_attention(model, "sdpa")
    assert model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("kernels", ["sdpa", "eager"])
def test_a_model_of_other_kernels_is_left_alone(kernels):
    """GPT-Neo brings its own attention, whatever its configuration says."""
    model = tiny_model("gpt_neo")
    model.config._attn_implementation = kernels
    with batched_products(model):
        assert model.config._attn_implementation == kernels


def test_a_model_whose_indexer_picks_tokens_keeps_its_kernels():
    """DeepSeek-V3.2 looks at the kernels' name, and sees every token under one it does not know."""
    config = DeepseekV32Config(
        vocab_size=64, hidden_size=16, intermediate_size=16, moe_intermediate_size=8,
        num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2, n_routed_experts=2,
        num_experts_per_tok=1, n_group=1, topk_group=1, kv_lora_rank=8, q_lora_rank=8,
        qk_nope_head_dim=4, qk_rope_head_dim=4, v_head_dim=4, head_dim=4, index_topk=4,
        index_head_dim=8, index_n_heads=2, pad_token_id=0, bos_token_id=1, eos_token_id=1,
    )  # fmt: skip
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    row = torch.arange(2, 42)[None]
    with torch.no_grad():
        expected = model(input_ids=row).logits
        for kernels in ("auto", "batched", "tree_sdpa"):
            use_attention(model, kernels)
            with batched_products(model):
                assert torch.equal(model(input_ids=row).logits, expected)
    assert not reads_trees(model)
