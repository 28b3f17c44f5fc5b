"""Rows of fixed memory against the engine's other way; what a GPU would capture, step by step."""

import functools
from contextlib import contextmanager

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import BloomConfig, MistralConfig, Qwen2Config
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from instructgpt.rollout import RolloutEngine, Sampling, graphs
from instructgpt.rollout.decoders import cache_argument
from tests.rollout.test_engine import MODELS, PROMPTS, SAMPLING, SEEDS, assert_same, worst_gap
from tests.tiny import tiny_model

FIXED = ("gpt2", "gpt_neox", "llama", "qwen2")


def engine(model, *, fixed: bool = True, **options) -> RolloutEngine:
    """As on a GPU, or as on a CPU."""
    made = RolloutEngine(model, **options)
    made._takes_graphs = fixed and graphs.has_fixed_rows(model)
    assert made._takes_graphs == fixed
    assert cache_argument(model)  # tried before anybody watches
    return made


@pytest.mark.parametrize("arch", FIXED)
@pytest.mark.parametrize("slots", [1, 5, 32])
@pytest.mark.parametrize("look", [1, 3, 8])
def test_the_answers_are_the_engines(arch, slots, look, monkeypatch):
    monkeypatch.setattr(graphs, "LOOK", look)
    monkeypatch.setattr(graphs, "WIDTH_STEP", 16)
    model = MODELS[arch]
    expected = engine(model, fixed=False, slots=slots).generate(PROMPTS, SEEDS, SAMPLING)
    looks = []
    found = engine(model, slots=slots).generate(
        PROMPTS, SEEDS, SAMPLING, check=lambda: looks.append(look)
    )
    assert_same(found, expected)
    steps = [len(sample.tokens) - 1 for sample in found]  # an answer's first token needs none
    assert sum(looks) >= max(max(steps), sum(steps) / slots)
    assert len({len(sample.tokens) for sample in found}) > 3
    assert worst_gap(model, PROMPTS, found) < 1e-5


@pytest.mark.parametrize(
    "sampling", [Sampling(7, temperature=0), Sampling(1), Sampling(9, top_p=0.7, top_k=20)]
)
def test_other_ways_to_draw(sampling):
    model = MODELS["llama"]
    expected = engine(model, fixed=False, slots=4).generate(PROMPTS, SEEDS, sampling)
    assert_same(engine(model, slots=4).generate(PROMPTS, SEEDS, sampling), expected)


def test_an_answer_may_fill_the_whole_context():
    """The row is as long as the memory, while others have ended long before."""
    model = MODELS["llama"]
    prompts, sampling = [[9] * 100, [10], [11] * 3], Sampling(28, stop_tokens=tuple(range(8)))
    expected = engine(model, fixed=False, slots=2).generate(prompts, [0, 1, 2], sampling)
    found = engine(model, slots=2).generate(prompts, [0, 1, 2], sampling)
    assert_same(found, expected)
    assert max(len(sample.tokens) for sample in found) == 28


def test_a_prompt_with_several_answers_is_read_once(monkeypatch):
    model = MODELS["llama"]
    prompts = [[5, 6, 7]] * 4 + [[8, 9]] * 2
    expected = engine(model, fixed=False).generate(prompts, range(6), SAMPLING)
    shapes = []
    forward = model.forward

    @functools.wraps(forward)
    def noted(input_ids, **kwargs):
        shapes.append(tuple(input_ids.shape))
        return forward(input_ids=input_ids, **kwargs)

    monkeypatch.setattr(model, "forward", noted)
    assert_same(engine(model).generate(prompts, range(6), SAMPLING), expected)
    assert shapes[0] == (2, 3)
    assert set(shapes[1:]) == {(6, 1)}  # always all slots: a graph's shape


def test_under_autocast():
    """Storage and products in bfloat16; the same tokens here, as the logits are far apart."""
    model = MODELS["llama"]
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        expected = engine(model, fixed=False, slots=4).generate(PROMPTS, SEEDS, Sampling(3))
        found = engine(model, slots=4).generate(PROMPTS, SEEDS, Sampling(3))
    same = [a.tokens == b.tokens for a, b in zip(found, expected, strict=True)]
    assert sum(same) >= len(same) - 1
    for one, other, alike in zip(found, expected, same, strict=True):
        if alike:
            assert one.logprobs == pytest.approx(other.logprobs, abs=0.1)


@pytest.mark.parametrize(
    "config",
    [
        tiny_model("gpt_neo").config,
        MistralConfig(
            vocab_size=258, hidden_size=32, intermediate_size=64, num_hidden_layers=1,
            num_attention_heads=4, num_key_value_heads=2, sliding_window=4,
        ),
        BloomConfig(vocab_size=258, hidden_size=32, n_layer=1, n_head=4),
    ],
    ids=lambda config: config.model_type,
)  # fmt: skip
def test_windows_and_positions_of_its_own_are_left_to_the_other_way(config):
    model = AutoModelForCausalLM.from_config(config).eval()
    assert not graphs.has_fixed_rows(model)


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(5, stop_tokens=(1,)),
        Sampling(5, temperature=0),
        Sampling(5, temperature=0.7, top_p=0.9),
        Sampling(5, top_k=7),
    ],
)
def test_a_step_asks_the_device_for_nothing(sampling):
    """Under fake tensors, which have no values: anything read by the host would raise."""
    cache_name = cache_argument(MODELS["qwen2"])
    assert cache_name is not None
    with FakeTensorMode(allow_non_fake_inputs=False):
        config = Qwen2Config(
            vocab_size=258, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2,
        )  # fmt: skip
        model = AutoModelForCausalLM.from_config(config).eval()
        rows = graphs.FixedRows(model, 3, sampling, longest=4, cache_name=cache_name)
        for layer in rows.layers:
            layer.reserve(*torch.zeros(2, 1, 2, 1, 8))
        rows.rows.width = 9
        with torch.no_grad():
            rows.step()
            rows.step()
        with pytest.raises(RuntimeError, match="_local_scalar_dense"):
            rows._look({})  # the control: the host's look does read


@pytest.mark.parametrize("fails", [False, True])
def test_a_width_is_captured_once_and_a_capture_draws_nothing(fails, monkeypatch, caplog):
    """The logic around a capture, with a stand-in for the GPU: a graph is the step of the rows that
    it captured, at the width of that time.
    """
    monkeypatch.setattr(graphs, "WIDTH_STEP", 16)
    model = MODELS["llama"]
    expected = engine(model, fixed=False, slots=5).generate(PROMPTS, SEEDS, SAMPLING)
    rows: list[graphs.FixedRows] = []
    captured: list[int] = []
    replayed: list[int] = []
    devices: list[torch.device] = []

    class Graph:
        def replay(self):
            assert rows[0].rows.width == self.width
            replayed.append(self.width)
            rows[0].step()

    @contextmanager
    def capture(graph):
        graph.width = rows[0].rows.width
        captured.append(graph.width)
        yield
        if fails:
            raise RuntimeError("capture is not possible here")

    class Stream:
        def wait_stream(self, other):
            pass

    @contextmanager
    def on(stream):
        yield

    @contextmanager
    def at(device):
        devices.append(device)
        yield

    for name, stand_in in {
        "CUDAGraph": Graph, "Stream": Stream, "current_stream": Stream, "stream": on,
        "graph": capture, "device": at, "synchronize": lambda: None,
    }.items():  # fmt: skip
        monkeypatch.setattr(torch.cuda, name, stand_in)
    made = graphs.FixedRows.__init__

    def as_on_a_gpu(self, *args):
        made(self, *args)
        self._captures = True
        rows.append(self)

    monkeypatch.setattr(graphs.FixedRows, "__init__", as_on_a_gpu)
    assert_same(engine(model, slots=5).generate(PROMPTS, SEEDS, SAMPLING), expected)
    assert len(rows) == 1
    assert len(captured) == len(set(captured)) > 2
    assert set(replayed) == (set() if fails else set(captured))
    assert set(devices) == {model.device}
    assert ("no CUDA graph" in caplog.text) == fails


class _StopError(Exception):
    pass


def test_a_check_may_stop_the_call():
    looks = []

    def check():
        looks.append(1)
        if len(looks) == 3:
            raise _StopError

    model = MODELS["llama"].train()
    with pytest.raises(_StopError):
        engine(model).generate(PROMPTS, SEEDS, Sampling(60), check=check)
    assert model.training
    model.eval()


def test_progress_counts_ended_answers():
    seen = []
    engine(MODELS["llama"], slots=4).generate(PROMPTS, SEEDS, SAMPLING, on_progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == len(PROMPTS)


def test_non_finite_logits_name_the_episode():
    model = tiny_model("llama", seed=3)
    torch.nn.init.constant_(model.model.norm.weight, torch.nan)
    with pytest.raises(RuntimeError, match="episode 1 has non-finite logits after 0 tokens"):
        engine(model).generate([[1], [2, 3]], [0, 1], Sampling(5))
