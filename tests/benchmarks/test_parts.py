"""What the benchmarks share: turns, ratios, equal work on all sides, the floor, the plain ways."""

import doctest
import json
from types import SimpleNamespace

import pytest
import torch

import cost
import floor
import guard
import measure
import plain
import table
from instructgpt.models.forward import response_logprobs
from instructgpt.models.rows import pad_rows
from instructgpt.models.text import TextCodec
from instructgpt.reward import RewardConfig, RewardModel, RewardModelTrainer
from instructgpt.reward.data import Comparison
from instructgpt.rollout.sampling import Sampling
from instructgpt.sft import Example, SFTConfig, SFTModel, SFTTrainer
from peers import ForcedEnd, generate_batches
from tests.benchmarks.conftest import BENCHMARKS
from tests.tiny import tiny_model
from workload import as_text, draw_lengths, draw_tokens, forced_lengths, number_tokenizer

VOCABULARY = 300
SETTINGS = {"model": "-", "data": "-", "out": "-"}


@pytest.fixture
def policy():
    model = tiny_model("llama", vocab_size=VOCABULARY, scale=1.0)
    tokenizer = number_tokenizer(VOCABULARY)
    model.config.pad_token_id = tokenizer.pad_token_id
    return SFTModel(model, tokenizer)


class Recorder:
    """An optimizer that only looks: the direction it was asked to go."""

    def __init__(self, model):
        self.model, self.direction = model, torch.zeros(0)

    def step(self):
        self.direction = torch.cat([p.grad.flatten() for p in self.model.parameters()])
        self.direction /= self.direction.norm()

    def zero_grad(self):
        self.model.zero_grad()


def direction(model, loss):
    """Of the gradient, without an optimizer."""
    recorder = Recorder(model)
    loss.backward()
    recorder.step()
    recorder.zero_grad()
    return recorder.direction


# ------------------------------------------------------------------ measure


@pytest.mark.parametrize("module", [measure, floor, table, cost])
def test_the_worked_examples(module):
    assert doctest.testmod(module).failed == 0
    assert doctest.testmod(module).attempted


def test_sides_take_turns_in_alternating_order_after_a_round_that_is_not_counted():
    called = []

    def side(name, seconds):
        def work():
            called.append(name)
            return {"seconds": seconds.pop(0)}

        return work

    rounds = measure.take_turns(
        {"a": side("a", [9.0, 1.0, 2.0]), "b": side("b", [8.0, 3.0, 5.0])}, 2
    )
    assert called == ["a", "b", "b", "a", "a", "b"]
    assert rounds == {
        "a": [{"seconds": 1.0}, {"seconds": 2.0}],
        "b": [{"seconds": 3.0}, {"seconds": 5.0}],
    }


def test_ratios_are_taken_within_a_round():
    """All that happened is that the third round was slow for both."""
    rounds = {
        "ours": [{"seconds": 1.0}, {"seconds": 2.0}, {"seconds": 100.0}],
        "peer": [{"seconds": 2.0}, {"seconds": 6.0}, {"seconds": 400.0}],
    }
    assert measure.ratios(rounds) == {"peer": {"median": 3.0, "min": 2.0, "max": 4.0}}


def test_a_summary_has_seconds_and_rates():
    found = measure.summary([{"seconds": 2.0, "tokens": 10}, {"seconds": 4.0, "tokens": 10}])
    assert found == {
        "seconds": {"median": 3.0, "min": 2.0, "max": 4.0},
        "tokens_per_second": {"median": 3.75, "min": 2.5, "max": 5.0},
    }


# ------------------------------------------------------------------ workload


def test_numbers_are_tokens_and_tokens_numbers(policy):
    tokens = [0, 297, 5, 5, 131]
    assert TextCodec(policy.tokenizer).prompt(as_text(tokens)) == tokens
    assert policy.text.eos == VOCABULARY - 1
    assert policy.tokenizer.pad_token_id == VOCABULARY - 2


def test_drawn_texts_have_their_lengths_and_no_special_token(policy):
    lengths = draw_lengths(200, 3, 9, seed=1)
    assert set(lengths) == set(range(3, 10))
    texts = draw_tokens(lengths, policy, seed=2)
    assert [len(text) for text in texts] == lengths
    assert max(max(text) for text in texts) == VOCABULARY - 3


LENGTHS = [5, 1, 12, 12, 3, 8, 2]


def test_our_answers_get_their_lengths(policy):
    prompts = draw_tokens([4] * 7, policy, seed=1)
    sampling = Sampling(12, stop_tokens=(policy.text.eos,))
    seeds = range(50, 57)
    with forced_lengths(dict(zip(seeds, LENGTHS, strict=True))):
        forced = policy.sample(prompts, seeds, sampling, slots=3)
    free = policy.sample(prompts, seeds, sampling, slots=3)
    assert [len(sample.tokens) for sample in forced] == LENGTHS
    assert all(sample.tokens[-1] == policy.text.eos for sample in forced)
    assert [len(sample.tokens) for sample in free] != LENGTHS


def test_answers_of_generate_get_their_lengths(policy):
    prompts = draw_tokens([4, 9, 2, 6, 6, 1, 3], policy, seed=1)
    answers = generate_batches(policy, prompts, LENGTHS, batch=3)
    assert [len(answer) for answer in answers] == LENGTHS
    assert all(answer.index(policy.text.eos) == len(answer) - 1 for answer in answers)


def test_a_forced_end_comes_when_it_is_due_and_not_before():
    ends = ForcedEnd(torch.tensor([1, 2]), start=4, end_token=2)
    first = ends(torch.zeros(2, 4), torch.zeros(2, 3))
    second = ends(torch.zeros(2, 5), torch.zeros(2, 3))
    never = -torch.inf
    assert first.tolist() == [[never, never, 0.0], [0.0, 0.0, never]]
    assert second.tolist() == [[0.0, 0.0, never], [never, never, 0.0]]


# ------------------------------------------------------------------ floor


def test_the_floor_adds_up_prompts_and_steps(policy, monkeypatch):
    """With a second for each row and ten for any forward, whatever the rows."""
    monkeypatch.setattr(floor.MatmulFloor, "_measure", lambda _self, _weights, rows: 10 + rows)
    products = floor.MatmulFloor(policy, "float32")
    prompts = (10 + 512) * 1024 / 512
    assert products.seconds(1024, [6, 5, 5, 1]) == pytest.approx(prompts + 16 + 15 + 15 + 11)


def test_the_floor_has_all_the_weights(policy):
    products = floor.MatmulFloor(policy, "float32")
    model = policy.model
    weights = sum(weight.numel() for weight in [*products.trunk, products.head])
    matrices = sum(p.numel() for p in model.parameters() if p.ndim == 2)  # head and embedding tied
    assert weights == matrices


# ------------------------------------------------------------------ plain


def test_the_plain_sft_step_goes_the_same_way(policy):
    lengths = [(3, 5), (9, 1), (1, 12), (6, 2)]
    batch = [Example(*draw_tokens(pair, policy, seed=sum(pair))) for pair in lengths]
    recorder = Recorder(policy.model)
    plain.sft_step(policy, recorder, batch)
    trainer = SFTTrainer(policy, SFTConfig(**SETTINGS, dropout=0.0))
    expected = direction(policy.model, trainer._loss_sum(batch))
    assert torch.dist(recorder.direction, expected) < 1e-4


def test_the_plain_reward_step_goes_the_same_way(policy):
    prompt, *answers = draw_tokens([7, 3, 9, 1, 5], policy, seed=3)
    comparison = Comparison("p", prompt, answers, [[1, 2, 3, 4]], ["l"])
    reward = RewardModel(policy)
    recorder = Recorder(reward.model)
    plain.reward_step(reward, recorder, comparison)
    trainer = RewardModelTrainer(reward, RewardConfig(**SETTINGS))
    loss, *_ = trainer.compute_comparison_loss([comparison])
    assert torch.dist(recorder.direction, direction(reward.model, loss)) < 1e-4


def test_whole_logits_give_the_same_logprobs(policy):
    prompts = draw_tokens([3, 9, 1], policy, seed=1)
    rows = pad_rows(prompts, draw_tokens([5, 1, 12], policy, seed=2))
    torch.testing.assert_close(
        plain.whole_logprobs(policy.model, rows), response_logprobs(policy.model, rows)
    )


# ------------------------------------------------------------------ guard


@pytest.mark.parametrize(
    ("ratios", "lost"),
    [
        ([1.0, 1.0, 1.0, 1.0, 1.0], True),
        ([1.8, 1.8, 1.8, 1.8, 1.8], False),  # 10 % less
        ([1.0, 1.0, 1.0, 1.9, 1.9], False),  # a noisy machine: a quarter of the rounds was as fast
        ([1.0, 1.0, 1.0, 1.0, 1.9], True),
    ],
)
def test_a_stage_is_slower_when_it_falls_short_beyond_noise(ratios, lost):
    assert guard.is_slower(ratios, accepted=2.0) is lost


@pytest.fixture
def ratios(monkeypatch, tmp_path):
    """`guard` with one stage, whose ratios come from a list; the rest is real."""
    given = SimpleNamespace(left=[], results=tmp_path / "results" / "guard.json")
    monkeypatch.setattr(guard, "STAGES", {"stage": lambda _arguments: None})
    monkeypatch.setattr(guard, "measure", lambda _ways, _arguments: [given.left.pop(0)] * 5)

    def run(*flags):
        argv = ["guard.py", "--threads", "1", "--results", str(given.results), *flags]
        monkeypatch.setattr("sys.argv", argv)
        return guard.main()

    given.run = run
    return given


def test_the_guard_accepts_and_then_compares(ratios, capsys):
    ratios.left = [2.0]
    assert ratios.run("--accept") == 0
    ratios.left = [1.8]
    assert ratios.run() == 0
    ratios.left = [1.0, 1.0, 1.0]
    assert ratios.run() == 1
    assert '"slower": ["stage"]' in capsys.readouterr().out


def test_the_guard_measures_again_before_it_fails(ratios):
    ratios.left = [2.0]
    ratios.run("--accept")
    ratios.left = [1.0, 1.0, 1.9]
    assert ratios.run() == 0
    assert ratios.left == []


def test_on_an_unknown_machine_no_stage_may_be_slower_than_the_plain_way(ratios, capsys):
    ratios.left = [1.1]
    assert ratios.run() == 0
    assert "--accept" in capsys.readouterr().err
    assert not ratios.results.exists()
    ratios.left = [0.9, 0.9, 0.9]
    assert ratios.run() == 1
    assert ratios.left == []


def test_accepting_takes_what_there_is(ratios):
    ratios.left = [0.5]
    assert ratios.run("--accept") == 0
    ratios.left = [0.45]
    assert ratios.run() == 0


# ------------------------------------------------------------------ cost and table


def test_cost_is_fitted_by_medians():
    """2 seconds and half a second for each; one slow round does not count."""
    seconds = {4: [4.0, 4.0, 90.0], 8: [6.0], 12: [8.0, 8.0, 8.0]}
    found = cost.fit(seconds)
    assert found == pytest.approx({"fixed": 2.0, "each": 0.5, "r2": 1.0})
    assert cost.fit(seconds | {16: [30.0]})["r2"] < 0.9


def side(seconds, peak):
    return {
        "seconds": {"median": seconds, "min": seconds / 2, "max": seconds * 2},
        "peak_bytes": peak,
    }


ROLLOUT = {"benchmark": "rollout", "model": "SmolLM2", "dtype": "float32", "peers": "tuned"}


def test_a_row_has_the_ratios_and_the_share_of_the_floor():
    line = {
        **ROLLOUT, "slots": 32,
        "sides": {"ours": side(10.0, 2e9), "generate": side(25.0, 3e9), "floor": side(6.0, 1e9)},
        "seconds_over_ours": {
            "generate": {"median": 2.5, "min": 2.4, "max": 2.6},
            "floor": {"median": 0.6, "min": 0.5, "max": 0.7},
        },
    }  # fmt: skip
    assert table.row(line) == [
        "rollout, 32 slots", "SmolLM2", "float32", "tuned", "10 (5–20)",
        "generate **2.5** (2.4–2.6)", "60 %", "ours 2.0; generate 3.0",
    ]  # fmt: skip


def test_rows_stand_in_the_order_of_the_stages_and_real_weights_first():
    ours = {"sides": {"ours": side(10.0, 2e9)}, "seconds_over_ours": {}}
    lines = [
        ROLLOUT | ours | {"slots": slots} | other
        for slots, other in (
            (5, {"model": "llama-10m"}),
            (4, {"benchmark": "ppo", "answers": "fixed"}),
            (3, {"dtype": "bfloat16"}),
            (2, {"peers": "as they come"}),
            (1, {}),
        )
    ]
    rows = table.table(lines).splitlines()[2:]
    found = [int("".join(filter(str.isdigit, row.split("|")[1])) or 4) for row in rows]
    assert found == [1, 2, 3, 4, 5]


def test_the_readme_shows_what_was_measured():
    results = (BENCHMARKS / "results" / "cpu.jsonl").read_text()
    lines = [json.loads(text) for text in results.splitlines()]
    assert table.table(lines) in (BENCHMARKS / "README.md").read_text()
