"""What a network must be, found by trying: rows that see no future and no filler, scores of the
last token.
"""

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    BertConfig,
    JambaConfig,
    OPTConfig,
    XLNetConfig,
)

from instructgpt.errors import UserError
from instructgpt.models.facts import look_at
from instructgpt.models.load import scorer_from_policy
from instructgpt.models.probe import require_readable
from instructgpt.models.scorer import Scorer
from instructgpt.reward.model import RewardModel
from instructgpt.rollout.policy import SFTModel
from tests.files import sentence, write_policy
from tests.tiny import ARCHITECTURES, byte_tokenizer, tiny_model

COMMON = {"vocab_size": 258, "bos_token_id": 256, "eos_token_id": 256, "pad_token_id": 257}
SIZES = COMMON | {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}


def bert(**more) -> BertConfig:
    return BertConfig(**SIZES, intermediate_size=32, **more)


def refused(attempt) -> str:
    with pytest.raises(UserError) as raised:
        attempt()
    return sentence(raised)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_common_architectures_are_readable(arch):
    policy = tiny_model(arch)
    scorer = scorer_from_policy(policy, seed=0)
    state = torch.random.get_rng_state()
    for model in (policy.train(), scorer):
        require_readable(model, role="x")
    assert policy.training
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_model_whose_tokens_see_the_future_is_no_policy():
    for config in (bert(), XLNetConfig(**COMMON, d_model=16, n_layer=1, n_head=2, d_inner=16)):
        model = AutoModelForCausalLM.from_config(config)
        said = refused(lambda model=model: SFTModel(model, byte_tokenizer()))
        assert "in which a token sees those that come after it; choose another" in said
    decoder = AutoModelForCausalLM.from_config(bert(is_decoder=True))
    SFTModel(decoder, byte_tokenizer())


def test_a_model_that_sees_its_padding_is_refused(monkeypatch):
    model = tiny_model("llama")
    forward = model.model.forward

    def without_mask(*args, attention_mask=None, **kwargs):
        return forward(*args, attention_mask=torch.zeros(2, 1, 9, 9), **kwargs)

    monkeypatch.setattr(model.model, "forward", without_mask)
    with pytest.raises(UserError, match=r"; choose another"):
        require_readable(model, role="x")


def test_a_score_that_is_not_the_last_tokens_is_refused():
    """BERT's classifier reads the first token's state, through a pooler."""
    config = bert(is_decoder=True, num_labels=1)
    config.architectures = ["BertForSequenceClassification"]
    model = AutoModelForSequenceClassification.from_config(config)
    said = refused(lambda: Scorer(model, byte_tokenizer()))
    assert "whose score is not a linear layer on the last token's state; choose another" in said


def test_a_classifier_with_more_than_a_policys_trunk_is_refused_before_anything_starts(tmp_path):
    path = write_policy(
        tmp_path / "m", model=AutoModelForCausalLM.from_config(bert(is_decoder=True))
    )
    said = refused(lambda: look_at(path, "trunk"))
    assert "BertForSequenceClassification is more than the policy's trunk with a linear" in said
    assert look_at(path, "policy").rows == 258


@pytest.mark.parametrize("projected", [16, 8])
def test_opt_is_read_with_its_own_positions_and_projection(projected):
    config = OPTConfig(**SIZES, ffn_dim=16, word_embed_proj_dim=projected)
    policy = SFTModel(AutoModelForCausalLM.from_config(config).eval(), byte_tokenizer())
    (answer,) = policy.generate(["cab"], max_new_tokens=5, seed=0)
    row = [*policy.text.prompt("cab"), *answer.tokens]
    with torch.no_grad():
        logits = policy.model(input_ids=torch.tensor([row])).logits[0]
    first = len(row) - len(answer.tokens)
    expected = logits[first - 1 : -1].log_softmax(-1)[range(len(answer.tokens)), answer.tokens]
    assert answer.logprobs == pytest.approx(expected.tolist(), abs=1e-5)
    scorer = RewardModel(policy)
    raw = scorer.model(input_ids=torch.tensor([[5, 6, 7, 256]])).logits.item()
    assert scorer.score_tokens([[5, 6]], [[7, 256]]).item() == pytest.approx(raw, abs=1e-5)


def test_layers_that_do_not_run_alone_are_refused():
    """Jamba's first layer has no attention, which its model looks for."""
    config = JambaConfig(
        **SIZES,
        num_key_value_heads=2,
        intermediate_size=16,
        attn_layer_period=2,
        attn_layer_offset=1,
        num_experts=2,
        mamba_d_state=4,
    )
    policy = SFTModel(AutoModelForCausalLM.from_config(config).eval(), byte_tokenizer())
    assert RewardModel(policy).model is not None
    said = refused(lambda: RewardModel(policy, depth=0.5).model)
    assert said.endswith("; choose another model or depth")
    assert "JambaForSequenceClassification does not run (" in said
