"""The engine against plain forwards and transformers' own `generate`, five families."""

import functools
import random

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    MambaConfig,
    MistralConfig,
    PreTrainedConfig,
    PreTrainedModel,
)

from instructgpt.errors import UserError
from instructgpt.rollout import RolloutEngine, Sample, Sampling
from instructgpt.rollout.cache import SlotCache
from tests.tiny import ARCHITECTURES, tiny_model

MODELS = {name: tiny_model(name) for name in ARCHITECTURES}
SLIM = ("gpt2", "gpt_neo", "llama", "qwen2")
STOPS = tuple(range(8))
SAMPLING = Sampling(60, stop_tokens=STOPS)


def ragged_prompts(count: int, longest: int = 40) -> list[list[int]]:
    """Among them always one of one token and one of the greatest length."""
    numbers = random.Random(0)
    lengths = [1, longest] + [numbers.randint(1, longest) for _ in range(count - 2)]
    return [[numbers.randrange(8, 256) for _ in range(length)] for length in lengths]


PROMPTS = ragged_prompts(12)
SEEDS = list(range(100, 112))


@pytest.fixture(params=[*ARCHITECTURES, *(f"{arch} laid out" for arch in SLIM)])
def model(request, monkeypatch) -> PreTrainedModel:
    """Each, sampled by its own forward; and those that can be from their layers laid out."""
    arch = request.param.removesuffix(" laid out")
    if request.param == arch:
        monkeypatch.setattr("instructgpt.rollout.engine.takes_slim", lambda _: False)
    return MODELS[arch]


@torch.no_grad()
def plain_logprobs(model: PreTrainedModel, prompt, tokens, temperature: float = 1.0) -> Tensor:
    logits_TV = model(input_ids=torch.tensor([prompt + tokens])).logits[0, len(prompt) - 1 : -1]
    logprobs_TV = (logits_TV / temperature).log_softmax(-1)
    return logprobs_TV.gather(-1, torch.tensor(tokens)[:, None])[:, 0]


def worst_gap(model, prompts, samples: list[Sample], temperature: float = 1.0) -> float:
    """The largest difference between the engine's log-probs and those of one plain forward."""
    return max(
        (plain_logprobs(model, prompt, sample.tokens, temperature) - torch.tensor(sample.logprobs))
        .abs()
        .max()
        .item()
        for prompt, sample in zip(prompts, samples, strict=True)
    )


@functools.cache
def greedy_answers(arch: str, count: int, new_tokens: int) -> list[list[int]]:
    """What `generate` says, prompt by prompt."""
    answers = []
    for prompt in ragged_prompts(12)[:count]:
        ids = MODELS[arch].generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            do_sample=False,
            max_new_tokens=new_tokens,
            eos_token_id=None,
            pad_token_id=257,
        )
        answers.append(ids[0, len(prompt) :].tolist())
    return answers


def assert_same(left: list[Sample], right: list[Sample]) -> None:
    assert [sample.tokens for sample in left] == [sample.tokens for sample in right]
    assert [sample.finished for sample in left] == [sample.finished for sample in right]
    for one, other in zip(left, right, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_logprobs_equal_a_plain_forward(model, temperature):
    sampling = Sampling(60, temperature=temperature, top_p=0.95, stop_tokens=STOPS)
    samples = RolloutEngine(model, slots=5).generate(PROMPTS, SEEDS, sampling)
    assert len({len(sample.tokens) for sample in samples}) > 3  # slots really refill at odd moments
    gap = worst_gap(model, PROMPTS, samples, temperature)
    print(f"\nworst log-prob gap {gap:.1e}")
    assert gap < 1e-4


def _off_by_one(inputs):
    inputs["position_ids"] = inputs["position_ids"] + 1


def _unmasked(inputs):
    inputs["attention_mask"] = torch.ones_like(inputs["attention_mask"])


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("spoil", [_off_by_one, _unmasked])
def test_the_logprob_check_bites(arch, spoil, monkeypatch, by_forward):
    model = MODELS[arch]
    forward = model.forward

    @functools.wraps(forward)
    def spoilt(**inputs):
        if inputs["input_ids"].shape[1] == 1:  # while decoding only
            spoil(inputs)
        return forward(**inputs)

    engine = RolloutEngine(model, slots=5)
    with monkeypatch.context() as patch:
        patch.setattr(model, "forward", spoilt)
        samples = engine.generate(PROMPTS, SEEDS, SAMPLING)
    assert worst_gap(model, PROMPTS, samples) > 1e-2


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_greedy_tokens_equal_generate(arch):
    """GPT-Neo's local layers see 8 tokens back, in rows of up to 100."""
    count, new_tokens = 7, 60
    expected = greedy_answers(arch, count, new_tokens)
    engine = RolloutEngine(MODELS[arch], slots=3)
    uncut = engine.generate(PROMPTS[:count], [0] * count, Sampling(new_tokens, temperature=0))
    assert [sample.tokens for sample in uncut] == expected
    assert not any(sample.finished for sample in uncut)

    # With stop tokens that really occur, rows end at different steps.
    stops = (expected[0][3], expected[2][20])
    sampling = Sampling(new_tokens, temperature=0, stop_tokens=stops)
    samples = engine.generate(PROMPTS[:count], [0] * count, sampling)
    for sample, tokens in zip(samples, expected, strict=True):
        ends = [i + 1 for i, token in enumerate(tokens) if token in stops]
        assert sample.tokens == tokens[: ends[0] if ends else new_tokens]
        assert sample.finished == bool(ends)


def test_an_answer_depends_on_its_own_seed_only(model):
    reference = RolloutEngine(model, slots=64).generate(PROMPTS, SEEDS, SAMPLING)
    for slots in (1, 3):
        assert_same(RolloutEngine(model, slots=slots).generate(PROMPTS, SEEDS, SAMPLING), reference)

    order = random.Random(1).sample(range(len(PROMPTS)), len(PROMPTS))
    permuted = RolloutEngine(model, slots=4).generate(
        [PROMPTS[i] for i in order], [SEEDS[i] for i in order], SAMPLING
    )
    assert_same(permuted, [reference[i] for i in order])

    alone = RolloutEngine(model).generate(PROMPTS[3:4], SEEDS[3:4], SAMPLING)
    assert_same(alone, reference[3:4])
    reseeded = RolloutEngine(model).generate(PROMPTS[3:4], [7], SAMPLING)
    assert reseeded[0].tokens != alone[0].tokens


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("spare", [0, 1, 7])
def test_columns_wrap(arch, spare, monkeypatch, by_forward):
    model, wraps = MODELS[arch], []
    move_to_front = SlotCache._move_to_front

    def counted(cache, *args):
        wraps.append(args)
        move_to_front(cache, *args)

    def columns(count):
        """Let the engine's caches have so many beside those that one answer needs."""

        def cache(*, reserve, **shape):
            needed = reserve + sampling.max_new_tokens
            return SlotCache(**shape | {"reserve": reserve, "columns": needed + count})

        monkeypatch.setattr("instructgpt.rollout.engine.SlotCache", cache)

    monkeypatch.setattr(SlotCache, "_move_to_front", counted)
    prompts, seeds = ragged_prompts(24, longest=6), range(24)
    sampling = Sampling(20, stop_tokens=STOPS)
    columns(500)
    roomy = RolloutEngine(model, slots=3).generate(prompts, seeds, sampling)
    assert not wraps
    columns(spare)
    tight = RolloutEngine(model, slots=3).generate(prompts, seeds, sampling)
    assert len(wraps) > 3
    assert_same(tight, roomy)
    assert worst_gap(model, prompts, tight) < 1e-4


def test_many_short_answers_stay_within_the_default_buffer():
    """Hundreds of steps over 40 + 2 * 9 columns."""
    prompts = ragged_prompts(60)
    samples = RolloutEngine(MODELS["gpt_neo"], slots=2).generate(prompts, range(60), Sampling(9))
    assert [len(sample.tokens) for sample in samples] == [9] * 60
    assert worst_gap(MODELS["gpt_neo"], prompts, samples) < 1e-4


def test_an_answer_ends_at_its_first_stop_token(model):
    sampling = Sampling(20, stop_tokens=STOPS)
    samples = RolloutEngine(model, slots=5).generate(PROMPTS, SEEDS, sampling)
    assert len({sample.finished for sample in samples}) == 2
    for sample in samples:
        assert len(sample.tokens) == len(sample.logprobs) <= 20
        assert not set(sample.tokens[:-1]) & set(STOPS)
        assert sample.finished == (sample.tokens[-1] in STOPS)
        assert sample.finished or len(sample.tokens) == 20


def test_one_token_answers(model):
    """A slot may be refilled without a single step in between."""
    samples = RolloutEngine(model, slots=5).generate(PROMPTS, SEEDS, Sampling(1, temperature=0))
    assert [len(sample.tokens) for sample in samples] == [1] * len(PROMPTS)
    stops = tuple(sample.tokens[0] for sample in samples[:4])
    sampling = Sampling(1, temperature=0, stop_tokens=stops)
    again = RolloutEngine(model, slots=5).generate(PROMPTS, SEEDS, sampling)
    assert [s.tokens for s in again] == [s.tokens for s in samples]
    assert all(sample.finished for sample in again[:4])


def test_prompts_of_one_token(model):
    prompts = [[token] for token in range(8, 20)]
    samples = RolloutEngine(model, slots=5).generate(prompts, SEEDS, SAMPLING)
    assert worst_gap(model, prompts, samples) < 1e-4


def test_rows_may_fill_the_whole_context(model):
    prompts = ragged_prompts(4, longest=68)
    samples = RolloutEngine(model, slots=2).generate(prompts, range(4), Sampling(60))
    assert len(prompts[1]) + len(samples[1].tokens) == 128
    assert worst_gap(model, prompts, samples) < 1e-4


def random_model(config: PreTrainedConfig) -> PreTrainedModel:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).float().eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.data.mul_(4)
    return model


SMALL = {"vocab_size": 258, "hidden_size": 32, "bos_token_id": 256, "eos_token_id": 256}


@pytest.mark.parametrize(
    "config",
    [
        MistralConfig(
            **SMALL,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            sliding_window=8,
        ),
        BloomConfig(**SMALL, n_layer=2, n_head=4),
    ],
    ids=["sliding window", "alibi without position ids"],
)
def test_other_ways_to_place_tokens(config):
    model = random_model(config)
    samples = RolloutEngine(model, slots=3).generate(PROMPTS[:6], SEEDS[:6], SAMPLING)
    assert worst_gap(model, PROMPTS[:6], samples) < 1e-4


def test_a_recurrent_model_recomputes_and_says_so(caplog):
    model = random_model(MambaConfig(**SMALL, num_hidden_layers=1, state_size=4))
    engine = RolloutEngine(model, slots=2)
    assert "MambaForCausalLM" in caplog.text
    samples = engine.generate(PROMPTS[:3], SEEDS[:3], Sampling(6))
    assert worst_gap(model, PROMPTS[:3], samples) < 1e-4
    assert_same(RolloutEngine(model).generate(PROMPTS[:3], SEEDS[:3], Sampling(6)), samples)


def test_modes_are_restored_and_dropout_is_off():
    model = tiny_model("gpt2").train()
    assert model.config.resid_pdrop > 0
    model.transformer.h[0].eval()
    before = [module.training for module in model.modules()]
    samples = RolloutEngine(model).generate(PROMPTS[:3], SEEDS[:3], Sampling(5))
    assert [module.training for module in model.modules()] == before
    assert_same(
        samples, RolloutEngine(MODELS["gpt2"]).generate(PROMPTS[:3], SEEDS[:3], Sampling(5))
    )
    nn.init.constant_(model.lm_head.weight, torch.nan)
    with pytest.raises(RuntimeError):  # also after a failure
        RolloutEngine(model).generate(PROMPTS[:3], SEEDS[:3], Sampling(5))
    assert [module.training for module in model.modules()] == before


def test_new_weights_are_seen_at_once():
    model = tiny_model("llama")
    engine = RolloutEngine(model)
    before = engine.generate(PROMPTS[:3], SEEDS[:3], SAMPLING)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.1)
    after = engine.generate(PROMPTS[:3], SEEDS[:3], SAMPLING)
    assert worst_gap(model, PROMPTS[:3], before) > 1e-2
    assert worst_gap(model, PROMPTS[:3], after) < 1e-4


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_a_prompt_with_several_answers_is_read_once(arch, monkeypatch, by_forward):
    model = MODELS[arch]
    prompts, seeds = PROMPTS[:3] * 2, range(6)
    engine = RolloutEngine(model)
    alone = [engine.generate(prompts[i : i + 1], [i], SAMPLING)[0] for i in seeds]
    shapes = []
    forward = model.forward

    @functools.wraps(forward)
    def noted(**inputs):
        shapes.append(tuple(inputs["input_ids"].shape))
        return forward(**inputs)

    monkeypatch.setattr(model, "forward", noted)
    samples = engine.generate(prompts, seeds, SAMPLING)
    assert [shape for shape in shapes if shape[1] > 1] == [(3, 40)]
    assert_same(samples, alone)
    assert_same(RolloutEngine(model, slots=4).generate(prompts, seeds, SAMPLING), alone)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_prompts_read_together_are_bounded(arch, monkeypatch, by_forward):
    model = MODELS[arch]
    whole = RolloutEngine(model).generate(PROMPTS, SEEDS, SAMPLING)
    monkeypatch.setattr("instructgpt.rollout.engine.PREFILL_TOKENS", 100)
    sizes = []
    forward = model.forward

    @functools.wraps(forward)
    def noted(**inputs):
        sizes.append(inputs["input_ids"].shape)
        return forward(**inputs)

    monkeypatch.setattr(model, "forward", noted)
    parted = RolloutEngine(model).generate(PROMPTS, SEEDS, SAMPLING)
    assert max(rows * width for rows, width in sizes) <= 100
    assert sum(rows for rows, width in sizes if width > 1) >= len(PROMPTS) - 1  # one has one token
    assert_same(parted, whole)
    monkeypatch.setattr("instructgpt.rollout.engine.PREFILL_TOKENS", 1)  # one at a time at least
    assert_same(RolloutEngine(model).generate(PROMPTS[:3], SEEDS[:3], SAMPLING), whole[:3])


def test_bfloat16_autocast_and_storage(model):
    sampling = Sampling(30, stop_tokens=STOPS)
    with torch.autocast("cpu", torch.bfloat16):
        samples = RolloutEngine(model, slots=3).generate(PROMPTS[:6], SEEDS[:6], sampling)
        assert worst_gap(model, PROMPTS[:6], samples) < 0.5
    stored = RolloutEngine(model, slots=3, dtype=torch.bfloat16)
    gap = worst_gap(model, PROMPTS[:6], stored.generate(PROMPTS[:6], SEEDS[:6], sampling))
    assert 1e-4 < gap < 0.5


def test_under_autocast_new_weights_are_seen_at_once():
    model = tiny_model("llama")
    with torch.autocast("cpu", torch.bfloat16):
        engine = RolloutEngine(model)
        engine.generate(PROMPTS[:3], SEEDS[:3], SAMPLING)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(1.1)
        changed = engine.generate(PROMPTS[:3], SEEDS[:3], SAMPLING)
    with torch.autocast("cpu", torch.bfloat16):
        assert_same(RolloutEngine(model).generate(PROMPTS[:3], SEEDS[:3], SAMPLING), changed)


@pytest.mark.parametrize("frozen", [True, False])
def test_under_autocast_every_weight_is_cast_once(frozen, monkeypatch):
    model = tiny_model("llama")
    head = model.lm_head.weight
    model.requires_grad_(not frozen)
    casts = []

    class Noted(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            if function is torch.ops.aten._to_copy.default and args[0].shape == head.shape:
                casts.append(kwargs["dtype"])
            return function(*args, **(kwargs or {}))

    engine = RolloutEngine(model)
    with torch.autocast("cpu", torch.bfloat16), Noted():
        engine.generate(PROMPTS[:3], SEEDS[:3], Sampling(6))
    assert casts == [torch.bfloat16]
    assert head.requires_grad == (not frozen)


def test_a_model_sampled_under_autocast_can_be_trained_under_it():
    """Its casts were made without gradient; training makes its own."""
    model = tiny_model("llama")
    with torch.autocast("cpu", torch.bfloat16):
        RolloutEngine(model).generate(PROMPTS[:3], SEEDS[:3], Sampling(6))
        model(input_ids=torch.tensor([[1, 2, 3]])).logits.float().sum().backward()
    assert all(weight.grad is not None for weight in model.parameters())


def test_progress_counts_ended_answers():
    counts = []
    RolloutEngine(MODELS["llama"], slots=4).generate(
        PROMPTS, SEEDS, SAMPLING, on_progress=counts.append
    )
    assert counts == sorted(set(counts))
    assert counts[-1] == len(PROMPTS)


class _StopError(Exception):
    pass


def test_a_check_before_every_forward_may_stop_the_call(monkeypatch, by_forward):
    model = tiny_model("gpt2").train()
    events: list[str] = []
    forward = model.forward

    @functools.wraps(forward)
    def noted(**inputs):
        events.append("forward")
        return forward(**inputs)

    def check():
        events.append("check")
        if events.count("check") == limit:
            raise _StopError

    engine = RolloutEngine(model, slots=4)
    monkeypatch.setattr(model, "forward", noted)
    limit = 0
    whole = engine.generate(PROMPTS, SEEDS, SAMPLING, check=check)
    assert events == ["check", "forward"] * (len(events) // 2)
    limit = len(events) // 4
    events.clear()
    with pytest.raises(_StopError):
        engine.generate(PROMPTS, SEEDS, SAMPLING, check=check)
    assert events == ["check", "forward"] * (limit - 1) + ["check"]
    assert model.training
    assert_same(engine.generate(PROMPTS, SEEDS, SAMPLING), whole)


def test_nothing_to_do():
    assert RolloutEngine(MODELS["llama"]).generate([], [], SAMPLING) == []


def test_errors_name_the_prompt_the_numbers_and_the_remedy(model):
    engine = RolloutEngine(model)
    with pytest.raises(UserError, match="prompt 1 is empty"):
        engine.generate([[1], []], [0, 0], SAMPLING)
    too_long = r"prompt 2 has 69 tokens.*max_new_tokens 60.*context of 128: shorten"
    with pytest.raises(UserError, match=too_long):
        engine.generate([[1], [2], [3] * 69], [0, 0, 0], SAMPLING)
    with pytest.raises(ValueError, match="2 prompts but 1 seeds"):
        engine.generate([[1], [2]], [0], SAMPLING)
    with pytest.raises(UserError, match="slots"):
        RolloutEngine(model, slots=0)


def test_non_finite_logits_name_the_episode():
    model = tiny_model("gpt_neox")
    with torch.no_grad():
        model.get_input_embeddings().weight[200] = torch.nan
    prompts = [[9, 10, 11], [9, 200], [12]]
    with pytest.raises(RuntimeError, match="episode 1 has non-finite logits"):
        RolloutEngine(model).generate(prompts, [0, 1, 2], SAMPLING)
