import pytest

from instructgpt.report.read.verdict import Verdict
from instructgpt.report.tell.unseen import SIGNS, Sign, conclusion, flagged, full_table, short_table
from tests.report import rounds
from tests.report.fake import interval
from tests.report.read.test_verdict import verdict_of

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
