"""A GGUF file written by hand: each tensor under its name, rotations as transformers has them."""

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType, GGUFWriter, quants
from transformers import LlamaConfig, LlamaForCausalLM

from instructgpt.models.llama_gguf import read_model, read_tokenizer

TOKENS = ["<end>", "<turn>", *"abcd", "ab", "Ġ", "Ġab"]
MERGES = ["a b", "Ġ ab"]
SMALL = LlamaConfig(
    vocab_size=len(TOKENS),
    hidden_size=64,
    intermediate_size=96,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=16,
    max_position_embeddings=48,
    rms_norm_eps=2**-16,
    rope_parameters={"rope_type": "default", "rope_theta": 500.0},
    tie_word_embeddings=True,
    bos_token_id=1,
    eos_token_id=0,
    pad_token_id=0,
)


def paired_rows(weight: np.ndarray, heads: int) -> np.ndarray:
    """What llama.cpp's converter does to queries and keys."""
    half = weight.shape[0] // heads // 2
    split = weight.reshape(heads, 2, half, *weight.shape[1:])
    return split.swapaxes(1, 2).reshape(weight.shape)


def file_name(name: str) -> str:
    """What llama.cpp's converter calls a tensor of transformers."""
    parts = {
        "input_layernorm": "attn_norm",
        "q_proj": "attn_q",
        "k_proj": "attn_k",
        "v_proj": "attn_v",
        "o_proj": "attn_output",
        "post_attention_layernorm": "ffn_norm",
        "gate_proj": "ffn_gate",
        "up_proj": "ffn_up",
        "down_proj": "ffn_down",
    }
    whole = {
        "model.embed_tokens.weight": "token_embd.weight",
        "model.norm.weight": "output_norm.weight",
    }
    if name in whole:
        return whole[name]
    layer, part = name.split(".")[2], name.split(".")[-2]
    return f"blk.{layer}.{parts[part]}.weight"


def as_it_is(name, weight):
    return weight, None


def write(path, model, quantize=as_it_is, architecture="llama"):
    writer = GGUFWriter(path, architecture)
    writer.add_block_count(2)
    writer.add_context_length(48)
    writer.add_embedding_length(64)
    writer.add_feed_forward_length(96)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(2**-16)
    writer.add_rope_dimension_count(16)
    writer.add_rope_freq_base(500.0)
    writer.add_vocab_size(len(TOKENS))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(TOKENS)
    writer.add_token_types([3, 3, *[1] * (len(TOKENS) - 2)])
    writer.add_token_merges(MERGES)
    for add in (writer.add_eos_token_id, writer.add_unk_token_id, writer.add_pad_token_id):
        add(0)
    writer.add_bos_token_id(1)
    for name, parameter in model.named_parameters():
        weight = parameter.detach().numpy()
        heads = {"q_proj": 4, "k_proj": 2}.get(name.split(".")[-2])
        if heads:
            weight = paired_rows(weight, heads)
        data, kind = quantize(name, weight)
        writer.add_tensor(file_name(name), data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = LlamaForCausalLM(SMALL).float().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return model


def test_a_plain_file_gives_back_the_model(model, tmp_path):
    found = read_model(write(tmp_path / "plain.gguf", model))
    expected = model.state_dict()
    assert set(found.state_dict()) == set(expected)
    for name, weight in found.state_dict().items():
        assert torch.equal(weight, expected[name]), name
    assert found.lm_head.weight is found.model.embed_tokens.weight
    ids = torch.tensor([[1, 2, 3, 6, 4]])
    assert torch.equal(found(input_ids=ids).logits, model(input_ids=ids).logits)
    settings = {k: v for k, v in SMALL.to_dict().items() if k != "pad_token_id"}
    assert {key: found.config.to_dict()[key] for key in settings} == settings


def test_a_quantized_file_is_what_its_blocks_say(model, tmp_path):
    """Q8_0 by hand: 32 numbers share a scale of 16 bits, each is a whole number of them."""

    def quantize(name, weight):
        if weight.ndim < 2:
            return weight, None
        return quants.quantize(weight, GGMLQuantizationType.Q8_0), GGMLQuantizationType.Q8_0

    found = read_model(write(tmp_path / "q8.gguf", model, quantize))
    name = "model.layers.1.mlp.up_proj.weight"
    blocks = model.state_dict()[name].numpy().reshape(-1, 32)
    scales = np.abs(blocks).max(axis=1, keepdims=True) / np.float32(127)
    whole = np.round(blocks / scales).astype(np.float32)
    by_hand = (whole * scales.astype(np.float16).astype(np.float32)).reshape(96, 64)
    assert np.abs(found.state_dict()[name].numpy() - by_hand).max() < 1e-6
    norm = "model.norm.weight"
    assert torch.equal(found.state_dict()[norm], model.state_dict()[norm])


def test_the_tokenizer_is_byte_level_and_control_tokens_stay_whole(model, tmp_path):
    path = write(tmp_path / "plain.gguf", model)
    tokenizer = read_tokenizer(path, pad_token="<turn>")
    assert tokenizer("ab abc<end>ba")["input_ids"] == [6, 8, 4, 0, 3, 2]
    assert tokenizer.decode([6, 8, 4]) == "ab abc"
    named = (tokenizer.bos_token, tokenizer.eos_token, tokenizer.unk_token, tokenizer.pad_token)
    assert named == ("<turn>", "<end>", "<end>", "<turn>")
    tokenizer.save_pretrained(tmp_path / "saved")
    again = type(tokenizer).from_pretrained(tmp_path / "saved")
    assert again("ab abc<end>ba")["input_ids"] == [6, 8, 4, 0, 3, 2]


def test_another_architecture_is_refused(model, tmp_path):
    path = write(tmp_path / "gemma.gguf", model, architecture="gemma")
    with pytest.raises(ValueError, match="'gemma', not llama"):
        read_model(path)
