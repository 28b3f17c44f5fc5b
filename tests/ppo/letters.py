"""A policy that writes letters: so few tokens that answers end by themselves and can be counted."""

from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from instructgpt.ppo.config import PPOConfig
from instructgpt.ppo.model import PPOModel
from instructgpt.reward.model import RewardModel
from instructgpt.rollout.policy import SFTModel
from tests.tiny import EOS, PAD, tiny_model

END = 0
"""The id of the end-of-text token."""

PROMPTS = ("cab", "a", "baggage", "bad", "deface", "ab", "fed", "bagged")
"""Ragged: one to seven tokens."""


def letter_tokenizer(letters: str = "abcdefg", *, pad_is_eos: bool = True):
    """End-of-text is 0, then come the letters, then a padding token, which may go unused."""
    vocabulary = {EOS: END} | {letter: i for i, letter in enumerate(letters, 1)}
    core = Tokenizer(models.BPE(vocabulary, []))
    core.decoder = decoders.Fuse()
    core.add_special_tokens([EOS, PAD])
    return PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token=EOS, pad_token=EOS if pad_is_eos else PAD
    )


def letter_policy(
    arch: str = "llama",
    *,
    letters: str = "abcdefg",
    pad_is_eos: bool = True,
    scale: float = 8.0,
    **shape,
) -> SFTModel:
    """A random policy; it may write the padding token like any other."""
    tokenizer = letter_tokenizer(letters, pad_is_eos=pad_is_eos)
    model = tiny_model(arch, vocab_size=len(tokenizer), scale=scale, **shape)
    model.config.pad_token_id = tokenizer.pad_token_id
    return SFTModel(model, tokenizer)


def letter_ppo(arch: str = "llama", *, seed: int = 0, **shape) -> PPOModel:
    """Four networks; the reward model's trunk is not the policy's, and its scores are shifted."""
    reward = RewardModel(letter_policy(arch, seed=seed + 100, **shape), seed=seed)
    reward.shift = 0.25
    return PPOModel(letter_policy(arch, seed=seed, **shape), reward)


def make_config(**changes) -> PPOConfig:
    """Eight episodes of up to six tokens, two minibatches of several micro-batches, no ptx."""
    values = {
        "model": "policy",
        "reward_model": "reward",
        "data": "prompts",
        "out": "run",
        "batch_size": 8,
        "num_mini_batches": 2,
        "response_length": 6,
        "micro_batch_tokens": 24,
        "warmup": 0,
        "ptx_coef": 0.0,
    }
    return PPOConfig(**values | changes)
