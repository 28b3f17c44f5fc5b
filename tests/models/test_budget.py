"""How many tokens a pass holds where the configuration leaves it open."""

import pytest
from transformers import GPT2Config, LlamaConfig

from instructgpt.models.budget import pass_tokens, tokens_that_fit
from tests.tiny import tiny_model

GB = 10**9


def llama(width, inner, layers):
    return LlamaConfig(hidden_size=width, intermediate_size=inner, num_hidden_layers=layers)


@pytest.mark.parametrize(
    ("config", "memory", "expected"),
    [
        # 30 layers of 24 * 576 + 8 * 1536 bytes: 783,360 a token; 0.35 * 80 GB hold 35,743.
        (llama(576, 1536, 30), 80 * GB, 32768),
        (llama(576, 1536, 30), 24 * GB, 8192),  # 10,723
        (llama(2048, 8192, 16), 80 * GB, 8192),  # 1,835,008 a token: 15,259
        (llama(4096, 11008, 32), 80 * GB, 4096),  # 5,963,776 a token: 4,695
        (llama(8192, 28672, 80), 80 * GB, 1024),  # 846, and never less than 1,024
        # An MLP that is not named is four times as wide: 12 * 56 * 768 = 516,096 a token.
        (GPT2Config(), 8 * GB, 4096),  # 5,425
        (GPT2Config(), 8000 * GB, 32768),
    ],
)
def test_a_pass_takes_its_share_of_a_gpu(config, memory, expected):
    assert tokens_that_fit(config, memory) == expected


def test_a_cpu_and_a_setting_have_their_own():
    assert pass_tokens(0, tiny_model()) == 1024
    assert pass_tokens(77, tiny_model()) == 77
