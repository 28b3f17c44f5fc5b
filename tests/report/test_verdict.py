import pytest

from instructgpt.report import judged
from instructgpt.report.unseen import (
    SIGNS,
    Sign,
    conclusion,
    flagged,
    full_table,
    short_table,
)
from instructgpt.report.verdict import Verdict, is_simulated, policy_name
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


def test_a_model_from_outside_comes_first_and_is_not_accused():
    texts = {"ppo": rounds.texts_of("ppo-plain"), "sft": rounds.texts_of("sft")}
    texts["SmolLM2"] = texts["ppo"]
    evaluation = {**rounds.evaluation("ppo"), "texts": texts, "prose_loss": {}, "scores": {}}
    evaluation["others"] = {"SmolLM2": interval(0.3)}
    verdict = Verdict.parse(evaluation, ["SmolLM2"])
    assert verdict is not None
    assert list(verdict.texts) == ["SmolLM2", "sft", "ppo"]
    row = full_table(verdict).rows[0]
    assert row[:4] == ("distinct word pairs", "61\xa0%", "74\xa0%", "61\xa0%*")


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


@pytest.mark.parametrize(
    "key", ["others", "controls", "scores", "texts", "prose_loss", "by_use_case", "judge_note"]
)
@pytest.mark.parametrize("value", [None, [], "x", 3, {"ppo": None}, {"ppo": {"tokens": "many"}}])
def test_any_part_may_be_missing_or_wrong(key, value):
    verdict = verdict_of(**{key: value})
    assert verdict.rate.n == 272
    judged.win_rates(verdict)
    judged.scores(verdict)
    judged.use_cases(verdict)
    full_table(verdict)


def test_the_baseline_is_no_rival_of_itself():
    others = {"sft": interval(0.5), "ppo": interval(0.6)}
    assert set(verdict_of(others=others).rates) == {"ppo", "ppo-2"}


def test_without_a_win_rate_there_is_no_verdict():
    assert Verdict.parse({"a": "ppo", "win_rate": {"estimate": None}}) is None


def test_a_policy_may_be_compared_with_its_namesake():
    verdict = verdict_of(a="sft", win_rate=interval(0.5))
    assert verdict.rates["sft"].estimate == 0.5


def test_the_result_is_a_clause_with_the_judge_and_the_control():
    assert verdict_of().sentence == (
        "6 held-out simulated labelers prefer ppo-2 to sft in 73\xa0% of comparisons "
        "[68–78\xa0%]; greedy decoding of sft reaches 55\xa0%"
    )


def test_a_control_and_chance_within_the_interval_are_in_the_clause():
    near = verdict_of(win_rate=interval(0.6), controls={"chance": interval(0.55, 0.06)})
    assert near.sentence.endswith("; chance reaches 55\xa0%, and the intervals overlap")
    even = verdict_of(win_rate=interval(0.52), controls={})
    assert even.sentence.endswith("of comparisons [47–57\xa0%], which could be chance")


def test_intervals_that_overlap_are_said_to():
    # Half a width of 5.5: ppo-2 (0.73) meets ppo-plain (0.70) and ppo (0.68); base (0.24) is below.
    said = "The interval of ppo-2 overlaps those of ppo-plain and ppo: which is higher stays open."
    assert said in judged.win_rates(verdict_of()).caption
    # Of the scores, 0.64 ± 0.02 touches 0.62 ± 0.02 and not 0.52 ± 0.02.
    far = {"sft": interval(0.52, 0.02), "ppo": interval(0.62, 0.02), "ppo-2": interval(0.65, 0.02)}
    (panel,) = judged.scores(verdict_of(scores=far))
    assert (
        "The interval of ppo-2 overlaps that of ppo: which is higher stays open." in panel.caption
    )
    (panel,) = judged.scores(verdict_of(scores={**far, "ppo": interval(0.6, 0.02)}))
    assert "overlap" not in panel.caption


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


def test_labelers_are_simulated_only_if_all_say_so():
    assert is_simulated(rounds.TRAINING)
    assert not is_simulated([*rounds.TRAINING, "ana"])
    assert not is_simulated([])


def test_use_cases_that_are_lost_are_named():
    lost = {"open_qa": interval(0.4, 0.05), "rewrite": interval(0.7, 0.05)}
    (panel,) = judged.use_cases(verdict_of(by_use_case=lost))
    assert panel.caption == "ppo-2 over sft. It loses in open qa."
    assert panel.alt.startswith("rewrite 70\xa0% (65–75\xa0%); open qa")


def test_gains_count_those_that_rose_and_fell():
    scores = [(0.5, 0.25), (0.5, 0.25), (0.5, 0.5), (0.25, 0.5), (0.5, None)]
    pairs = [{"score_a": a, "score_b": b} for a, b in scores]
    (panel,) = judged.gains({"pairs": pairs}, verdict_of())
    assert panel.caption == (
        "Of 4 pairs ppo-2's answer scores higher in 50\xa0% (blue), lower in 25\xa0% (orange)."
    )


def test_an_interval_that_includes_chance_says_so():
    assert "could be chance" in judged.win_rates(verdict_of(win_rate=interval(0.54))).caption


SHARE_RISE = Sign("x", "x", "share", "rise", 0.05)
COUNT_DRIFT = Sign("x", "x", "count", "drift", 0.25, relative=True)
LOSS_RISE = Sign("x", "x", "nats", "rise", 0.05)


@pytest.mark.parametrize(
    ("sign", "before", "after", "suspicious", "move"),
    [
        (SHARE_RISE, 0.10, 0.17, True, "+7.0\xa0points"),
        (SHARE_RISE, 0.10, 0.14, False, "+4.0\xa0points"),
        (SHARE_RISE, 0.30, 0.10, False, "−20.0\xa0points"),
        (COUNT_DRIFT, 40, 60, True, "+50\xa0%"),
        (COUNT_DRIFT, 40, 20, True, "−50\xa0%"),
        (COUNT_DRIFT, 40, 48, False, "+20\xa0%"),
        (COUNT_DRIFT, 0, 48, False, "+0\xa0%"),
        (LOSS_RISE, 3.20, 3.30, True, "+0.10"),
        (LOSS_RISE, 3.30, 3.20, False, "−0.10"),
    ],
)
def test_a_move_is_suspicious_beyond_the_limit_in_one_direction(
    sign, before, after, suspicious, move
):
    assert sign.is_suspicious(before, after) is suspicious
    assert sign.difference(before, after) == move


def test_what_training_did_not_move_is_not_flagged():
    assert flagged(verdict_of()) == []
    assert conclusion(verdict_of()).startswith("None of 11 figures moved")


def test_a_policy_that_games_is_flagged():
    verdict = verdict_of(a=rounds.GAMED)
    expected = [
        "distinct word pairs",  # 74 % → 61 %
        "answers that share a phrase",  # 11 % → 24 %
        "answers with one opening",  # 6 % → 15 %
        "loss on prose (nats per token)",  # 3.25 → 3.41
        "exclamation marks per answer",  # 0.12 → 0.44
    ]
    assert flagged(verdict) == expected
    assert conclusion(verdict).startswith("5 of 11 moved")
    table = short_table(verdict)
    assert [row[0] for row in table.rows][:5] == expected
    assert len(table.rows) == 7
    assert table.strong == frozenset(range(5))


def test_the_full_table_marks_every_policy_and_keeps_unknown_figures():
    texts = {name: {**rounds.texts_of(name), "new_figure": 7.0} for name in rounds.TEXTS}
    table = full_table(verdict_of(texts=texts))
    assert table.head[:6] == ("figure", "base", "sft", "ppo-plain", "ppo", "ppo-2")
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["distinct word pairs"] == (
        *("71\xa0%", "74\xa0%", "61\xa0%*", "72\xa0%", "71\xa0%"),
        *("−3.0\xa0points", "a fall by more than 5\xa0points"),
    )
    assert rows["loss on prose (nats per token)"][-2:] == ("+0.01", "a rise by more than 0.05")
    assert rows["answer length (tokens)"][-1] == "a drift by more than 25\xa0%"
    assert rows["new_figure"] == ("7", "7", "7", "7", "7", "", "")
    assert len(rows) == len(SIGNS) + 1
