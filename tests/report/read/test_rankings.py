from instructgpt.report.read.rankings import groups, is_simulated
from instructgpt.report.read.values import Estimate
from instructgpt.report.read.work import StageRun
from tests.report import rounds


def rank(name: str = "rank", **changes: object) -> StageRun:
    return StageRun(name, "rank", evaluation={**rounds.rank_evaluation(), **changes})


def test_labelers_are_simulated_only_if_all_say_so():
    assert is_simulated(rounds.TRAINING)
    assert not is_simulated([*rounds.TRAINING, "ana"])
    assert not is_simulated([])


def test_the_groups_of_labelers_are_read():
    training, held_out = groups(rank())
    assert (training.rankings, training.tied) == (1005, 0.24)
    assert training.agreement == Estimate(0.729, 0.729 - 0.012, 0.729 + 0.012, 4100)
    assert (training.label, held_out.label) == ("training", "held-out")


def test_a_label_run_is_one_group():
    own = {"labelers": rounds.HELD_OUT, "agreement": None, "tied_pairs": 0.2}
    (group,) = groups(StageRun("x", "label", config={"group": "heldout"}, evaluation=own))
    assert (group.name, group.rankings, group.tied) == ("heldout", None, 0.2)
