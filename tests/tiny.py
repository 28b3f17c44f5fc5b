"""Small models and tokenizers with random weights, one per architecture family, built in
milliseconds.
"""

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPTNeoConfig,
    GPTNeoXConfig,
    LlamaConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

from instructgpt.models.facts import Kind, ModelFacts

ARCHITECTURES = ("gpt2", "gpt_neo", "gpt_neox", "llama", "qwen2")
EOS, PAD = "<|endoftext|>", "<|pad|>"


def byte_tokenizer(*, pad_is_eos: bool = False, chat_template: str | None = None):
    """Byte-level, no merges: 256 bytes, then EOS (256) and PAD (257)."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE({letter: i for i, letter in enumerate(alphabet)}, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens([EOS, PAD])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token=EOS, pad_token=EOS if pad_is_eos else PAD
    )
    tokenizer.chat_template = chat_template
    return tokenizer


def bos_tokenizer():
    """A tokenizer that begins every text with a token of its own (258), as Llama's does."""
    tokenizer = byte_tokenizer()
    tokenizer.add_special_tokens({"bos_token": "<s>"})
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 258)]
    )
    return tokenizer


def tiny_config(arch: str, *, vocab_size: int = 258, width: int = 32, layers: int = 2, context=128):
    """A configuration of the family with 4 heads; GPT-Neo gets a local window of 8 so that it
    bites.
    """
    common = {
        "vocab_size": vocab_size,
        "bos_token_id": 256,
        "eos_token_id": 256,
        "pad_token_id": 257,
    }
    if vocab_size < 258:
        common |= {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": vocab_size - 1}
    rope = common | {
        "hidden_size": width,
        "intermediate_size": 2 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "max_position_embeddings": context,
    }
    if arch == "gpt2":
        return GPT2Config(**common, n_embd=width, n_layer=layers, n_head=4, n_positions=context)
    if arch == "gpt_neo":
        return GPTNeoConfig(
            **common,
            hidden_size=width,
            num_layers=layers,
            num_heads=4,
            attention_types=[[["global", "local"], layers // 2]],
            window_size=8,
            max_position_embeddings=context,
        )
    if arch == "gpt_neox":
        return GPTNeoXConfig(**rope, rotary_pct=0.25, tie_word_embeddings=False)
    if arch == "llama":
        return LlamaConfig(**rope, num_key_value_heads=2, tie_word_embeddings=True)
    if arch == "qwen2":
        return Qwen2Config(**rope, num_key_value_heads=2, tie_word_embeddings=True)
    raise ValueError(arch)


def tiny_model(
    arch: str = "llama", *, seed: int = 0, scale: float = 4.0, **kwargs
) -> PreTrainedModel:
    """A random model in eval mode. `scale` widens the initial weights so that logits differ
    visibly.
    """
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(tiny_config(arch, **kwargs))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(scale)
    return model.float().eval()


def any_model(path: str, kind: Kind) -> ModelFacts:
    """Stands in for the models of the pages, which nobody has trained."""
    scorer = kind == "scorer"
    return ModelFacts(path, Path(path), None, byte_tokenizer(), scorer, 4096, 258, 1_000)  # type: ignore[arg-type]
