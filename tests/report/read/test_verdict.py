from instructgpt.report.read.verdict import Verdict
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


def test_a_reward_model_that_judges_is_called_by_its_stage():
    assert verdict_of(judge="/runs/tiny/06-reward/model").judge == "the reward model of reward"
    assert verdict_of(judge="HuggingFaceTB/judge").judge == "HuggingFaceTB/judge"


def test_policies_that_share_a_short_name_stay_two():
    rates = {"x/sft/model": interval(0.6), "y/sft/model": interval(0.4)}
    assert set(verdict_of(others=rates).rates) == {*rates, "ppo-2"}


def test_the_baseline_is_no_rival_of_itself():
    others = {"sft": interval(0.5), "ppo": interval(0.6)}
    assert set(verdict_of(others=others).rates) == {"ppo", "ppo-2"}


def test_without_a_win_rate_there_is_no_verdict():
    assert Verdict.parse({"a": "ppo", "win_rate": {"estimate": None}}) is None


def test_a_policy_may_be_compared_with_its_namesake():
    verdict = verdict_of(a="sft", win_rate=interval(0.5))
    assert verdict.rates["sft"].value == 0.5
