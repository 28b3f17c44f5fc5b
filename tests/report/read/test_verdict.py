import pytest

from instructgpt.report.read.verdict import Verdict, policy_name
from tests.report import rounds
from tests.report.fake import interval


def verdict_of(**changes: object) -> Verdict:
    found = Verdict.parse({**rounds.evaluation(), **changes})
    assert found is not None
    return found


def test_every_policy_is_read_in_order_and_the_controls_apart():
    verdict = verdict_of()
    assert list(verdict.rates) == ["base", "ppo-plain", "ppo", "ppo-2"]
    assert verdict.rates["ppo-2"] == verdict.rate
    assert list(verdict.scores) == ["base", "sft", "ppo-plain", "ppo", "ppo-2"]
    assert list(verdict.controls) == ["greedy decoding of sft"]
    assert verdict.texts["ppo"]["prose_loss"] == 3.24


def test_the_baseline_stands_before_what_was_made_from_it():
    scores = {name: interval(0.5) for name in ("ppo", "sft", "ppo-2", "base")}
    assert list(verdict_of(scores=scores).scores) == ["base", "sft", "ppo", "ppo-2"]


def test_an_older_file_names_policies_by_path_and_side():
    verdict = Verdict.parse(
        {
            "a": "/runs/tiny/07-ppo/model",
            "b": "/runs/tiny/03-sft/model",
            "judge": "/runs/tiny/06-reward/model",
            "win_rate": interval(0.6),
            "controls": {"greedy decoding of b": interval(0.5)},
            "scores": {"a": interval(5.8), "b": interval(5.3)},
            "texts": {"a": {"tokens": 21.0}, "b": {"tokens": 25.0}},
        }
    )
    assert verdict is not None
    assert (verdict.a, verdict.b, verdict.judge) == ("ppo", "sft", "the reward model of reward")
    assert list(verdict.controls) == ["greedy decoding of sft"]
    assert list(verdict.scores) == ["sft", "ppo"]
    assert verdict.texts == {"sft": {"tokens": 25.0}, "ppo": {"tokens": 21.0}}


def test_the_baseline_is_no_rival_of_itself():
    others = {"sft": interval(0.5), "ppo": interval(0.6)}
    assert set(verdict_of(others=others).rates) == {"ppo", "ppo-2"}


def test_without_a_win_rate_there_is_no_verdict():
    assert Verdict.parse({"a": "ppo", "win_rate": {"estimate": None}}) is None


def test_a_policy_may_be_compared_with_its_namesake():
    verdict = verdict_of(a="sft", win_rate=interval(0.5))
    assert verdict.rates["sft"].estimate == 0.5


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("runs/q/09-ppo-plain/model", "ppo-plain"),
        ("07-ppo/model-ema/", "ppo"),
        ("HuggingFaceTB/SmolLM2-135M", "HuggingFaceTB/SmolLM2-135M"),
        ("sft", "sft"),
    ],
)
def test_policies_have_short_names(path, name):
    assert policy_name(path) == name
