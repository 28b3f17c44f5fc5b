"""The forward pass against plain transformers, one unpadded row at a time.

Axes: B rows, T time over the whole row, R response, V vocabulary.
"""

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    CohereConfig,
    Gemma2Config,
    GraniteConfig,
)

from instructgpt.models import forward
from instructgpt.models.dropout import residual_dropout
from instructgpt.models.forward import (
    head_is_plain,
    last_token_scores,
    response_logprobs,
    response_values,
)
from instructgpt.models.load import scorer_from_policy, use_attention
from instructgpt.models.rows import pad_rows
from instructgpt.sft.loss import completion_loss
from tests.tiny import ARCHITECTURES, tiny_model

EOS, PAD = 256, 257
PROMPTS = [[7, PAD, 0, EOS, 31], [EOS, 12], [90, 91, 92, 93, 94, 95, 96, 97, 98, 99, 100, 101]]
RESPONSES = [[40, EOS, 41, PAD, 42, 0, EOS], [PAD, PAD, 3, 4, 5, 6, 7, 8, 9, EOS], [EOS]]
"""Ragged, with the end, padding and filler tokens in every place that a mask could mistake."""

SHAPE = {
    "vocab_size": 258,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "eos_token_id": EOS,
}
OWN_LOGITS = {
    "granite": GraniteConfig(**SHAPE, pad_token_id=0, logits_scaling=8.0),
    "gemma2": Gemma2Config(**SHAPE, pad_token_id=0, head_dim=8, final_logit_softcapping=2.0),
    "cohere": CohereConfig(**SHAPE, pad_token_id=0, logit_scale=0.0625),
}
"""They scale or cap their logits. Padding id 0 makes its new embedding a zero vector."""


def own_logits_model(name):
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(OWN_LOGITS[name]).eval()


def reference_logprobs(model, prompt, response, temperature=1.0):
    """log p of each response token, from the full logits of one unpadded row."""
    logits_TV = model(torch.tensor([[*prompt, *response]])).logits[0] / temperature
    logprobs_TV = logits_TV.log_softmax(-1)
    return torch.stack(
        [logprobs_TV[len(prompt) + r - 1, token] for r, token in enumerate(response)]
    )


def weighted_gradient(model, values):
    """The gradient of a sum in which no two values weigh the same."""
    weights = torch.linspace(0.5, 1.5, len(values))
    gradients = torch.autograd.grad((weights * values).sum(), list(model.parameters()))
    return torch.cat([gradient.flatten() for gradient in gradients])


def assert_close(one, other):
    """Equal to 1e-5 of the largest value."""
    scale = other.abs().max().item()
    torch.testing.assert_close(one, other, atol=1e-5 * max(scale, 1), rtol=0)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("arch", [*ARCHITECTURES, *OWN_LOGITS])
def test_logprobs_and_gradients_equal_those_of_unpadded_rows(arch, temperature, side):
    model = own_logits_model(arch) if arch in OWN_LOGITS else tiny_model(arch)
    rows = pad_rows(PROMPTS, RESPONSES, side=side)
    logprobs_BR = response_logprobs(model, rows, temperature=temperature)
    expected = torch.cat(
        [
            reference_logprobs(model, prompt, response, temperature)
            for prompt, response in zip(PROMPTS, RESPONSES, strict=True)
        ]
    )
    ours = logprobs_BR[rows.is_response_BR]
    assert logprobs_BR.dtype == torch.float32
    assert not logprobs_BR[~rows.is_response_BR].any()
    assert_close(ours, expected)
    assert_close(weighted_gradient(model, ours), weighted_gradient(model, expected))


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_logprobs_add_up_to_the_reference_loss(arch):
    model = tiny_model(arch)
    rows = pad_rows(PROMPTS, RESPONSES)
    is_response_BT = rows.is_token_BT & (
        torch.arange(rows.tokens_BT.shape[1]) >= torch.tensor([[len(p)] for p in PROMPTS])
    )
    logits_BTV = model(input_ids=rows.tokens_BT, attention_mask=rows.is_token_BT.long()).logits
    total, count = completion_loss(logits_BTV, rows.tokens_BT, is_response_BT)
    assert count == sum(map(len, RESPONSES))
    torch.testing.assert_close(-response_logprobs(model, rows).sum(), total, rtol=1e-5, atol=0)


@pytest.mark.parametrize("keeps", [True, False])
@pytest.mark.parametrize("arch", ["gpt_neox", "llama", "granite"])
def test_chunks_change_nothing_and_bound_the_logits(arch, keeps, monkeypatch):
    model = own_logits_model(arch) if arch in OWN_LOGITS else tiny_model(arch)
    rows = pad_rows(PROMPTS, RESPONSES)
    whole = response_logprobs(model, rows)[rows.is_response_BR]
    gradient = weighted_gradient(model, whole)

    monkeypatch.setattr(forward, "LOGIT_ROWS", 4)
    limit = 18 * model.config.vocab_size  # there are 18 response tokens
    monkeypatch.setattr(forward, "KEPT_LOGITS", limit if keeps else limit - 1)
    widths = []
    hook = model.get_output_embeddings().register_forward_hook(
        lambda _module, inputs, _output: widths.append(inputs[0].shape[:-1].numel())
    )
    chunked = response_logprobs(model, rows)[rows.is_response_BR]
    seen = list(widths)
    assert_close(chunked, whole)
    assert_close(weighted_gradient(model, chunked), gradient)
    hook.remove()
    if arch not in OWN_LOGITS:
        assert seen == [4, 4, 4, 4, 2]
        again = [] if keeps else [2, 4, 4, 4, 4]  # in the backward pass
        assert sorted(widths[5:]) == again


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_the_usual_heads_are_plain(arch):
    assert head_is_plain(tiny_model(arch))


@pytest.mark.parametrize("arch", ["llama", "granite"])
def test_the_first_look_at_a_head_may_come_under_dropout(arch):
    model = own_logits_model(arch) if arch in OWN_LOGITS else tiny_model(arch)
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    with residual_dropout(model, 0.2):
        assert head_is_plain(model) == (arch == "llama")
    assert torch.equal(
        torch.rand(3), expected
    )  # it draws nothing, so that masks stay what they were


@pytest.mark.parametrize("name", OWN_LOGITS)
def test_heads_that_scale_or_cap_are_not_plain(name):
    model = own_logits_model(name)
    assert not model.get_input_embeddings().weight[0].any()
    assert not head_is_plain(model)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_scores_equal_those_of_transformers_on_unpadded_rows(arch, side):
    scorer = scorer_from_policy(tiny_model(arch), seed=0)
    scorer.config.pad_token_id = None  # transformers then reads a single row's last token, as we do
    scores_B = last_token_scores(scorer, pad_rows(PROMPTS, RESPONSES, side=side))
    assert isinstance(scorer, type(AutoModelForSequenceClassification.from_config(scorer.config)))
    expected = torch.cat(
        [
            scorer(torch.tensor([[*prompt, *response]])).logits[0]
            for prompt, response in zip(PROMPTS, RESPONSES, strict=True)
        ]
    )
    assert_close(scores_B, expected)
    assert_close(weighted_gradient(scorer, scores_B), weighted_gradient(scorer, expected))


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_a_value_is_the_score_of_the_row_that_ends_before_its_token(arch, side):
    scorer = scorer_from_policy(tiny_model(arch), seed=0)
    scorer.config.pad_token_id = None
    rows = pad_rows(PROMPTS, RESPONSES, side=side)
    with torch.no_grad():
        values_BR = response_values(scorer, rows)
        expected = [
            scorer(torch.tensor([[*prompt, *response[:r]]])).logits.item()
            for prompt, response in zip(PROMPTS, RESPONSES, strict=True)
            for r in range(len(response))
        ]
    assert_close(values_BR[rows.is_response_BR], torch.tensor(expected))
    assert not values_BR[~rows.is_response_BR].any()


def test_an_answer_may_be_empty():
    model = tiny_model("llama")
    scorer = scorer_from_policy(model, seed=0)
    rows, without = pad_rows([[1, 2], [3]], [[], [4, 5]]), pad_rows([[1, 2], [3]], [[], []])
    assert response_logprobs(model, rows)[0].tolist() == [0, 0]
    assert response_logprobs(model, without).shape == (2, 0)
    assert_close(last_token_scores(scorer, without)[0], last_token_scores(scorer, rows)[0])


def test_bfloat16_touches_the_forward_alone():
    model = tiny_model("llama")
    rows = pad_rows(PROMPTS, RESPONSES)
    exact = response_logprobs(model, rows)
    with forward.autocast("bfloat16", "cpu"):
        rounded = response_logprobs(model, rows)
    assert rounded.dtype == torch.float32
    assert not torch.equal(rounded, exact)
    torch.testing.assert_close(rounded, exact, atol=0.5, rtol=0.05)
    with forward.autocast("float32", "cpu"):
        assert torch.equal(response_logprobs(model, rows), exact)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_all_attention_kernels_give_the_same(arch):
    """Log-probabilities, and gradients of their sum, of ragged rows."""
    rows = pad_rows([[5, 6, 7], [8], [9] * 20], [[10, 11], [12, 13, 14, 15], [16]])
    found = []
    for kernels in ("sdpa", "eager", "batched"):
        model = tiny_model(arch)
        use_attention(model, kernels)
        if arch != "gpt_neo":  # which has but one
            assert model.config._attn_implementation == kernels
        logprobs = response_logprobs(model, rows)
        logprobs.sum().backward()
        gradients = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        found.append((logprobs.detach(), gradients))
    expected, *others = found
    for logprobs, gradients in others:
        torch.testing.assert_close(logprobs, expected[0], rtol=1e-4, atol=1e-5)
        assert (gradients - expected[1]).norm() / expected[1].norm() < 1e-4
