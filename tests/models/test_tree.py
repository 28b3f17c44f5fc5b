"""Trees against plain transformers, one unpadded row per answer.

Axes: C comparisons (prompts), N answers of all comparisons, P prompt, R response, T tokens.
"""

import copy
import json
from functools import partial
from itertools import accumulate

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.checkpoint import checkpoint
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    Gemma2Config,
    MambaConfig,
    MambaForCausalLM,
    MistralConfig,
    MixtralConfig,
    Qwen3Config,
)

from instructgpt.models import tree
from instructgpt.models.dropout import decoder_layers
from instructgpt.models.forward import (
    autocast,
    last_states,
    last_token_scores,
    response_logprobs,
)
from instructgpt.models.load import scorer_from_policy, use_attention
from instructgpt.models.parts import trunk
from instructgpt.models.rows import pad_rows
from instructgpt.models.tree import (
    pack_trees,
    reads_trees,
    tree_last_states,
    tree_logprobs,
    tree_scores,
    tree_tokens,
)
from tests.tiny import tiny_model

EOS, PAD = 256, 257
PROMPTS = [[7, PAD, 0, EOS, 31], [90, 91, 92, 93, 94, 95, 96, 97, 98, 99, 100, 101], [12]]
RESPONSES = [
    [[40, EOS, 41, PAD, 42, 0, EOS], [EOS], [40, 41, 42, 43]],
    [[PAD, PAD, 3, 4, 5, 6, 7, 8, 9, EOS], [3], [0, 0], [3, 4, EOS]],
    [[5, 6, 7], [5, 6, 8]],
]
"""Ragged, with the end, padding and filler tokens in every place that a mask could mistake."""

FAMILIES = ("gpt2", "gpt_neox", "llama", "qwen2")
KERNELS = ("sdpa", "eager", "batched")
SHAPE = {
    "vocab_size": 258,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "eos_token_id": EOS,
    "pad_token_id": 0,
}


def tiny_scorer(arch="llama", *, kernels="sdpa", **kwargs):
    scorer = scorer_from_policy(tiny_model(arch, **kwargs), seed=0)
    scorer.config.pad_token_id = None  # transformers then reads a single row's last token, as we do
    use_attention(scorer, kernels)
    return scorer


def scorer_of(config):
    torch.manual_seed(0)
    return scorer_from_policy(AutoModelForCausalLM.from_config(config).eval(), seed=0)


def each_row(prompts, responses):
    """Prompt and response of one row per answer."""
    rows = [(p, r) for p, own in zip(prompts, responses, strict=True) for r in own]
    return [p for p, _ in rows], [r for _, r in rows]


def reference_scores(scorer):
    """What transformers' own scoring makes of one unpadded row per answer."""
    rows = zip(*each_row(PROMPTS, RESPONSES), strict=True)
    return torch.cat([scorer(torch.tensor([[*p, *r]])).logits[0] for p, r in rows])


def weighted_gradients(scorer, scores):
    """The gradients of a sum in which no two scores weigh the same."""
    weights = torch.linspace(-1, 1.5, len(scores))
    named = dict(scorer.named_parameters())
    gradients = torch.autograd.grad((weights * scores).sum(), list(named.values()))
    return dict(zip(named, gradients, strict=True))


def assert_close(one, other, tolerance):
    """Equal to a share of the largest value."""
    scale = max(other.abs().max().item(), 1)
    torch.testing.assert_close(one, other, atol=tolerance * scale, rtol=0)


def assert_same_gradients(one, other):
    assert one.keys() == other.keys()
    for name, expected in other.items():
        assert expected.norm() > 0, name
        assert (one[name] - expected).norm() < 1e-4 * expected.norm(), name


def test_the_layout_by_hand():
    trees = pack_trees([[5, 6], [7]], [[[8], [9, 10]], [[11, 12, 13], []]])
    assert trees.tokens_T.tolist() == [5, 6, 8, 9, 10, 7, 11, 12, 13] + [0] * 55
    assert trees.positions_T.tolist() == [0, 1, 2, 2, 3, 0, 1, 2, 3] + [0] * 55
    assert trees.last_N.tolist() == [2, 4, 8, 5]
    assert trees.prompt_CP.tolist() == [[0, 1], [5, 0]]
    assert trees.response_NR.tolist() == [[2, 0, 0], [3, 4, 0], [6, 7, 8], [0, 0, 0]]
    # Two prompts of width 2 come first, then four answers of width 3.
    assert trees.source_T.tolist() == [0, 1, 4, 7, 8, 2, 10, 11, 12] + [0] * 55
    assert trees.answers_C == (2, 2)
    assert trees.prompt_mask is None
    both, one = [True, True], [True, False]
    causal = ([True, False, False], [True, True, False], [True, True, True])
    assert trees.response_mask.squeeze(1).tolist() == [
        [seen + own for own in causal] for seen in (both, both, one, one)
    ]


def test_added_masks_by_hand():
    never = torch.finfo(torch.float32).min
    trees = pack_trees([[5, 6], [7]], [[[8]], [[9]]], additive=True)
    assert trees.prompt_mask is not None
    assert trees.prompt_mask.squeeze().tolist() == [[0, never], [0, 0]]
    assert trees.response_mask.squeeze().tolist() == [[0, 0, 0], [0, never, 0]]


def test_a_row_is_filled_to_a_multiple_of_64():
    assert len(pack_trees([[1] * 60], [[[2] * 4]]).tokens_T) == 64
    assert len(pack_trees([[1] * 60], [[[2] * 4, [3]]]).tokens_T) == 128


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("arch", FAMILIES)
def test_scores_and_gradients_equal_those_of_unpadded_rows(arch, kernels):
    scorer, plain = tiny_scorer(arch, kernels=kernels), tiny_scorer(arch, kernels=kernels)
    scores = tree_scores(scorer, PROMPTS, RESPONSES)
    expected = reference_scores(plain)
    assert (scores.dtype, scores.shape) == (torch.float32, (9,))
    assert_close(scores, expected, 1e-5)
    assert_same_gradients(weighted_gradients(scorer, scores), weighted_gradients(plain, expected))


@given(
    lengths=st.lists(
        st.tuples(st.integers(1, 9), st.lists(st.integers(0, 7), min_size=1, max_size=4)),
        min_size=1,
        max_size=4,
    ),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=25)
def test_any_shape_gives_what_padded_rows_give(lengths, seed):
    generator = torch.Generator().manual_seed(seed)

    def draw(length):
        return torch.randint(258, (length,), generator=generator).tolist()

    prompts = [draw(length) for length, _ in lengths]
    responses = [[draw(length) for length in own] for _, own in lengths]
    rows = pad_rows(*each_row(prompts, responses))
    with torch.no_grad():
        scores = tree_scores(SHARED, prompts, responses)
        assert_close(scores, last_token_scores(SHARED, rows), 1e-5)


SHARED = tiny_scorer("llama")


@pytest.mark.parametrize("kernels", KERNELS)
def test_states_are_those_the_head_scores(kernels):
    scorer = tiny_scorer("qwen2", kernels=kernels)
    with torch.no_grad():
        states_ND = tree_last_states(scorer, PROMPTS, RESPONSES)
        assert torch.equal(
            (states_ND @ scorer.score.weight.T)[:, 0], tree_scores(scorer, PROMPTS, RESPONSES)
        )
        rows = pad_rows([PROMPTS[0]] * 3, RESPONSES[0])
        assert_close(states_ND[:3], last_states(scorer, rows), 1e-5)


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("arch", FAMILIES)
def test_log_probabilities_equal_those_of_unpadded_rows_and_of_padded_ones(arch, kernels):
    policy, plain = tiny_model(arch), tiny_model(arch)
    use_attention(policy, kernels)
    prompts, responses = each_row(PROMPTS, RESPONSES)
    expected = []
    with torch.no_grad():
        for prompt, response in zip(prompts, responses, strict=True):
            logits_TV = plain(torch.tensor([[*prompt, *response]])).logits[0]
            places = range(len(prompt) - 1, len(prompt) + len(response) - 1)
            by_token = [
                logits_TV[place].log_softmax(-1)[token].item()
                for place, token in zip(places, response, strict=True)
            ]
            expected.append(sum(by_token))
        found = tree_logprobs(policy, PROMPTS, RESPONSES)
        by_rows = response_logprobs(policy, pad_rows(prompts, responses)).sum(1)
    assert found.dtype == torch.float32
    assert_close(found, torch.tensor(expected), 1e-5)
    assert_close(found, by_rows, 1e-5)


def test_an_answer_without_tokens_has_log_probability_0():
    with torch.no_grad():
        found = tree_logprobs(tiny_model(), [[7, 8], [9]], [[[1], []], [[2, 3]]])
    assert found[1] == 0
    assert (found[[0, 2]] < 0).all()


def test_an_answer_sees_neither_its_siblings_nor_other_prompts():
    scorer = tiny_scorer()
    embedded = []
    embedding = scorer.get_input_embeddings()
    embedding.register_forward_hook(
        lambda _module, _inputs, output: embedded.append(output.retain_grad() or output)
    )
    tree_scores(scorer, PROMPTS, RESPONSES)[1].backward()  # the first prompt's second answer
    reached = embedded[0].grad[0].abs().sum(-1) > 0
    own = {*range(5), 12}  # the prompt, and the one token of the answer after one of seven
    assert set(reached.nonzero().flatten().tolist()) == own


def test_each_prompt_is_computed_once():
    scorer = tiny_scorer()
    seen = []
    for layer in scorer.model.layers:
        layer.mlp.register_forward_hook(lambda _module, inputs, _out: seen.append(inputs[0].shape))
    tree_scores(scorer, PROMPTS, RESPONSES)
    tokens = sum(map(tree_tokens, PROMPTS, RESPONSES))
    assert tokens == 18 + 12 + 16 + 6
    assert seen == [(1, 64, 32)] * 2


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("arch", FAMILIES)
def test_rows_stay_what_they_were_to_the_bit(arch, kernels, tmp_path):
    scorer = tiny_scorer(arch, kernels=kernels)
    rows = pad_rows(PROMPTS, [own[0] for own in RESPONSES])
    before = last_token_scores(scorer, rows)
    expected = weighted_gradients(scorer, before)
    config = json.loads(scorer.config.to_json_string())
    assert reads_trees(scorer)
    after = last_token_scores(scorer, rows)
    assert torch.equal(after, before)
    found = weighted_gradients(scorer, after)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert json.loads(scorer.config.to_json_string()) == config


def test_other_kernels_may_be_chosen_later():
    scorer = tiny_scorer(kernels="sdpa")
    with torch.no_grad():
        first = tree_scores(scorer, PROMPTS, RESPONSES)
        use_attention(scorer, "eager")
        second = tree_scores(scorer, PROMPTS, RESPONSES)
    assert scorer.config._attn_implementation == "tree_eager"
    assert_close(second, first, 1e-5)


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("arch", FAMILIES)
def test_bfloat16_strays_no_further_than_that_of_rows(arch, kernels):
    scorer = tiny_scorer(arch, kernels=kernels, scale=1.0)
    rows = pad_rows(*each_row(PROMPTS, RESPONSES))
    exact = reference_scores(tiny_scorer(arch, scale=1.0))
    with autocast("bfloat16", "cpu"):
        scores = tree_scores(scorer, PROMPTS, RESPONSES)
        by_rows = last_token_scores(scorer, rows)
    assert scores.dtype == torch.float32
    assert not torch.equal(scores, exact)
    error = (scores - exact).norm() / exact.norm()
    assert error < max(3 * (by_rows - exact).norm() / exact.norm(), 1e-3)
    gradients = weighted_gradients(scorer, scores)
    for name, expected in weighted_gradients(scorer, by_rows).items():
        assert (gradients[name] - expected).norm() < 0.1 * expected.norm(), name


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("arch", FAMILIES)
def test_layers_computed_again_in_the_backward_pass_read_trees_too(arch, kernels):
    plain, scorer = tiny_scorer(arch, kernels=kernels), tiny_scorer(arch, kernels=kernels)
    expected = weighted_gradients(plain, tree_scores(plain, PROMPTS, RESPONSES))
    for layer in decoder_layers(scorer):
        layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)
    norm = next(m for name, m in scorer.named_modules() if name.endswith(("ln_1", "put_layernorm")))
    computed = []
    norm.register_forward_hook(lambda *_: computed.append(1))
    scores = tree_scores(scorer, PROMPTS, RESPONSES)
    assert len(computed) == 1
    assert_same_gradients(weighted_gradients(scorer, scores), expected)
    assert len(computed) == 2


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("arch", FAMILIES)
def test_the_usual_families_read_trees(arch, kernels):
    scorer = tiny_scorer(arch, kernels=kernels, scale=1.0)
    assert reads_trees(scorer)


@pytest.mark.parametrize(
    "config",
    [
        MistralConfig(**SHAPE, sliding_window=None),
        MixtralConfig(**SHAPE, sliding_window=None, num_local_experts=4, num_experts_per_tok=2),
        Qwen3Config(**SHAPE, head_dim=16),
    ],
    ids=lambda config: config.model_type,
)
def test_others_without_windows_read_trees(config):
    scorer = scorer_of(config)
    scorer.config.pad_token_id = None
    plain = copy.deepcopy(scorer)
    assert reads_trees(scorer)
    with torch.no_grad():
        assert_close(tree_scores(scorer, PROMPTS, RESPONSES), reference_scores(plain), 1e-5)


@pytest.mark.parametrize(
    "config",
    [
        tiny_model("gpt_neo").config,
        MistralConfig(**SHAPE, sliding_window=4096),  # longer than any probe
        Gemma2Config(**SHAPE, head_dim=8),
        BloomConfig(vocab_size=258, hidden_size=32, n_layer=2, n_head=4, eos_token_id=EOS),
    ],
    ids=lambda config: config.model_type,
)
def test_windows_and_biases_along_the_row_do_not(config):
    scorer = scorer_of(config)
    before = scorer.config._attn_implementation
    assert not reads_trees(scorer)
    assert scorer.config._attn_implementation == before
    last_token_scores(scorer, pad_rows([[1, 2]], [[3]]))  # rows are still read


def test_recurrent_layers_do_not():
    config = MambaConfig(vocab_size=258, hidden_size=32, num_hidden_layers=2, state_size=4)
    assert not reads_trees(MambaForCausalLM(config).eval())


def test_positions_that_do_not_restart_are_noticed():
    scorer = tiny_scorer()
    rotary = scorer.model.rotary_emb
    own = rotary.forward
    rotary.forward = lambda states, position_ids: own(
        states, torch.arange(position_ids.shape[1]).expand_as(position_ids)
    )
    assert not reads_trees(scorer)
    assert scorer.config._attn_implementation == "sdpa"


def test_a_mask_that_shows_too_much_is_noticed(monkeypatch):
    def leaky(prompts, responses, **kwargs):
        trees = pack_trees(prompts, responses, **kwargs)
        trees.response_mask[1, ..., -1] = True  # the second answer sees a filler's place
        return trees

    monkeypatch.setattr(tree, "pack_trees", leaky)
    assert not reads_trees(tiny_scorer(scale=1.0))


@pytest.mark.parametrize("arch", ["llama", "gpt_neo"])
def test_the_question_is_asked_once_exactly_and_disturbs_nothing(arch):
    scorer = tiny_scorer(arch).train()
    settings_seen = []
    trunk(scorer).register_forward_hook(lambda *_: settings_seen.append(numerics()))
    torch.set_float32_matmul_precision("medium")
    try:
        with autocast("bfloat16", "cpu"):
            before = numerics()
            first = reads_trees(scorer)
            assert numerics() == before == ("medium", True, True)
    finally:
        torch.set_float32_matmul_precision("highest")
    assert first is (arch == "llama")
    assert set(settings_seen) <= {("highest", False, False)}
    assert all(module.training for module in scorer.modules())
    assert all(parameter.grad is None for parameter in scorer.parameters())
    asked = len(settings_seen)
    assert reads_trees(scorer) is first
    assert len(settings_seen) == asked == (7 if first else 0)  # six rows and a tree


def numerics():
    """Matmul precision, autocast, gradient."""
    return (
        torch.get_float32_matmul_precision(),
        torch.is_autocast_enabled("cpu"),
        torch.is_grad_enabled(),
    )


def test_the_question_gives_back_the_random_numbers_of_dropout():
    scorer = tiny_scorer().train()
    for layer in scorer.model.layers:
        layer.self_attn.attention_dropout = 0.5
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    reads_trees(scorer)
    assert torch.equal(torch.rand(3), expected)


def test_a_prompt_may_not_be_empty():
    with pytest.raises(AssertionError, match="needs a prompt"):
        pack_trees([[]], [[[1]]])


def test_what_a_tree_costs_adds_up():
    costs = list(accumulate(map(tree_tokens, PROMPTS, RESPONSES)))
    assert costs == [17, 45, 52]
