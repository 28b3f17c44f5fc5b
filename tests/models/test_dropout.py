"""Residual dropout, on every family: where it acts, how much, and that nothing of it stays."""

import pytest
import torch
from transformers import AutoModelForCausalLM, BloomConfig, MambaConfig, MptConfig, OPTConfig

from instructgpt.errors import UserError
from instructgpt.models.dropout import own_rate, residual_dropout
from instructgpt.models.load import load_policy, scorer_from_policy
from tests.files import sentence
from tests.tiny import ARCHITECTURES, tiny_model

LAYERS = 4
BLOCKS = ("attn", "self_attn", "attention", "mlp")
TOKENS = torch.arange(100).view(2, 50)


def model_of(arch):
    return tiny_model(arch, layers=LAYERS)


def blocks(model):
    """The attention and MLP modules, by an independent rule: the children of numbered modules."""
    return [
        module
        for name, module in model.named_modules()
        if name.split(".")[-1] in BLOCKS and name.split(".")[-2].isdigit()
    ]


def watch(model, seen):
    """Keep what each block gives at this point of its chain of hooks."""

    def keep(module, inputs, output):
        seen.append((output if isinstance(output, torch.Tensor) else output[0]).clone())

    return [block.register_forward_hook(keep) for block in blocks(model)]


def hook_count(model):
    return sum(len(module._forward_hooks) for module in model.modules())


@pytest.mark.parametrize("arch", ARCHITECTURES)
@torch.no_grad()
def test_each_block_is_dropped_at_the_rate_and_scaled(arch):
    model, rate = model_of(arch), 0.2
    raw, dropped = [], []
    watch(model, raw)
    with residual_dropout(model, rate):
        watch(model, dropped)
        torch.manual_seed(0)
        model(TOKENS)
    assert len(raw) == len(dropped) == 2 * LAYERS
    for before, after in zip(raw, dropped, strict=True):
        kept = after != 0
        torch.testing.assert_close(after[kept], before[kept] / (1 - rate))
        error = (rate * (1 - rate) / after.numel()) ** 0.5
        assert 1 - kept.float().mean().item() == pytest.approx(rate, abs=5 * error)


@pytest.mark.parametrize("arch", ARCHITECTURES)
@torch.no_grad()
def test_at_rate_one_only_the_residual_stream_is_left(arch):
    model = model_of(arch)
    plain = model(TOKENS, output_hidden_states=True).hidden_states
    with residual_dropout(model, 1.0):
        states = model(TOKENS, output_hidden_states=True).hidden_states
    for layer in range(1, len(states) - 1):  # the last one has gone through the final norm
        assert torch.equal(states[layer], states[0])
        assert not torch.equal(plain[layer], plain[0])


@pytest.mark.parametrize("arch", ARCHITECTURES)
@torch.no_grad()
def test_two_places_per_layer_and_none_afterwards(arch):
    for model in (model_of(arch), scorer_from_policy(model_of(arch), seed=0)):
        before = model(TOKENS).logits
        assert hook_count(model) == 0
        with residual_dropout(model, 0.2):
            assert hook_count(model) == len(blocks(model)) == 2 * LAYERS
            assert not torch.equal(model(TOKENS).logits, before)
        assert hook_count(model) == 0
        assert torch.equal(model(TOKENS).logits, before)


@torch.no_grad()
def test_an_error_inside_leaves_nothing_behind():
    model = tiny_model()
    with pytest.raises(ZeroDivisionError), residual_dropout(model, 0.2):
        _ = 1 / 0
    assert hook_count(model) == 0


@torch.no_grad()
def test_rate_zero_is_off():
    model = tiny_model()
    before = model(TOKENS).logits
    with residual_dropout(model, 0.0):
        assert hook_count(model) == 0
        assert torch.equal(model(TOKENS).logits, before)


UNFIT = {
    "no blocks of these names": OPTConfig(
        vocab_size=258, hidden_size=32, ffn_dim=64, num_hidden_layers=2, num_attention_heads=4
    ),
    "no attention": MambaConfig(vocab_size=258, hidden_size=32, num_hidden_layers=2),
    "blocks that add the residual themselves": BloomConfig(
        vocab_size=258, hidden_size=32, n_layer=2, n_head=4
    ),
    "an MLP that adds the residual itself": MptConfig(
        vocab_size=258, d_model=32, n_layers=2, n_heads=4
    ),
}


@pytest.mark.parametrize("why", UNFIT)
def test_an_architecture_where_it_would_act_elsewhere_is_refused(why):
    model = AutoModelForCausalLM.from_config(UNFIT[why])
    with (
        pytest.raises(UserError, match=type(model).__name__) as raised,
        residual_dropout(model, 0.2),
    ):
        pass
    assert "--dropout 0" in sentence(raised)
    assert hook_count(model) == 0
    with residual_dropout(model, 0.0):
        pass


@pytest.mark.parametrize(
    ("arch", "key"),
    [("gpt2", "resid_pdrop"), ("gpt_neo", "resid_dropout"), ("gpt_neox", "hidden_dropout")],
)
def test_the_rate_of_the_models_own_configuration(arch, key, tmp_path):
    model = tiny_model(arch)
    for name in model.config.to_dict():
        if "drop" in name:
            setattr(model.config, name, 0.4)
    setattr(model.config, key, 0.15)
    assert own_rate(model) == 0.15
    model.save_pretrained(tmp_path)
    assert own_rate(load_policy(tmp_path)) == 0.15  # which loading switches off


@pytest.mark.parametrize("arch", ["llama", "qwen2"])
def test_a_family_without_residual_dropout_has_a_rate_of_0(arch):
    model = tiny_model(arch)
    model.config.attention_dropout = 0.4
    assert own_rate(model) == 0


def test_a_rate_for_blocks_that_are_not_found_is_left_out_and_said(capsys):
    assert own_rate(AutoModelForCausalLM.from_config(UNFIT["no blocks of these names"])) == 0
    said = capsys.readouterr().err
    assert "OPTForCausalLM were not found, so that its configuration's 0.1 has no effect" in said
