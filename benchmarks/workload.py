"""The work that all sides of a comparison get: the same weights, tokens and answer lengths.

Only the lengths of texts matter to speed, so prompts and answers are drawn token ids, and a
tokenizer that spells an id as its number carries them through interfaces that take text.
"""

import argparse
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from instructgpt.models.load import load_policy
from instructgpt.models.smollm2 import smollm2
from instructgpt.rollout import episode
from instructgpt.rollout.policy import SFTModel
from instructgpt.rollout.sampling import uniforms
from instructgpt.run.tuning import choose, keep_freed_memory

SHAPES = {
    # vocabulary, width, MLP, layers, heads, key/value heads
    "tiny": (512, 32, 64, 2, 4, 2),
    "small": (8192, 256, 704, 4, 8, 4),
    "llama-10m": (8192, 320, 864, 6, 5, 5),
    "135m": (49152, 576, 1536, 30, 9, 3),
    "1b": (128256, 2048, 8192, 16, 32, 8),
}
"""Llama models with tied embeddings; 135m is SmolLM2's shape and 1b that of Llama 3.2."""


def load(arguments: argparse.Namespace, *, peer: bool = False) -> SFTModel:
    """Set this process up for its side, and give it the policy in float32.

    Our side is set up as a stage is; a tuned peer gets the same matmul backend and allocator.
    """
    torch.set_num_threads(arguments.threads)
    if not peer:
        kept = {"threads": arguments.threads, "matmul": arguments.matmul}
        choose(arguments.threads, kept, "this benchmark")
    elif arguments.tuned:
        keep_freed_memory()
        torch.set_float32_matmul_precision(arguments.matmul)
    if arguments.shape:
        model = random_model(arguments.shape, arguments.device)
    else:
        model = load_policy(arguments.model or smollm2())
    tokenizer = number_tokenizer(model.config.get_text_config().vocab_size)
    for config in filter(None, (model.config, model.generation_config)):
        config.eos_token_id = tokenizer.eos_token_id
        config.pad_token_id = tokenizer.pad_token_id
    return SFTModel(model, tokenizer, device=arguments.device)


def random_model(shape: str, device: str = "cpu") -> PreTrainedModel:
    """A Llama model of a shape, always with the same weights on the same kind of device."""
    vocab_size, width, mlp, layers, heads, kv_heads = SHAPES[shape]
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=width,
        intermediate_size=mlp,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=0,
    )
    with torch.device(device):
        return LlamaForCausalLM(config).float().eval()


def number_tokenizer(vocab_size: int) -> PreTrainedTokenizerFast:
    """Token 7 is written "7"; the last two ids are the padding and the end token."""
    vocabulary = {str(token): token for token in range(vocab_size - 2)}
    vocabulary |= {PAD: vocab_size - 2, END: vocab_size - 1}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token=PAD))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token=PAD, eos_token=END)


PAD, END = "<|pad|>", "<|end|>"

SETTINGS: dict[str, Any] = {
    "model": "-",
    "data": "-",
    "out": "-",
    "learning_rate": 1e-6,
    "schedule": "constant",
}
"""Of any stage: keys that its trainer does not read, and steps too small to matter."""


def as_text(tokens: Sequence[int]) -> str:
    """What the tokenizer reads as these tokens."""
    return " ".join(map(str, tokens))


def draw_lengths(count: int, least: int, most: int, *, seed: int) -> list[int]:
    """Lengths between two bounds, both included."""
    numbers = random.Random(seed)
    return [numbers.randint(least, most) for _ in range(count)]


def draw_tokens(lengths: Sequence[int], policy: SFTModel, *, seed: int) -> list[list[int]]:
    """A text of each length, without the two special tokens."""
    numbers = random.Random(seed)
    ordinary = policy.model.config.get_text_config().vocab_size - 2
    return [[numbers.randrange(ordinary) for _ in range(length)] for length in lengths]


@contextmanager
def forced_lengths(of_seed: Mapping[int, int]) -> Iterator[None]:
    """Our engine's answers get these lengths, and sampling is otherwise what it always is.

    A uniform number of 1 draws the vocabulary's last token, which is the end token here; below 0.99
    none draws it.
    """

    def forced(seed: int, count: int) -> list[float]:
        drawn = [0.99 * number for number in uniforms(seed, count)]
        drawn[of_seed[seed] - 1] = 1.0
        return drawn

    with mock.patch.object(episode, "uniforms", forced):
        yield
