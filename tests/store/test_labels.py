"""The door for labels: leases, overlap, and twenty labelers at a time."""

import threading
from collections import Counter

import pytest

from instructgpt.data.records import Candidates, Ranking
from instructgpt.errors import UserError
from instructgpt.store import labels, tables
from tests.files import sentence
from tests.store.test_store import rows

ANSWERS = [
    Candidates.model_validate(
        {
            "prompt_id": f"p{number}",
            "prompt": f"Name thing {number}.",
            "responses": [
                {"text": "one", "model": "runs/sft", "sampling": {"temperature": 1.0}, "own": [1]},
                {"text": f"ä {number}"},
            ],
            "split": "train",
            "team": {"b": None, "a": 1},
        }
    )
    for number in range(4)
]


def ranked(claimed: labels.Assignment, *ranks: int) -> Ranking:
    return Ranking.model_validate({**claimed.candidates.model_dump(), "ranks": ranks or (1, 2)})


def test_answers_come_as_they_were_queued_and_a_ranking_goes_as_it_was_made(store):
    store.queue(ANSWERS, overlap=1)
    store.queue(ANSWERS, overlap=1)
    claimed = store.claim("ann")
    assert claimed.candidates == ANSWERS[0]
    assert claimed.candidates.model_dump_json() == ANSWERS[0].model_dump_json()
    assert store.progress("answers") == (0, 4, 1)
    store.submit(claimed, ranked(claimed, 2, 1))
    ((_, kept),) = store.rankings("answers")
    assert kept == ranked(claimed, 2, 1).model_copy(update={"labeler_id": "ann"})
    assert store.progress("answers") == (1, 4, 1)
    assert [row["at"][-1] for row in rows(store, tables.rankings)] == ["Z"]


def test_a_lease_that_ran_out_is_anothers(store, monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr("instructgpt.store.labels.time.time", lambda: clock[0])
    store.queue(ANSWERS[:1], overlap=1)
    first = store.claim("ann", lease=60)
    assert store.claim("bob") is None
    assert store.claim("ann", lease=60).number == first.number  # her own, until 1060
    clock[0] = 1061.0
    second = store.claim("bob", lease=60)
    assert second.candidates == first.candidates
    assert store.claim("ann") is None
    store.submit(second, ranked(second))
    assert store.progress("answers") == (1, 1, 1)
    store.submit(first, ranked(first, 2, 1))  # late: kept, as one more than was asked for
    assert [one.labeler_id for _, one in store.rankings("answers")] == ["ann", "bob"]
    assert store.progress("answers") == (1, 1, 1)
    assert store.claim("eve") is None


def test_an_edit_is_a_new_row_that_names_the_old(store):
    store.queue(ANSWERS[:1], overlap=2)
    claimed = store.claim("ann")
    keys = [store.submit(claimed, ranked(claimed, *r)) for r in [(1, 2), (2, 1), (2, 1), (1, 2)]]
    assert keys[1] == keys[2]
    found = {row["key"]: row["replaces"] for row in rows(store, tables.rankings)}
    assert found == {keys[0]: None, keys[1]: keys[0], keys[3]: keys[1]}
    assert [ranking.ranks for _, ranking in store.rankings("answers")] == [(1, 2)]
    assert store.progress("answers") == (0, 1, 2)


def test_what_was_not_claimed_is_not_taken(store):
    store.queue(ANSWERS, overlap=1)
    claimed = store.claim("ann")
    for record, said in (
        (ranked(claimed).model_copy(update={"labeler_id": "bob"}), "claimed by ann"),
        (ranked(claimed).model_copy(update={"prompt_id": "other"}), "not of the answers"),
        (ranked(claimed).model_copy(update={"responses": ANSWERS[1].responses}), "not of the"),
    ):
        with pytest.raises(UserError, match=said) as raised:
            store.submit(claimed, record)
        sentence(raised)
    for wrong, said in (
        (lambda: store.submit(77, ranked(claimed)), "no assignment 77"),
        (lambda: store.claim("ann", queue="none"), "no queue none"),
        (lambda: store.claim(" "), "has no name"),
        (lambda: store.queue(ANSWERS, overlap=2), "gives answers 1 labels, not 2"),
        (lambda: store.queue(ANSWERS, overlap=0, name="x"), "overlap 0"),
    ):
        with pytest.raises(UserError, match=said) as raised:
            wrong()
        sentence(raised)
    assert rows(store, tables.rankings) == []


def test_twenty_labelers_at_a_time_label_nothing_twice(store):
    """Ten names, each in two threads: a name never labels the same twice, answers never get more
    labels than the overlap, and none is left out.
    """
    store.queue(ANSWERS, overlap=3)
    begin, failed = threading.Barrier(20), []

    def work(name: str) -> None:
        try:
            begin.wait()
            while claimed := store.claim(name):
                store.submit(claimed, ranked(claimed))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(f"l{n % 10}",)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    found = [(ranking.prompt_id, ranking.labeler_id) for _, ranking in store.rankings("answers")]
    assert len(set(found)) == len(found) == len(rows(store, tables.rankings)) == 12
    assert Counter(prompt for prompt, _ in found) == {f"p{n}": 3 for n in range(4)}
    assert store.progress("answers") == (4, 4, 3)
