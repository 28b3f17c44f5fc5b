import pytest

from instructgpt.report.tell import judged
from instructgpt.report.tell.story import result
from instructgpt.report.tell.unseen import full_table
from tests.report.fake import interval
from tests.report.read.test_verdict import verdict_of


@pytest.mark.parametrize(
    "key", ["others", "controls", "scores", "texts", "prose_loss", "by_use_case"]
)
@pytest.mark.parametrize("value", [None, [], "x", 3, {"ppo": None}, {"ppo": {"tokens": "many"}}])
def test_any_part_may_be_missing_or_wrong(key, value):
    verdict = verdict_of(**{key: value})
    assert verdict.rate.n == 272
    judged.win_rates(verdict)
    judged.scores(verdict)
    judged.use_cases(verdict)
    full_table(verdict)


def test_the_result_is_a_clause_with_the_judge_and_the_control():
    assert result(verdict_of()) == (
        "6 held-out simulated labelers prefer ppo-2 to sft in 73\xa0% of comparisons "
        "[68–78\xa0%]; greedy decoding of sft reaches 55\xa0%"
    )


def test_a_control_and_chance_within_the_interval_are_in_the_clause():
    near = verdict_of(win_rate=interval(0.6), controls={"chance": interval(0.55, 0.06)})
    assert result(near).endswith("; chance reaches 55\xa0%, and the intervals overlap")
    even = verdict_of(win_rate=interval(0.52), controls={})
    assert result(even).endswith("of comparisons [47–57\xa0%], which could be chance")


def test_intervals_that_overlap_are_said_to():
    # Half a width of 5.5: ppo-2 (0.73) meets ppo-plain (0.70) and ppo (0.68); base (0.24) is below.
    said = "The interval of ppo-2 overlaps those of ppo-plain and ppo: which is higher stays open."
    assert said in judged.win_rates(verdict_of()).caption
    # Of the scores, 0.64 ± 0.02 touches 0.62 ± 0.02 and not 0.52 ± 0.02.
    far = {"sft": interval(0.52, 0.02), "ppo": interval(0.62, 0.02), "ppo-2": interval(0.65, 0.02)}
    (chart,) = judged.scores(verdict_of(scores=far))
    assert (
        "The interval of ppo-2 overlaps that of ppo: which is higher stays open." in chart.caption
    )
    (chart,) = judged.scores(verdict_of(scores={**far, "ppo": interval(0.6, 0.02)}))
    assert "overlap" not in chart.caption


def test_use_cases_that_are_lost_are_named():
    lost = {"open_qa": interval(0.4, 0.05), "rewrite": interval(0.7, 0.05)}
    (chart,) = judged.use_cases(verdict_of(by_use_case=lost))
    assert chart.caption == "ppo-2 over sft. It loses in open qa."
    assert chart.alt.startswith("rewrite 70\xa0% (65–75\xa0%); open qa")


def test_gains_count_those_that_rose_and_fell():
    scores = [(0.5, 0.25), (0.5, 0.25), (0.5, 0.5), (0.25, 0.5), (0.5, None)]
    pairs = [{"score_a": a, "score_b": b} for a, b in scores]
    (chart,) = judged.gains({"pairs": pairs}, verdict_of())
    assert chart.caption == (
        "Of 4 pairs ppo-2's answer scores higher in 50\xa0% (blue), lower in 25\xa0% (orange)."
    )


def test_an_interval_that_includes_chance_says_so():
    assert "could be chance" in judged.win_rates(verdict_of(win_rate=interval(0.54))).caption
