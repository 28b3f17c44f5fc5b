"""A Llama model from a GGUF file: configuration, weights and tokenizer, read with `gguf` alone.

transformers reads such files too, but only beside a further package, and its tensors, settings and
tokenizer come out the same to the bit.

Axes: H heads, I and J the halves of a head, D width.
"""

from pathlib import Path
from typing import Any

import torch
from gguf import GGUFReader, ReaderTensor
from gguf.quants import dequantize
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

WHOLE = {"token_embd": "model.embed_tokens", "output_norm": "model.norm"}
LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"""What a file calls a tensor, of the model and of each layer, and what transformers calls it."""
CONTROL = 3
"""The type of a token that stands for itself and is never cut into pieces."""
SETTINGS = {
    "block_count": "num_hidden_layers",
    "context_length": "max_position_embeddings",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "rope.dimension_count": "head_dim",
    "vocab_size": "vocab_size",
}


def read_model(path: Path, **settings: Any) -> LlamaForCausalLM:
    """The model in float32, in eval mode, its output layer tied to the embedding.

    Args:
        path: a GGUF file of the Llama architecture, quantized or not.
        settings: of the configuration, winning over the file's.
    """
    reader = GGUFReader(path)
    config = LlamaConfig(**_config(reader) | settings)
    model = LlamaForCausalLM(config).float().eval()
    weights = dict(_weight(tensor, config) for tensor in reader.tensors)
    embedding = weights["model.embed_tokens.weight"]
    model.load_state_dict({**weights, "lm_head.weight": embedding})
    return model


def read_tokenizer(path: Path, **special: str) -> PreTrainedTokenizerFast:
    """The byte-level tokenizer of a GGUF file.

    Args:
        path: the file.
        special: such as `pad_token`, winning over the file's.
    """
    reader = GGUFReader(path)
    tokens = _field(reader, "tokenizer.ggml.tokens")
    merges = [tuple(merge.split(" ")) for merge in _field(reader, "tokenizer.ggml.merges")]
    bpe = models.BPE(
        vocab={token: index for index, token in enumerate(tokens)},
        merges=merges,
        continuing_subword_prefix="",
        end_of_word_suffix="",
    )
    core = Tokenizer(bpe)
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    types = _field(reader, "tokenizer.ggml.token_type")
    control = [token for token, kind in zip(tokens, types, strict=True) if kind == CONTROL]
    core.add_special_tokens([AddedToken(token, normalized=False) for token in control])
    own = {
        f"{name}_token": tokens[_field(reader, f"tokenizer.ggml.{key}_token_id")]
        for name, key in (("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding"))
    }
    return PreTrainedTokenizerFast(tokenizer_object=core, **own | special)


def _config(reader: GGUFReader) -> dict[str, Any]:
    architecture = _field(reader, "general.architecture")
    if architecture != "llama":
        raise ValueError(f"a GGUF file of the architecture '{architecture}', not llama")
    own = {name: _field(reader, f"llama.{key}") for key, name in SETTINGS.items()}
    theta = _field(reader, "llama.rope.freq_base")
    return own | {
        "rope_parameters": {"rope_type": "default", "rope_theta": theta},
        "bos_token_id": _field(reader, "tokenizer.ggml.bos_token_id"),
        "eos_token_id": _field(reader, "tokenizer.ggml.eos_token_id"),
        "tie_word_embeddings": True,
    }


def _weight(tensor: ReaderTensor, config: LlamaConfig) -> tuple[str, Tensor]:
    """A tensor under the name that transformers knows, in float32."""
    stem, _, kind = tensor.name.rpartition(".")
    if stem in WHOLE:
        name = f"{WHOLE[stem]}.{kind}"
    else:
        _, layer, part = stem.split(".")
        name = f"model.layers.{layer}.{LAYER[part]}.{kind}"
    weight = torch.from_numpy(dequantize(tensor.data, tensor.tensor_type).copy())
    if stem.endswith("attn_q"):
        weight = _halves_apart(weight, config.num_attention_heads)
    elif stem.endswith("attn_k"):
        assert config.num_key_value_heads is not None
        weight = _halves_apart(weight, config.num_key_value_heads)
    return name, weight


def _halves_apart(weight_HJID: Tensor, heads: int) -> Tensor:
    """A file has the two rows that a rotation turns side by side; transformers has them half a
    head apart.
    """
    weight = weight_HJID.unflatten(0, (heads, -1, 2)).transpose(1, 2)
    return weight.reshape(weight_HJID.shape).contiguous()


def _field(reader: GGUFReader, name: str) -> Any:
    field = reader.get_field(name)
    if field is None:
        raise ValueError(f"the GGUF file has no field '{name}'")
    return field.contents()
