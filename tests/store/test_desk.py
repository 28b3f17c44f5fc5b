"""The desk: what is in hand, begun, submitted, edited, taken back, skipped; by many at a time."""

import json
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from instructgpt.data.records import Candidates, Ranking, Rating
from instructgpt.errors import UserError
from instructgpt.store import tables
from instructgpt.store.accounts import Role
from instructgpt.store.desk import Asked
from tests.files import sentence
from tests.store.test_store import rows

ANSWERS = [
    Candidates.model_validate(
        {
            "prompt_id": f"p{n}",
            "prompt": f"Name thing {n}.",
            "responses": [{"text": f"{letter} {n}", "model": "m"} for letter in "wxyz"],
        }
    )
    for n in range(4)
]


def ranked(item, *ranks) -> Ranking:
    row = item.candidates.model_dump(exclude_none=True)
    return Ranking.model_validate({**row, "ranks": ranks, "shown_order": item.shown_order})


def rated(item, *likert) -> list[Rating]:
    of = {"prompt_id": item.candidates.prompt_id, "prompt": item.candidates.prompt}
    return [
        Rating.model_validate(
            {**of, "response": a.text, "model": a.model, "likert": n, "note": f"{n}!"}
        )
        for a, n in zip(item.candidates.responses, likert, strict=True)
    ]


def hand_in(store, item, key, ranks=(1, 2, 3, 3), likert=(7, 5, 2, 2), seconds=30.0):
    found = (ranked(item, *ranks), rated(item, *likert))
    return store.desk.submit(item.number, key, *found, seconds=seconds, guidelines=1)


@pytest.fixture
def queued(store):
    """A store with a queue of four prompts' answers, each to be labeled twice."""
    store.desk.make_queue("q", ANSWERS, overlap=2, guidelines="Be *kind*.", by="ann")
    return store


@pytest.fixture
def clock(monkeypatch):
    """Seconds since 1970, which a test moves."""
    now = [1_000_000.0]
    monkeypatch.setattr("instructgpt.store.labels.time.time", lambda: now[0])
    return now


def snapshot_of(store, tmp_path, name) -> tuple[list[tuple], list[int]]:
    """What training would read: ranks of the rankings, quality of the ratings."""
    store.snapshot(name, tmp_path / name)
    rankings, ratings = (
        [json.loads(line) for line in (tmp_path / name / f"{kind}.jsonl").read_text().splitlines()]
        for kind in ("rankings", "ratings")
    )
    return [tuple(one["ranks"]) for one in rankings], sorted(one["likert"] for one in ratings)


def test_a_queue_says_what_it_asks_and_the_audit_who_changed_it(queued):
    queued.desk.make_queue("later", ANSWERS[:1], overlap=1, ratings=Asked.NONE, by="ann")
    first, later = queued.desk.queues()
    assert (first.name, first.overlap, first.ratings, first.guidelines) == ("q", 2, "full", 1)
    assert (first.tasks, first.done, first.labels, first.paused) == (4, 0, 0, False)
    changed = queued.desk.change_queue("later", by="bob", priority=5, paused=True, overlap=3)
    assert queued.desk.queues()[0] == changed
    assert (changed.overlap, changed.priority, changed.paused) == (3, 5, True)
    queued.desk.change_queue("later", by="bob", priority=5, guidelines="Rate first.")
    queued.desk.change_queue("later", by="bob", guidelines="Rate first.")  # says nothing new
    assert queued.desk.guidelines("later") == (1, "Rate first.")
    assert queued.desk.guidelines("q", 1) == (1, "Be *kind*.")
    assert queued.desk.guidelines("q", 2) is None
    noted = [(row.who, row.what, row.detail) for row in queued.accounts.audit()][:2]
    assert noted == [
        ("bob", "write guidelines", {"queue": "later", "version": 1}),
        ("bob", "change queue", {"queue": "later", "overlap": 3, "priority": 5, "paused": True}),
    ]
    assert later.ratings == "none"


def test_items_come_by_priority_and_paused_queues_give_none(queued):
    queued.desk.make_queue("first", ANSWERS[2:3], overlap=1, priority=1, by="ann")
    item = queued.desk.next("lea")
    assert (item.queue, item.candidates) == ("first", ANSWERS[2])
    assert queued.desk.next("lea").number == item.number
    queued.desk.change_queue("first", by="ann", paused=True)
    assert queued.desk.next("lea").queue == "q"
    assert queued.desk.next("lea", "first") is None
    with pytest.raises(UserError, match="no queue none") as raised:
        queued.desk.next("lea", "none")
    sentence(raised)


def test_the_order_shown_is_drawn_once(queued):
    item = queued.desk.next("lea")
    assert sorted(item.shown_order) == [0, 1, 2, 3]
    assert queued.desk.item(item.number).shown_order == item.shown_order
    queued.desk.make_queue("many", [_many(n) for n in range(30)], overlap=1, by="ann")
    drawn = set()
    while found := queued.desk.next("max", "many"):
        drawn.add(found.shown_order)
        queued.desk.skip(found.number, "other")
    assert len(drawn) > 20  # of 5,040 orders


def _many(n: int) -> Candidates:
    texts = [{"text": f"{n} {letter}"} for letter in "abcdefg"]
    return Candidates.model_validate({"prompt": f"Many {n}?", "responses": texts})


def test_a_draft_is_kept_by_its_revision_and_renews_the_lease(queued, clock):
    item = queued.desk.next("lea")
    assert (item.draft, item.revision, item.leased_until) == (None, 0, clock[0] + 3600)
    clock[0] += 100
    assert queued.desk.save(item.number, {"order": "a"}, 2).revision == 2
    assert queued.desk.save(item.number, {"order": "old"}, 1).revision == 2
    assert queued.desk.save(item.number, {"order": "the same again"}, 2).revision == 2
    found = queued.desk.item(item.number)
    assert (found.draft, found.revision) == ({"order": "a"}, 2)
    assert found.leased_until == clock[0] + 3600
    assert queued.desk.save(item.number, {"order": "b"}, 7).revision == 7
    hand_in(queued, item, "page")
    assert queued.desk.item(item.number).draft is None
    with pytest.raises(UserError, match="no item 99") as raised:
        queued.desk.save(99, {}, 1)
    sentence(raised)


def test_who_goes_away_leaves_the_item_and_what_comes_late_is_kept(queued, clock):
    queued.desk.make_queue("one", ANSWERS[:1], overlap=1, by="ann")
    mine = queued.desk.next("lea", "one")
    assert queued.desk.next("max", "one") is None
    clock[0] += 3601
    theirs = queued.desk.next("max", "one")
    assert theirs.candidates == mine.candidates
    assert queued.desk.next("lea", "one") is None
    hand_in(queued, theirs, "b")
    hand_in(queued, mine, "a")
    (task,) = queued.desk.items("one")
    assert (task.labels, task.overlap) == (2, 1)
    states = [(holder.labeler, holder.state) for holder in task.holders]
    assert states == [("lea", "done"), ("max", "done")]


def test_what_is_skipped_goes_to_others_and_does_not_come_back(queued):
    item = queued.desk.next("lea")
    queued.desk.skip(item.number, "harmful", "it is")
    assert queued.desk.item(item.number).state == "skipped"
    seen = []
    while found := queued.desk.next("lea"):
        seen.append(found.candidates.prompt_id)
        hand_in(queued, found, "k")
    assert seen == ["p1", "p2", "p3"]
    assert queued.desk.next("max").candidates.prompt_id == "p0"
    (row,) = rows(queued, tables.skips)
    assert (row["reason"], row["note"], row["assignment"]) == ("harmful", "it is", item.number)
    with pytest.raises(UserError, match="submitted; take that back") as raised:
        queued.desk.skip(found_of(queued, "lea", "p1").number, "other")
    sentence(raised)


def found_of(store, labeler, prompt_id):
    items = store.desk.history(labeler)
    return next(one for one in items if one.candidates.prompt_id == prompt_id)


def test_a_page_that_is_sent_twice_is_one_submission(queued):
    item = queued.desk.next("lea")
    first = hand_in(queued, item, "page")
    assert hand_in(queued, item, "page", ranks=(4, 3, 2, 1)) == first
    assert first.ranking.ranks == (1, 2, 3, 3)
    assert [one.likert for one in first.ratings] == [7, 5, 2, 2]
    assert {one.labeler_id for one in (first.ranking, *first.ratings)} == {"lea"}
    assert (first.seconds, first.guidelines, first.withdrawn) == (30.0, 1, False)
    assert len(rows(queued, tables.submissions)) == len(rows(queued, tables.rankings)) == 1
    assert queued.desk.versions(item.number) == [first]
    assert queued.desk.queues()[0].labels == 1


def test_an_edit_keeps_what_it_replaces(queued, tmp_path):
    item = queued.desk.next("lea")
    first = hand_in(queued, item, "one")
    second = hand_in(queued, item, "two", ranks=(2, 1, 3, 3), likert=(7, 6, 2, 2), seconds=50.0)
    again = hand_in(queued, item, "three", ranks=(2, 1, 3, 3), likert=(7, 6, 2, 2))
    assert again == second  # it says nothing new
    assert queued.desk.versions(item.number) == [second, first]
    assert queued.desk.item(item.number).submission == second
    assert len(rows(queued, tables.rankings)) == 2
    assert len(rows(queued, tables.ratings)) == 5  # one of four was changed
    assert snapshot_of(queued, tmp_path, "s") == ([(2, 1, 3, 3)], [2, 2, 6, 7])
    back = hand_in(queued, item, "four")  # as it was at first
    assert back.number > second.number
    assert snapshot_of(queued, tmp_path, "t") == ([(1, 2, 3, 3)], [2, 2, 5, 7])
    assert queued.desk.queues()[0].labels == 1


def test_what_is_taken_back_counts_no_more_and_can_be_said_again(queued, tmp_path):
    item = queued.desk.next("lea")
    hand_in(queued, item, "zero", likert=(6, 5, 2, 2))
    first = hand_in(queued, item, "one")
    queued.desk.withdraw(item.number, by="lea")
    found = queued.desk.item(item.number)
    assert (found.state, found.submission.withdrawn) == ("open", True)
    assert found.submission.number == first.number
    assert queued.desk.next("lea").number == item.number
    assert queued.desk.queues()[0].labels == 0
    assert queued.rankings("q") == []
    assert snapshot_of(queued, tmp_path, "s") == ([], [])
    with pytest.raises(UserError, match="nothing is submitted") as raised:
        queued.desk.withdraw(item.number, by="lea")
    sentence(raised)
    hand_in(queued, item, "two")  # the same as before
    assert queued.desk.queues()[0].labels == 1
    assert snapshot_of(queued, tmp_path, "t") == ([(1, 2, 3, 3)], [2, 2, 5, 7])
    assert [one.withdrawn for one in queued.desk.versions(item.number)] == [False, True, True]


def test_the_same_words_in_two_queues_stay_where_one_of_them_is_taken_back(queued, tmp_path):
    queued.desk.make_queue("r", ANSWERS[:1], overlap=1, by="ann")
    items = [queued.desk.next("lea", name) for name in ("q", "r")]
    for item in items:
        ranking = ranked(item, 1, 2, 3, 3).model_copy(update={"shown_order": None})
        told = {"seconds": 1.0, "guidelines": None}
        queued.desk.submit(item.number, "k", ranking, rated(item, 7, 5, 2, 2), **told)
    assert len(rows(queued, tables.rankings)) == 1
    queued.desk.withdraw(items[0].number, by="lea")
    assert snapshot_of(queued, tmp_path, "s") == ([(1, 2, 3, 3)], [2, 2, 5, 7])


def test_after_a_day_a_submission_stays(queued, monkeypatch):
    item = queued.desk.next("lea")
    hand_in(queued, item, "one")

    class Later(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(hours=24, minutes=1)

    monkeypatch.setattr("instructgpt.store.submitting.datetime", Later)
    assert hand_in(queued, item, "one").ranking.ranks == (1, 2, 3, 3)  # the page sent twice
    for wrong in (
        lambda: hand_in(queued, item, "two", ranks=(4, 3, 2, 1)),
        lambda: queued.desk.withdraw(item.number, by="lea"),
    ):
        with pytest.raises(UserError, match="24 hours") as raised:
            wrong()
        sentence(raised)


def test_what_is_not_of_the_item_is_refused_whole(queued):
    item, other = queued.desk.next("lea"), queued.desk.next("max", "q")
    assert other.candidates == item.candidates
    elsewhere = rated(item, 7, 5, 2, 2)[0].model_copy(update={"response": "another"})
    by_max = rated(item, 7, 5, 2, 2)[0].model_copy(update={"labeler_id": "max"})
    for rating in (elsewhere, by_max):
        with pytest.raises(UserError):
            queued.desk.submit(
                item.number, "k", ranked(item, 1, 2, 3, 4), [rating], seconds=1, guidelines=None
            )
    assert rows(queued, tables.rankings) == rows(queued, tables.ratings) == []


def test_sensitive_prompts_are_marked_and_not_given_to_who_hides_them(store):
    upsetting = Candidates.model_validate(
        {**ANSWERS[0].model_dump(), "prompt_id": "s", "sensitive_content": True}
    )
    store.desk.make_queue("q", [upsetting, *ANSWERS[:2]], overlap=3, by="ann")
    for name in ("lea", "max"):
        store.accounts.add(name, Role.LABELER, by="ann")
    store.accounts.prefer("lea", hide_sensitive=True)
    assert store.desk.next("max").sensitive
    item = store.desk.next("lea")
    assert (item.candidates.prompt_id, item.sensitive) == ("p0", False)
    store.accounts.prefer("max", hide_sensitive=True)
    assert store.desk.next("max").candidates.prompt_id == "p0"  # what was in hand waits


def test_the_place_among_ones_own_and_the_days(queued):
    hand_in(queued, queued.desk.next("lea"), "a", seconds=10.0)
    item = queued.desk.next("lea")
    assert (item.place, item.total) == (2, 4)
    queued.desk.skip(item.number, "other")
    item = queued.desk.next("lea")
    assert (item.place, item.total) == (2, 3)
    hand_in(queued, item, "b", seconds=20.0)
    hand_in(queued, item, "c", ranks=(4, 3, 2, 1), seconds=25.0)
    today = datetime.now(UTC).date().isoformat()
    assert queued.desk.time("lea") == [(today, 2, 35.0)]
    assert queued.desk.time("max") == []
    history = queued.desk.history("lea")
    assert [(one.candidates.prompt_id, one.state) for one in history] == [
        ("p2", "done"),
        ("p1", "skipped"),
        ("p0", "done"),
    ]
    assert queued.desk.history("lea", 1, history[0].number) == history[1:2]


def test_a_researcher_sees_who_has_what_and_every_version(queued):
    item = queued.desk.next("lea")
    hand_in(queued, item, "a")
    hand_in(queued, item, "b", ranks=(4, 3, 2, 1))
    queued.desk.next("max")
    tasks = queued.desk.items("q", limit=2)
    assert [(task.prompt_id, task.labels) for task in tasks] == [("p0", 1), ("p1", 0)]
    assert [(one.labeler, one.state) for one in tasks[0].holders] == [
        ("lea", "done"),
        ("max", "open"),
    ]
    assert queued.desk.items("q", offset=3) == queued.desk.items("q")[3:]
    task, answers, items = queued.desk.task(tasks[0].number)
    assert (task, answers) == (tasks[0], item.candidates)
    assert [one.labeler for one in items] == ["lea", "max"]
    assert [one.ranking.ranks for one in queued.desk.versions(items[0].number)] == [
        (4, 3, 2, 1),
        (1, 2, 3, 3),
    ]
    assert queued.desk.task(10**9) is None
    untouched, answers, items = queued.desk.task(queued.desk.items("q")[2].number)
    assert (answers.prompt_id, len(answers.responses), items) == (untouched.prompt_id, 4, [])
    with pytest.raises(UserError, match="no queue none"):
        queued.desk.items("none")


def test_a_prompt_of_turns_has_them_in_a_queue(store):
    turns = ({"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"})
    talk = Candidates.model_validate({"prompt": turns, "responses": [{"text": "a"}, {"text": "b"}]})
    store.desk.make_queue("talk", [talk], overlap=1, by="ann")
    assert store.desk.items("talk")[0].prompt == talk.prompt


def test_twenty_at_a_time_claim_nothing_twice_and_send_one_page_once(queued):
    begin, failed = threading.Barrier(20), []

    def work(name: str) -> None:
        try:
            begin.wait()
            while item := queued.desk.next(name):
                hand_in(queued, item, f"page of {name}")
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(f"l{n % 10}",)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    with queued.database.reading() as connection:
        joined = tables.submissions.join(tables.assignments)
        query = select(tables.assignments.c.task, tables.assignments.c.labeler_id)
        found = connection.execute(query.select_from(joined)).all()
    assert len(set(found)) == len(found) == 8
    assert set(Counter(task for task, _ in found).values()) == {2}
    (queue,) = queued.desk.queues()
    assert (queue.done, queue.labels) == (4, 8)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "a/b"}, "no name of a queue"),
        ({"batch": []}, "would hold nothing"),
        ({"overlap": 0}, "overlap 0"),
    ],
)
def test_a_queue_that_cannot_be(change, said, store):
    given = {"name": "q", "batch": ANSWERS, "overlap": 1} | change
    with pytest.raises(UserError, match=said) as raised:
        store.desk.make_queue(given.pop("name"), given.pop("batch"), by="ann", **given)
    sentence(raised)
    assert store.desk.queues() == []
