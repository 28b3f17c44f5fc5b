"""Models open and are written so that plain transformers cannot tell the difference."""

import json
import logging
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    GraniteConfig,
)

from instructgpt.errors import UserError
from instructgpt.models.fit import context_length
from instructgpt.models.forward import hidden_states, last_token_scores
from instructgpt.models.load import load_policy, load_scorer, pick_device, scorer_from_policy
from instructgpt.models.opening import is_scorer, load_tokenizer
from instructgpt.models.parts import scalar_head, trunk
from instructgpt.models.rows import pad_rows
from instructgpt.models.scorer import Scorer
from instructgpt.models.writing import save_model
from tests.files import sentence, write_policy
from tests.tiny import ARCHITECTURES, byte_tokenizer, tiny_config, tiny_model

DROPOUTS = {
    "gpt2": ("resid_pdrop", "embd_pdrop", "attn_pdrop"),
    "gpt_neo": ("resid_dropout", "embed_dropout", "attention_dropout"),
    "gpt_neox": ("attention_dropout", "hidden_dropout"),
    "llama": ("attention_dropout",),
    "qwen2": ("attention_dropout",),
}
TOKENS = torch.tensor([[5, 256, 9, 77, 257, 3, 5, 200, 0, 256]])


@pytest.fixture
def warned(caplog):
    """What transformers says to the user (its logger does not propagate)."""
    logger = logging.getLogger("transformers")
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


@pytest.fixture
def policy_dir(tmp_path):
    return Path(write_policy(tmp_path / "policy"))


@pytest.fixture
def scorer_dir(tmp_path):
    return save_model(new_scorer(), byte_tokenizer(), tmp_path / "reward")


def new_scorer(arch="llama", *, seed=0):
    return scorer_from_policy(tiny_model(arch), seed=seed)


def with_dropout(arch, rate=0.3):
    """A model whose configuration asks for dropout everywhere."""
    config = tiny_config(arch)
    for key in DROPOUTS[arch]:
        setattr(config, key, rate)
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config).eval()


def opened_elsewhere(auto, path):
    """The model as plain transformers opens it, with no weight missing or left over."""
    model, report = auto.from_pretrained(path, output_loading_info=True)
    assert not any(report.values()), report
    return model.eval()


@torch.no_grad()
def logits(model):
    return model(TOKENS).logits


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_a_policy_goes_through_us_to_the_bit(arch, tmp_path):
    plain = with_dropout(arch)
    ours = load_policy(write_policy(tmp_path / "plain", model=plain))
    assert torch.equal(logits(ours), logits(plain))

    save_model(ours, load_tokenizer(tmp_path / "plain"), tmp_path / "ours")
    again = opened_elsewhere(AutoModelForCausalLM, tmp_path / "ours")
    assert torch.equal(logits(again), logits(plain))
    plain_config, our_config = (
        json.loads((tmp_path / name / "config.json").read_text()) for name in ("plain", "ours")
    )
    assert our_config == our_config | plain_config
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "ours")
    assert tokenizer("héllo\n")["input_ids"] == byte_tokenizer()("héllo\n")["input_ids"]
    assert {path.suffix for path in (tmp_path / "ours").iterdir()} == {".json", ".safetensors"}


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_dropout_is_off_while_loaded_and_its_settings_are_kept(arch, tmp_path):
    plain = with_dropout(arch)
    ours = load_policy(write_policy(tmp_path / "plain", model=plain))
    expected = logits(plain)
    assert not torch.equal(logits(plain.train()), expected)  # the control: it would be on
    assert torch.equal(logits(ours.train()), expected)

    for network, path in ((ours, "policy"), (scorer_from_policy(ours, seed=0), "reward")):
        save_model(network, byte_tokenizer(), tmp_path / path)
        written = json.loads((tmp_path / path / "config.json").read_text())
        assert {key: written[key] for key in DROPOUTS[arch]} == dict.fromkeys(DROPOUTS[arch], 0.3)
        assert {getattr(network.config, key) for key in DROPOUTS[arch]} == {0.0}


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_a_reward_model_is_an_ordinary_sequence_classifier(arch, tmp_path, warned):
    scorer = Scorer(new_scorer(arch), byte_tokenizer())
    scorer.shift = -1.25
    scorer.save(tmp_path / "reward")

    theirs = opened_elsewhere(AutoModelForSequenceClassification, tmp_path / "reward")
    assert (theirs.config.num_labels, theirs.config.pad_token_id) == (1, 257)
    assert theirs.config.reward_shift == -1.25
    row = [4, 257, 9, 256, 80, 81, 256]
    with torch.no_grad():
        raw = theirs(torch.tensor([row])).logits.item()
    ours = Scorer(tmp_path / "reward")
    assert ours.shift == -1.25
    assert ours.score_tokens([row[:4]], [row[4:]]).item() == pytest.approx(raw + 1.25, abs=1e-6)
    assert torch.equal(
        ours.score_tokens([row[:4]], [row[4:]]), scorer.score_tokens([row[:4]], [row[4:]])
    )
    assert not [record for record in warned.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("pad", [None, 256])
def test_padding_that_is_the_end_token_does_not_move_the_score(pad, tmp_path):
    policy = tiny_model("llama")
    policy.config.pad_token_id = pad
    scorer = Scorer(scorer_from_policy(policy, seed=0), byte_tokenizer(pad_is_eos=True))
    scorer.save(tmp_path)
    theirs = opened_elsewhere(AutoModelForSequenceClassification, tmp_path)
    with torch.no_grad():
        raw = theirs(torch.tensor([[4, 9, 80, 81, 256]])).logits.item()
    assert scorer.score_tokens([[4, 9]], [[80, 81, 256]]).item() == pytest.approx(raw, abs=1e-6)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_a_new_head_sits_on_a_copy_of_the_trunk(arch):
    policy = tiny_model(arch)
    before = {name: weight.clone() for name, weight in policy.state_dict().items()}
    scorer = scorer_from_policy(policy, seed=0)
    theirs = trunk(policy).state_dict()
    for name, weight in trunk(scorer).state_dict().items():
        assert torch.equal(weight, theirs[name])
        assert weight.data_ptr() != theirs[name].data_ptr()
    assert scalar_head(scorer).bias is None
    scorer.config.num_labels = 3
    assert policy.config.num_labels == 2
    assert all(torch.equal(weight, before[name]) for name, weight in policy.state_dict().items())


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_a_smaller_scorer_has_the_first_layers(arch, tmp_path):
    """What the policy has after its second layer of four, through its last norm."""
    policy = tiny_model(arch, layers=4)
    small = scorer_from_policy(policy, seed=0, depth=0.5)
    rows = pad_rows([[5, 6, 7]], [[8, 9]])
    whole = trunk(policy)
    states = whole(input_ids=rows.tokens_BT, output_hidden_states=True).hidden_states[2]
    names = ("norm", "ln_f", "final_layer_norm")
    norm = next(getattr(whole, name) for name in names if hasattr(whole, name))
    torch.testing.assert_close(hidden_states(small, rows), norm(states))
    save_model(small, byte_tokenizer(), tmp_path / "small")
    again = load_scorer(tmp_path / "small")
    assert torch.equal(last_token_scores(again, rows), last_token_scores(small, rows))
    assert len(list(policy.parameters())) > len(list(small.parameters()))


@pytest.mark.parametrize(("depth", "layers"), [(0.01, 1), (0.34, 1), (0.67, 3), (0.9, 4), (1, 4)])
def test_how_many_layers_a_share_is(depth, layers):
    scorer = scorer_from_policy(tiny_model(layers=4), seed=0, depth=depth)
    assert len(trunk(scorer).layers) == scorer.config.num_hidden_layers == layers


def test_the_head_is_drawn_from_its_seed_with_variance_one_over_d_plus_one():
    width = 1024
    policy = tiny_model("llama", width=width, layers=1)
    one, same, other = (scalar_head(scorer_from_policy(policy, seed=s)).weight for s in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    drawn = torch.cat([one, other]).flatten() * math.sqrt(width + 1)
    assert drawn.mean().item() == pytest.approx(0, abs=4 / math.sqrt(2 * width))
    assert drawn.std().item() == pytest.approx(1, abs=4 / math.sqrt(4 * width))


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_neither_kind_is_taken_for_the_other(arch, tmp_path):
    write_policy(tmp_path / "policy", arch)
    save_model(new_scorer(arch), byte_tokenizer(), tmp_path / "reward")
    assert (is_scorer(tmp_path / "policy"), is_scorer(tmp_path / "reward")) == (False, True)
    with pytest.raises(UserError, match=r"policy is a policy, not a reward model") as raised:
        load_scorer(tmp_path / "policy")
    assert "instructgpt reward" in sentence(raised)
    with pytest.raises(UserError, match=r"reward is a reward model, not a policy") as raised:
        load_policy(tmp_path / "reward")
    sentence(raised)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_a_model_without_tokenizer_is_refused(arch, tmp_path):
    write_policy(tmp_path / "model", arch)
    for path in (tmp_path / "model").glob("tokenizer*"):
        path.unlink()
    with pytest.raises(UserError, match=r"model has no tokenizer.*copy") as raised:
        load_tokenizer(tmp_path / "model")
    sentence(raised)


def test_a_tokenizer_without_end_token_is_refused(tmp_path):
    tokenizer = byte_tokenizer()
    tokenizer.eos_token = None
    tokenizer.save_pretrained(write_policy(tmp_path / "model", tokenizer=tokenizer))
    with pytest.raises(UserError, match=r"model: .* no end-of-text token; set eos_token") as raised:
        load_tokenizer(tmp_path / "model")
    sentence(raised)


def test_weights_in_a_pickle_are_refused(policy_dir):
    torch.save(load_policy(policy_dir).state_dict(), policy_dir / "pytorch_model.bin")
    (policy_dir / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"policy: .*give a model with safetensors") as raised:
        load_policy(policy_dir)
    sentence(raised)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_weights_that_are_not_finite_are_refused_by_name(bad, policy_dir):
    weights = load_file(policy_dir / "model.safetensors")
    weights["model.layers.1.mlp.up_proj.weight"][3, 4] = bad
    save_file(weights, policy_dir / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=r"policy: .*model\.layers\.1\.mlp\.up_proj") as raised:
        load_policy(policy_dir)
    sentence(raised)


def test_a_missing_weight_is_refused_by_name(scorer_dir):
    weights = load_file(scorer_dir / "model.safetensors")
    del weights["score.weight"]
    save_file(weights, scorer_dir / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=r"reward: the weights lack score\.weight") as raised:
        load_scorer(scorer_dir)
    sentence(raised)


@pytest.mark.parametrize("kept", [4, 1000, 20_000])
def test_truncated_weights_are_refused(kept, policy_dir):
    path = policy_dir / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError, match=r"policy: the weights cannot be read") as raised:
        load_policy(policy_dir)
    sentence(raised)


def test_a_classifier_with_two_labels_is_no_reward_model(tmp_path):
    config = tiny_config("llama")
    config.num_labels = 2
    AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"has 2 labels") as raised:
        load_scorer(tmp_path)
    sentence(raised)


@pytest.mark.parametrize("name", ["empty", "missing", "no-such/model-on-the-hub"])
def test_no_model_at_all(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    for load in (load_policy, load_scorer):
        with pytest.raises(UserError, match=rf"{name}: no model there") as raised:
            load(name)
        sentence(raised)


def test_a_broken_configuration(policy_dir):
    (policy_dir / "config.json").write_text('{"model_type": "llama",')
    with pytest.raises(
        UserError, match=r"policy/config.json: not valid JSON \(.*column 24"
    ) as raised:
        load_policy(policy_dir)
    sentence(raised)


def test_an_architecture_without_scalar_head():
    config = GraniteConfig(
        vocab_size=258, hidden_size=32, num_hidden_layers=1, num_attention_heads=4, eos_token_id=256
    )
    with pytest.raises(UserError, match=r"no scalar head .* 'granite'") as raised:
        scorer_from_policy(AutoModelForCausalLM.from_config(config), seed=0)
    sentence(raised)


def test_a_model_that_cannot_be_written_leaves_the_old_one(policy_dir, monkeypatch):
    model, tokenizer = load_policy(policy_dir), load_tokenizer(policy_dir)
    before = {path.name: path.read_bytes() for path in policy_dir.iterdir()}

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tokenizer, "save_pretrained", fail)
    with pytest.raises(UserError, match=r"policy: the model cannot be written .*space") as raised:
        save_model(model, tokenizer, policy_dir)
    sentence(raised)
    assert {path.name: path.read_bytes() for path in policy_dir.iterdir()} == before
    assert [path.name for path in policy_dir.parent.iterdir()] == ["policy"]


def test_a_model_is_written_over_an_older_one(policy_dir):
    (policy_dir / "left-over.bin").touch()
    other = tiny_model("gpt2", seed=1)
    save_model(other, byte_tokenizer(), policy_dir)
    assert torch.equal(logits(load_policy(policy_dir)), logits(other))
    assert not (policy_dir / "left-over.bin").exists()


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_context_length(arch):
    assert context_length(tiny_config(arch, context=77)) == 77


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_devices_without_a_gpu():
    assert (pick_device("auto"), pick_device("cpu")) == ("cpu", "cpu")
    with pytest.raises(UserError, match="cuda:1") as raised:
        pick_device("cuda:1")
    sentence(raised)
