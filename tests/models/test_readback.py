"""What is written opens in both generations of transformers; what would open as something else is
refused. (`.ci/oldest` opens it with the older one.)
"""

import json

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, Gemma3TextConfig, PreTrainedTokenizerFast

from instructgpt.errors import UserError
from instructgpt.models import writing
from instructgpt.models.facts import look_at
from instructgpt.models.load import scorer_from_policy
from instructgpt.models.spelling import with_older_names
from instructgpt.models.writing import save_model
from instructgpt.rollout.policy import SFTModel
from tests.files import sentence, write_policy
from tests.tiny import EOS, PAD, byte_tokenizer, tiny_config, tiny_model

THETA = 100_000.0


def content(path, name="config.json"):
    return json.loads((path / name).read_text())


def foreign_tokenizer():
    """Words are cut at spaces alone, unlike in Qwen2's."""
    core = Tokenizer(models.BPE(unk_token=PAD))
    core.pre_tokenizer, core.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    letters = trainers.BpeTrainer(vocab_size=100, special_tokens=[EOS, PAD], show_progress=False)
    core.train_from_iterator(["the cat's 3 kittens (all 1,250 g) slept did they"] * 9, letters)
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token=EOS, pad_token=PAD)


# The older names are those of the configurations of transformers 4.57.


def test_rotary_positions_are_spelled_twice(tmp_path):
    model = tiny_model("llama")
    model.config.rope_parameters = {"rope_type": "linear", "rope_theta": THETA, "factor": 2.0}
    written = content(save_model(tiny_with_rope(model.config), byte_tokenizer(), tmp_path / "m"))
    assert written["rope_theta"] == written["rope_parameters"]["rope_theta"] == THETA
    assert written["rope_scaling"] == {"rope_type": "linear", "factor": 2.0}
    assert written["torch_dtype"] == written["dtype"] == "float32"


def tiny_with_rope(config):
    torch.manual_seed(0)
    return type(tiny_model("llama"))(config).eval()


def test_plain_rotary_positions_have_no_scaling(tmp_path):
    config = tiny_config("llama")
    config.rope_parameters = {"rope_type": "default", "rope_theta": THETA}
    written = content(save_model(tiny_with_rope(config), byte_tokenizer(), tmp_path / "m"))
    assert written["rope_theta"] == THETA
    assert "rope_scaling" not in written


@pytest.mark.parametrize(
    ("config", "older"),
    [
        (
            {"model_type": "gpt_neox", "rope_parameters": {"rope_type": "default",
             "rope_theta": THETA, "partial_rotary_factor": 0.5}},
            {"rotary_emb_base": THETA, "rotary_pct": 0.5},
        ),
        (
            {"model_type": "phi", "rope_parameters": {"rope_type": "default",
             "rope_theta": THETA, "partial_rotary_factor": 0.5}},
            {"rope_theta": THETA, "partial_rotary_factor": 0.5},
        ),
        (
            {"model_type": "gemma3_text", "rope_parameters": {
                "full_attention": {"rope_type": "linear", "rope_theta": 1e6, "factor": 8.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": THETA}}},
            {"rope_theta": 1e6, "rope_local_base_freq": THETA,
             "rope_scaling": {"rope_type": "linear", "factor": 8.0}},
        ),
        (
            {"model_type": "gemma4_text", "rope_parameters": {
                "full_attention": {"rope_type": "default", "rope_theta": 1e6},
                "sliding_attention": {"rope_type": "default", "rope_theta": THETA}}},
            {},  # not known to version 4
        ),
        ({"model_type": "qwen3_moe", "num_local_experts": 4}, {"num_experts": 4}),
        ({"model_type": "gpt2", "n_embd": 8}, {}),
    ],
)  # fmt: skip
def test_each_architectures_older_names(config, older):
    assert with_older_names(config) == config | older
    outer = {"model_type": "some", "text_config": config}
    assert with_older_names(outer) == {"model_type": "some", "text_config": config | older}


def test_gemma_3_reads_the_doubled_names_as_one(tmp_path):
    config = Gemma3TextConfig(
        vocab_size=258, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, head_dim=8,
        num_key_value_heads=1, intermediate_size=16, eos_token_id=256, pad_token_id=257,
        rope_parameters={
            "full_attention": {"rope_type": "linear", "rope_theta": 5e5, "factor": 8.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 500.0},
        },
    )  # fmt: skip
    config.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(with_older_names(content(tmp_path))))
    assert Gemma3TextConfig.from_pretrained(tmp_path).rope_parameters == config.rope_parameters


def test_the_tokenizers_class_is_one_that_both_know(tmp_path):
    tokenizer = byte_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|user|>"]})
    save_model(tiny_model("llama", vocab_size=259), tokenizer, tmp_path / "m")
    written = content(tmp_path / "m", "tokenizer_config.json")
    assert written["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert written["additional_special_tokens"] == ["<|user|>"]
    assert "extra_special_tokens" not in written
    again = AutoTokenizer.from_pretrained(tmp_path / "m")
    assert again("a<|user|>")["input_ids"] == tokenizer("a<|user|>")["input_ids"]
    assert 258 in again.all_special_ids


def broken(monkeypatch, **changes):
    """Let something go wrong in `config.json` while a model is written."""
    real = writing.spell_for_both

    def spell(folder):
        real(folder)
        (folder / "config.json").write_text(json.dumps(content(folder) | changes))

    monkeypatch.setattr(writing, "spell_for_both", spell)


@pytest.mark.parametrize("make", [lambda p: p, lambda p: scorer_from_policy(p, seed=0)])
def test_a_model_that_comes_back_with_other_numbers_is_not_called_done(make, tmp_path, monkeypatch):
    """A silent change of ten times the base, as version 4 makes where it does not know the name."""
    model = make(tiny_model("llama"))
    rope = {"rope_type": "default", "rope_theta": THETA}
    broken(monkeypatch, rope_parameters=rope, rope_theta=THETA)
    with pytest.raises(
        UserError, match=r"m: the model was written, but .* other numbers"
    ) as raised:
        save_model(model, byte_tokenizer(), tmp_path / "m")
    sentence(raised)
    assert (tmp_path / "m/model.safetensors").is_file()  # nothing is lost


def test_large_and_sharded_models_are_compared_by_name_and_shape(tmp_path, monkeypatch):
    model = tiny_model("llama")
    weights = {name: weight.clone() for name, weight in model.state_dict().items()}
    save_model(model, byte_tokenizer(), tmp_path / "m", weights)
    broken(monkeypatch, num_hidden_layers=3)
    with pytest.raises(UserError, match=r"the weights lack model\.layers\.2\."):
        save_model(model, byte_tokenizer(), tmp_path / "m", weights)


def test_reading_back_leaves_no_trace(tmp_path):
    model = tiny_model("gpt2").train()
    state = torch.random.get_rng_state()
    save_model(model, byte_tokenizer(), tmp_path / "m")
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(module.training for module in model.modules())


def test_a_tokenizer_that_would_come_back_as_another_is_refused_at_once(tmp_path):
    model = tiny_model("qwen2")
    with pytest.raises(UserError, match=r"'qwen2', transformers opens the given") as raised:
        SFTModel(model, foreign_tokenizer())
    assert sentence(raised).endswith("; give the model's own tokenizer")
    with pytest.raises(UserError, match=r"has another tokenizer, Qwen2Tokenizer: ") as raised:
        save_model(model, foreign_tokenizer(), tmp_path / "m")
    sentence(raised)
    SFTModel(tiny_model("llama"), foreign_tokenizer()).save(tmp_path / "llama")


def test_a_tokenizer_that_opens_otherwise_than_its_file_says_is_named(tmp_path, capfd):
    path = write_policy(tmp_path / "m", "qwen2", tokenizer=foreign_tokenizer())
    look_at(path, "policy")
    said = capfd.readouterr().err
    assert "m: transformers opens its tokenizer as Qwen2Tokenizer, which reads other tokens" in said
    path = write_policy(tmp_path / "own", "qwen2")
    look_at(path, "policy")
    assert "transformers opens" not in capfd.readouterr().err
