"""GPT-3's shapes as GPT-Neo models, and the byte-level tokenizer of a model from scratch.

GPT-Neo is the architecture in transformers that alternates dense and local attention as GPT-3 does.
Where it differs from GPT-3, `docs/models.md` says so. Two differences are mended at initialization:
the residual projections are scaled by 1/sqrt(2 · layers) as in GPT-2, and the missing
1/sqrt(d_head) of the attention logits is folded into the query projection.
"""

import math
from collections.abc import Iterable

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GPTNeoConfig,
    GPTNeoForCausalLM,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from instructgpt.models.config import Shape
from instructgpt.models.fit import rows_needed
from instructgpt.run.seeds import seed_torch

EOS, PAD = "<|endoftext|>", "<|pad|>"


def gpt3_config(shape: Shape, tokenizer: PreTrainedTokenizerBase) -> GPTNeoConfig:
    """The configuration of a model of this shape that reads this tokenizer's vocabulary."""
    ids = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    return GPTNeoConfig(
        vocab_size=rows_needed(tokenizer),
        hidden_size=shape.width,
        num_layers=shape.layers,
        num_heads=shape.heads,
        attention_types=[[["global", "local"], -(-shape.layers // 2)]],
        max_position_embeddings=shape.context,
        window_size=shape.window,
        embed_dropout=0.0,
        attention_dropout=0.0,
        resid_dropout=0.0,
        bos_token_id=tokenizer.eos_token_id,  # pyright: ignore[reportArgumentType]
        **ids,  # pyright: ignore[reportArgumentType]
    )


def gpt3_model(shape: Shape, tokenizer: PreTrainedTokenizerBase, *, seed: int) -> GPTNeoForCausalLM:
    """A model of this shape with random weights.

    Args:
        shape: one of `SHAPES`, or your own.
        tokenizer: decides the vocabulary.
        seed: decides the weights.
    """
    config = gpt3_config(shape, tokenizer)
    seed_torch(seed, "init")
    model = GPTNeoForCausalLM(config).float().eval()
    residual, query = 1 / math.sqrt(2 * shape.layers), 1 / math.sqrt(shape.width // shape.heads)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith(("attn.attention.out_proj.weight", "mlp.c_proj.weight")):
                weight.mul_(residual)
            elif name.endswith("attn.attention.q_proj.weight"):
                weight.mul_(query)
    return model


def train_tokenizer(documents: Iterable[str], vocab_size: int) -> PreTrainedTokenizerBase:
    """A byte-level BPE tokenizer (GPT-2's kind) trained on the documents; any text can be encoded.

    Args:
        documents: the text to learn merges from.
        vocab_size: its size at most, the 256 bytes and two special tokens included.
    """
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[EOS, PAD],
        show_progress=False,
    )
    core.train_from_iterator(documents, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token=EOS, pad_token=PAD)
