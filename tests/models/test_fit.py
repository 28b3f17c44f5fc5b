"""Texts must fit the models that read them, in words, whatever the architecture."""

import json
import math

import pytest
import torch
from transformers import AutoModelForCausalLM, Gemma3TextConfig, LlamaConfig, Phi3Config

from instructgpt.errors import UserError
from instructgpt.models.facts import look_at
from instructgpt.models.fit import (
    Size,
    context_length,
    embedding_rows,
    require_fit,
    require_vocabulary,
    rows_needed,
    size_of,
    widen_embedding,
)
from instructgpt.models.forward import hidden_states, response_logprobs
from instructgpt.models.load import load_policy, scorer_from_policy
from instructgpt.models.rows import pad_rows
from instructgpt.models.scorer import Scorer
from instructgpt.models.tree import reads_trees, tree_scores
from instructgpt.models.writing import save_model
from instructgpt.rollout.engine import RolloutEngine
from instructgpt.rollout.policy import SFTModel
from instructgpt.rollout.sampling import Sampling
from tests.files import sentence, write_policy
from tests.tiny import ARCHITECTURES, byte_tokenizer, tiny_config, tiny_model

LEARNT_POSITIONS = ("gpt2", "gpt_neo")
ROTARY = ("llama", "qwen2")


LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 1e4,
    "short_factor": [1.0] * 4,
    "long_factor": [4.0] * 4,
    "original_max_position_embeddings": 24,
}
"""For heads of 8; a context of 100 follows from the long factors."""


def refused(attempt) -> str:
    with pytest.raises(UserError) as raised:
        attempt()
    return sentence(raised)


def rope(**parameters):
    return LlamaConfig(
        hidden_size=32,
        num_attention_heads=4,
        max_position_embeddings=100,
        rope_parameters=parameters,
    )


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        *((tiny_config(arch, context=77), 77) for arch in ARCHITECTURES),
        (rope(rope_type="default", rope_theta=1e4), 100),
        # Llama 3.1 declares the extended length, of which the original is a part.
        (
            rope(
                rope_type="llama3",
                rope_theta=1e4,
                factor=8.0,
                low_freq_factor=1.0,
                high_freq_factor=4.0,
                original_max_position_embeddings=50,
            ),
            100,
        ),
        # Qwen2.5 declares the original one, or says it in the scaling.
        (rope(rope_type="yarn", rope_theta=1e4, factor=4.0), 400),
        (
            rope(
                rope_type="yarn",
                rope_theta=1e4,
                factor=4.0,
                original_max_position_embeddings=25,
            ),
            100,
        ),
        (rope(rope_type="linear", rope_theta=1e4, factor=2.5), 250),
        # Beyond the original one, these turn a row's positions as its longest neighbor needs.
        (rope(rope_type="dynamic", rope_theta=1e4, factor=2.0), 100),
        (rope(**LONGROPE), 24),
        (
            Phi3Config(
                hidden_size=32,
                num_attention_heads=4,
                max_position_embeddings=100,
                original_max_position_embeddings=20,
                pad_token_id=0,
                rope_parameters=LONGROPE | {"original_max_position_embeddings": None},
            ),
            20,
        ),
        (Gemma3TextConfig(max_position_embeddings=100), 100),
    ],
)
def test_how_many_tokens_a_model_reads(config, expected):
    assert context_length(config) == expected


def test_a_row_must_fit():
    require_fit(Size(10, 5), longest=10, highest_id=4, role="the critic")
    require_fit(Size(None, 5), longest=10**6, role="the critic")
    said = refused(lambda: require_fit(Size(10, 5), longest=11, role="the critic", text="prompt 3"))
    assert said.startswith("the critic reads 10 tokens at most, but prompt 3 has 11; shorten it")
    said = refused(lambda: require_fit(Size(10, 5), highest_id=5, role="the critic"))
    assert "the critic has 5 rows in its embedding" in said
    assert "ids up to 5" in said
    assert "resize_token_embeddings(6)" in said


def test_ids_with_gaps_need_rows_up_to_the_highest():
    tokenizer = byte_tokenizer()
    assert rows_needed(tokenizer) == 258
    tokenizer.add_tokens(["<new>"])
    require_vocabulary(Size(None, 259), tokenizer, role="x")
    refused(lambda: require_vocabulary(Size(None, 258), tokenizer, role="x"))


@pytest.mark.parametrize("arch", [*LEARNT_POSITIONS, *ROTARY])
def test_a_tokenizer_longer_than_the_embedding_is_refused(arch, tmp_path):
    path = write_policy(tmp_path / "model", arch, vocab_size=250)
    facts = (path, "policy"), (path, "trunk")
    for attempt in (*(lambda f=f: look_at(*f) for f in facts), lambda: SFTModel(path)):
        said = refused(attempt)
        assert said.startswith(f"{path} has 250 rows in its embedding, but its tokenizer has ids")
        assert "up to 257" in said
    scorer = scorer_from_policy(tiny_model(arch, vocab_size=250), seed=0)
    assert "the reward model has 250 rows" in refused(lambda: Scorer(scorer, byte_tokenizer()))
    save_model(scorer, byte_tokenizer(), tmp_path / "scorer")
    said = refused(lambda: Scorer(tmp_path / "scorer"))
    assert f"the reward model {tmp_path / 'scorer'} has 250 rows" in said


@pytest.mark.parametrize("arch", [*LEARNT_POSITIONS, *ROTARY])
def test_a_padded_embedding_is_accepted(arch, tmp_path):
    """258 tokens, a multiple of 64 rows."""
    path = write_policy(tmp_path / "model", arch, vocab_size=320)
    assert look_at(path, "policy").rows == embedding_rows(load_policy(path)) == 320
    assert len(SFTModel(path).generate(["a"], max_new_tokens=3)) == 1


@pytest.fixture(params=[*LEARNT_POSITIONS, *ROTARY])
def small(request):
    """A policy that reads 16 tokens."""
    return SFTModel(tiny_model(request.param, context=16), byte_tokenizer())


def test_no_forward_goes_beyond_the_context(small):
    rows = pad_rows([[1] * 8], [[2] * 8])
    assert response_logprobs(small.model, rows).shape == (1, 8)
    long = pad_rows([[1] * 8], [[2] * 9])
    for attempt in (
        lambda: response_logprobs(small.model, long),
        lambda: hidden_states(small.model, long),
    ):
        assert "reads 16 tokens at most, but a text has 17; " in refused(attempt)


def test_no_tree_goes_beyond_the_context():
    """A prompt with all its answers may be longer than the context; each answer's row may not."""
    scorer = scorer_from_policy(tiny_model("llama", context=16), seed=0)
    assert reads_trees(scorer)
    assert tree_scores(scorer, [[1] * 8], [[[2] * 8, [3] * 8]]).shape == (2,)
    said = refused(lambda: tree_scores(scorer, [[1] * 8], [[[2] * 8, [3] * 9]]))
    assert "reads 16 tokens at most, but a text has 17; " in said


def test_a_reward_model_refuses_what_it_cannot_read(small):
    reward = Scorer(scorer_from_policy(small.model, seed=0), small.tokenizer)
    assert reward.score(["12345678"], ["1234567"]).shape == (1,)
    said = refused(lambda: reward.score(["a", "12345678"], ["b", "12345678"]))
    assert said.startswith(
        "the reward model reads 16 tokens at most, but prompt and answer 2 has 17; "
    )
    said = refused(lambda: reward.score_tokens([[5]], [[6, 258]]))
    assert (
        "has 258 rows in its embedding, but prompt and answer 1 has the token ids 5 to 258" in said
    )


def test_a_sampled_answer_that_is_longer_in_other_tokens_is_read_as_far_as_it_fits(small, capfd):
    reward = Scorer(scorer_from_policy(small.model, seed=0), small.tokenizer)
    reward.on_long = "truncate"
    expected = reward.score(["12345678"], ["12345678"], finished=False)
    assert capfd.readouterr().err == ""
    for _ in range(2):
        assert torch.equal(reward.score(["12345678"], ["1234567890"]), expected)
    said = capfd.readouterr().err
    assert said.count("the reward model reads 16 tokens at most: what an answer has beyond") == 1
    refused(lambda: reward.score(["12345678901234567"], ["b"]))


def test_the_engine_refuses_ids_and_rows_beyond_the_model(small):
    engine = RolloutEngine(small.model)
    assert len(engine.generate([[1] * 8], [0], Sampling(8))[0].tokens) <= 8
    assert "context of 16" in refused_plainly(lambda: engine.generate([[1] * 8], [0], Sampling(9)))
    said = refused_plainly(lambda: engine.generate([[1], [2, 258]], [0, 0], Sampling(2)))
    assert "prompt 1 has the token id 258, but the model has 258 rows" in said


def refused_plainly(attempt) -> str:
    with pytest.raises(UserError) as raised:
        attempt()
    return str(raised.value)


def test_the_engine_honors_an_extended_context(tmp_path):
    """What the forward pass reads, sampling reads too."""
    path = tmp_path / "model"
    write_policy(path, "llama", context=16)
    config = json.loads((path / "config.json").read_text())
    config["rope_parameters"] = {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}
    (path / "config.json").write_text(json.dumps(config))
    model = load_policy(path)
    assert size_of(model).context == 32
    RolloutEngine(model).generate([[1] * 20], [0], Sampling(12))
    assert "context of 32" in refused_plainly(
        lambda: RolloutEngine(model).generate([[1] * 20], [0], Sampling(13))
    )


@pytest.mark.parametrize("kind", ["longrope", "dynamic"])
def test_a_row_of_a_model_with_scaling_for_long_rows_does_not_depend_on_its_neighbors(kind):
    """Alone, transformers reads a short row unscaled; beside a long one it would be scaled."""
    config = tiny_config("llama", context=96 if kind == "longrope" else 24)
    config.rope_parameters = {
        "longrope": {**LONGROPE},
        "dynamic": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 4.0},
    }[kind]
    torch.manual_seed(0)
    policy = AutoModelForCausalLM.from_config(config)
    scorer = Scorer(scorer_from_policy(policy.eval(), seed=0), byte_tokenizer())
    short, fits, long = ([5 + i % 90 for i in range(length)] for length in (10, 20, 60))

    def score(*answers):
        return scorer.score_tokens([[1, 2, 3, 4]] * len(answers), answers)

    alone = score(short)
    assert score(short, fits)[0].item() == pytest.approx(alone.item(), abs=1e-6)
    said = refused(lambda: score(short, long))
    assert "reads 24 tokens at most, but prompt and answer 2 has 64; shorten it" in said


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_a_widened_embedding_reads_as_before_and_new_tokens_say_nothing(arch, tmp_path):
    scorer = scorer_from_policy(tiny_model(arch), seed=0)
    row = torch.tensor([[5, 6, 257]])
    before = scorer(row).logits
    rows = scorer.get_input_embeddings().weight.detach().clone()
    widen_embedding(scorer, 100)  # it has more
    assert embedding_rows(scorer) == 258
    widen_embedding(scorer, 320)
    assert torch.equal(scorer(row).logits, before)
    grown = scorer.get_input_embeddings().weight
    assert torch.equal(grown[:258], rows)
    assert grown.shape[0] == 320
    assert not grown[258:].any()
    assert math.isfinite(scorer(torch.tensor([[5, 319]])).logits.item())
    save_model(scorer, byte_tokenizer(), tmp_path / "scorer")
    assert look_at(str(tmp_path / "scorer"), "scorer").rows == 320
