"""Simulated labelers: deterministic, as noisy as calibrated, and not all of one mind."""

import json
from itertools import combinations

import pytest

from instructgpt.cli import main
from instructgpt.data.formats import read_records, write_records
from instructgpt.data.records import Candidates, Ranking
from instructgpt.errors import UserError
from instructgpt.evaluation.compare import compare
from instructgpt.label.rankings import agreement_of, tied_share
from instructgpt.label.simulated.labelers import (
    SimulatedJudge,
    held_out_labelers,
    simulate,
    training_labelers,
)
from instructgpt.label.simulated.rubric import quality
from instructgpt.rollout.episode import Completion
from instructgpt.store import Store, tables
from tests.files import sentence
from tests.label.invented import PROMPTS, candidates
from tests.store.test_store import rows


def rankings(labelers=None, per_prompt: int = 3, seed: int = 0, queued=None) -> list[Ranking]:
    return simulate(
        queued or candidates(),
        labelers=labelers or training_labelers(),
        per_prompt=per_prompt,
        seed=seed,
    )


def agreement(labelers) -> float:
    interval = agreement_of(rankings(labelers, per_prompt=len(labelers)))
    assert interval
    return interval.estimate


def test_rankings_are_records_of_the_labelers_that_were_drawn():
    made = rankings()
    names = {labeler.name for labeler in training_labelers()}
    assert names == {f"simulated-train-{i}" for i in range(1, 7)}
    assert {ranking.labeler_id for ranking in made} == names
    for queued, group in zip(candidates(), zip(*[iter(made)] * 3, strict=True), strict=True):
        assert len({ranking.labeler_id for ranking in group}) == 3
        assert all(ranking.prompt_id == queued.prompt_id for ranking in group)
        assert all(ranking.responses == queued.responses for ranking in group)
    assert len({ranking.shown_order for ranking in made}) > 10


def test_the_same_seed_gives_the_same_rankings_and_another_one_others():
    assert rankings() == rankings()
    assert rankings(seed=1) != rankings()


def test_a_ranking_does_not_depend_on_the_other_prompts():
    assert rankings(queued=candidates()[5:9]) == rankings()[15:27]


def test_the_order_of_the_answers_changes_no_rank():
    for queued in candidates():
        turned = queued.model_copy(update={"responses": queued.responses[::-1]})
        for one, other in zip(rankings(queued=[queued]), rankings(queued=[turned]), strict=True):
            assert one.ranks == other.ranks[::-1]


def test_a_text_that_comes_twice_ties():
    queued = candidates()[0]
    twice = queued.model_copy(update={"responses": (queued.responses[0],) * 2})
    assert all(ranking.ranks == (1, 1) for ranking in rankings(queued=[twice]))


def test_some_pairs_tie():
    assert 0.05 < tied_share(rankings()) < 0.4


def test_without_noise_and_taste_labelers_agree():
    assert agreement(training_labelers(noise=0, taste=0)) == 1
    assert agreement(training_labelers(noise=0)) > 0.9


def test_agreement_falls_with_noise():
    steps = [agreement(training_labelers(noise=noise)) for noise in (0, 0.13, 0.5, 5)]
    assert steps == sorted(steps, reverse=True)
    assert steps[-1] < 0.6


def test_agreement_is_near_that_of_the_papers_labelers():
    assert 0.65 < agreement(training_labelers()) < 0.80  # 72.6 %, section 3.4


def test_held_out_labelers_are_other_labelers():
    ours, others = training_labelers(), held_out_labelers()
    assert not {labeler.name for labeler in ours} & {labeler.name for labeler in others}
    assert not {str(labeler.weights) for labeler in ours} & {str(o.weights) for o in others}
    noise_free = [rankings(g(noise=0), 6) for g in (training_labelers, held_out_labelers)]
    assert [r.ranks for r in noise_free[0]] != [r.ranks for r in noise_free[1]]


def test_labelers_are_the_same_in_a_smaller_group():
    assert training_labelers(3) == training_labelers(6)[:3]


@pytest.mark.parametrize("per_prompt", [0, 7])
def test_per_prompt_is_checked(per_prompt: int):
    with pytest.raises(ValueError, match="per_prompt must be 1 to 6"):
        rankings(per_prompt=per_prompt)


def test_a_single_answer_cannot_be_ranked():
    queued = candidates()[0]
    single = queued.model_copy(update={"responses": queued.responses[:1]})
    with pytest.raises(UserError, match="one answer") as raised:
        rankings(queued=[single])
    sentence(raised)


def test_the_judge_scores_by_the_rubric_and_compares():
    judge = SimulatedJudge(PROMPTS.values())
    prompts = [queued.prompt for queued in candidates()]
    texts = [[queued.responses[i].text for queued in candidates()] for i in (0, 1)]
    scores = judge.score(prompts, texts[0], finished=[True] * len(prompts))
    assert scores[0] == quality(PROMPTS["p0026"], texts[0][0]).total
    a, b = ([Completion(text, (1,), (0.0,), True) for text in group] for group in texts)
    assert compare(prompts, a, b, judge).win_rate.low > 0.5


def test_preferences_add_up_and_favor_the_better_answer():
    judge = SimulatedJudge(PROMPTS.values())
    prompts = [queued.prompt for queued in candidates()]
    good, bad = ([queued.responses[i].text for queued in candidates()] for i in (0, 3))
    ended = [True] * len(prompts)
    wins = judge.prefer(prompts, good, bad, finished_a=ended, finished_b=ended)
    losses = judge.prefer(prompts, bad, good, finished_a=ended, finished_b=ended)
    assert [win + loss for win, loss in zip(wins, losses, strict=True)] == pytest.approx(
        [1.0] * len(prompts)
    )
    assert sum(wins) / len(wins) > 0.6
    same = judge.prefer(prompts, good, good, finished_a=ended, finished_b=ended)
    assert same == [0.5] * len(prompts)


def test_the_judge_refuses_a_prompt_that_it_was_not_given():
    with pytest.raises(UserError, match="does not know the prompt") as raised:
        SimulatedJudge([]).score(["Hello?"], ["Hi."], finished=[True])
    sentence(raised)


def test_the_command(tmp_path, capsys):
    queue, out = tmp_path / "candidates.jsonl", tmp_path / "labels"
    write_records(queue, candidates())
    command = ["label", "simulate", str(queue), "--out", str(out), "--group", "heldout"]
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert not ended.value.code
    said = " ".join(capsys.readouterr().err.split())
    made = read_records(out / "rankings.jsonl", Ranking).records
    assert list(made) == rankings(held_out_labelers())
    assert f"{len(made)} rankings of {len(candidates())} prompts by 6 simulated heldout" in said
    assert f"agreement {agreement_of(made)}" in said
    assert f"{tied_share(made):.1%} of the pairs tied" in said
    assert json.loads((out / "run.json").read_text())["status"] == "done"
    evaluation = json.loads((out / "evaluation.json").read_text())
    assert set(evaluation["trivial_predictors"]) > {"words", "ended", "warm_words"}
    assert evaluation["outside_the_rubric"]["human_claims"] < 0.1
    with pytest.raises(SystemExit):
        main(command)
    assert "already finished" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--labelers", "2"], "2 labelers cannot rank a prompt 3 times (per_prompt)"),
        (["--noise", "-1"], "noise"),
    ],
)
def test_a_users_mistake_ends_in_one_sentence(flags: list[str], words: str, tmp_path, capsys):
    write_records(tmp_path / "c.jsonl", candidates())
    with pytest.raises(SystemExit) as ended:
        main(["label", "simulate", str(tmp_path / "c.jsonl"), "--out", str(tmp_path / "o"), *flags])
    assert ended.value.code == 2
    assert words in " ".join(capsys.readouterr().err.split())


def test_one_labeler_a_prompt_has_no_agreement(tmp_path, capsys):
    write_records(tmp_path / "c.jsonl", candidates())
    flags = ["--out", str(tmp_path / "o"), "--per_prompt", "1"]
    with pytest.raises(SystemExit) as ended:
        main(["label", "simulate", str(tmp_path / "c.jsonl"), *flags])
    assert not ended.value.code
    assert "agreement unknown" in " ".join(capsys.readouterr().err.split())


def test_candidates_without_checks_or_ends_are_ranked():
    bare = Candidates.model_validate(
        {
            "prompt": "Why is the sea salty?",
            "responses": [
                {"text": "Rivers carry salt from the rocks to the sea, and it stays there."},
                {"text": "salt salt salt salt salt salt"},
            ],
        }
    )
    made = rankings(training_labelers(noise=0), queued=[bare])
    assert all(ranking.ranks == (1, 2) for ranking in made)


def test_pairs_that_are_far_apart_are_seldom_confused():
    clear = wrong = 0
    for ranking in rankings(per_prompt=6):
        prompt = PROMPTS[ranking.prompt_id]
        totals = [quality(prompt, r.text, r.finished).total for r in ranking.responses]
        for (x, rank_x), (y, rank_y) in combinations(zip(totals, ranking.ranks, strict=True), 2):
            if abs(x - y) > 0.25:  # the noise of a difference is 0.13 · √2 = 0.18
                clear += 1
                wrong += (rank_x - rank_y) * (x - y) > 0
    assert clear > 100
    assert wrong / clear < 0.05


def test_through_a_store_the_rankings_are_the_same_to_the_byte(tmp_path):
    data = tmp_path / "candidates.jsonl"
    write_records(data, candidates()[:4])
    db = f"sqlite:///{tmp_path}/store.db"
    for out, more in (("files", []), ("store", ["--db", db]), ("again", ["--db", db])):
        with pytest.raises(SystemExit) as ended:
            main(["label", "simulate", str(data), "--out", str(tmp_path / out), *more])
        assert not ended.value.code
    ours, theirs, again = (
        (tmp_path / out / "rankings.jsonl").read_bytes() for out in ("files", "store", "again")
    )
    assert ours == theirs == again
    with Store.open(db) as store:
        (queue,) = rows(store, tables.queues)
        assert store.progress(queue["name"]) == (4, 4, 3)
        assert len(rows(store, tables.rankings)) == 12
