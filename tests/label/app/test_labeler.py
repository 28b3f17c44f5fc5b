"""What the labelers' pages answer, without a browser: to their script, and to plain forms."""

from datetime import UTC, datetime, timedelta

import pytest

from instructgpt.label.app.view import is_editable
from instructgpt.store.desk import Asked, Submission
from tests.label.app.served import SCRIPT

FORM = {"order": "a > b > c = d", "key": "k1", "seconds": "12.5"}


@pytest.fixture
def lena(site):
    return site.client("lena")


def begun(site, lena, **queue) -> int:
    """The number of an item that Lena has in hand."""
    site.with_queue(**queue)
    where = lena.post("/work/next").headers["location"]
    assert where.startswith("/item/")
    return int(where.removeprefix("/item/"))


def test_a_draft_is_kept_and_an_older_one_changes_nothing(site, lena):
    number = begun(site, lena)
    draft = {"order": "b > a", "ranks": {"B": 1, "A": 3}, "ratings": {}, "seconds": 3.0}
    url = f"/item/{number}/draft"
    answer = lena.post(url, json={"revision": 2, "draft": draft}, headers=SCRIPT).json()
    assert (answer["revision"], answer["saved"]) == (2, True)
    assert site.store.desk.item(number).draft == draft
    for revision in (1, 2):
        late = {"revision": revision, "draft": {"order": "c"}}
        answer = lena.post(url, json=late, headers=SCRIPT).json()
        assert answer == {"revision": 2, "saved": False, "draft": draft}
    assert 'value="b &gt; a"' in lena.get(f"/item/{number}").text


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ([], "revision: expected a whole number"),
        ({"revision": True, "draft": {}}, "revision: expected a whole number"),
        ({"revision": 2**40, "draft": {}}, "revision: expected a whole number"),
        ({"revision": 1, "draft": {"ranks": {"Z": 1}}}, "there is no answer Z; name A to D"),
    ],
)
def test_what_is_no_draft_is_refused_in_a_sentence(site, lena, sent, said):
    answer = lena.post(f"/item/{begun(site, lena)}/draft", json=sent, headers=SCRIPT)
    assert 400 <= answer.status_code < 500
    assert said in answer.json()["error"]


def test_a_script_is_told_what_is_missing_and_what_goes_against_the_ratings(site, lena):
    number = begun(site, lena, ratings=Asked.LIKERT)
    url, rated = f"/item/{number}", {f"likert.{letter}": "4" for letter in "ABC"}
    answer = lena.post(url, data=FORM | rated | {"order": "a"}, headers=SCRIPT)
    assert answer.status_code == 422
    assert [each["field"] for each in answer.json()["problems"]] == ["likert.D", "order"]
    rated |= {"likert.D": "7"}
    answer = lena.post(url, data=FORM | rated, headers=SCRIPT)
    assert answer.status_code == 409
    assert answer.json()["warning"].startswith("D is rated 7 but ranked below A, rated 4.")
    assert site.store.desk.item(number).state == "open"
    assert "submit again" in lena.post(url, data=FORM | rated).text  # as a page
    answer = lena.post(url, data=FORM | rated | {"sure": "1"}, headers=SCRIPT)
    assert answer.json()["next"].startswith("/item/")
    assert site.store.desk.item(number).submission.seconds == 12.5


def test_a_page_that_is_sent_twice_is_one_record_and_one_that_says_otherwise_is_told(site, lena):
    number = begun(site, lena)
    for _ in range(2):
        assert lena.post(f"/item/{number}", data=FORM).status_code == 303
    assert len(site.store.desk.versions(number)) == 1
    answer = lena.post(f"/item/{number}", data=FORM | {"order": "dcba"}, headers=SCRIPT)
    assert "was submitted already" in answer.json()["error"]
    assert len(site.store.desk.versions(number)) == 1
    answer = lena.post(f"/item/{number}", data=FORM | {"key": ""}, headers=SCRIPT)
    assert "no submission key" in answer.json()["error"]


def test_a_label_keeps_the_guidelines_that_stood_on_its_page(site, lena):
    number = begun(site, lena)
    assert 'name="guidelines" value="1"' in lena.get(f"/item/{number}").text
    site.store.desk.change_queue("first", by="rosa", guidelines="Be *just*.")
    lena.post(f"/item/{number}", data=FORM | {"guidelines": "1"})
    assert site.store.desk.item(number).submission.guidelines == 1
    assert "version 2" in lena.get("/guidelines/first").text
    assert "<em>kind</em>" in lena.get("/guidelines/first/1").text
    assert lena.get("/guidelines/first/3").status_code == 404


def test_who_chose_a_queue_stays_in_it_until_it_has_no_more(site, lena):
    site.with_queue("first", count=2).with_queue("second", count=2)
    where = lena.post("/work/next", data={"queue": "second"}).headers["location"]
    for queue in ("second", "first"):
        fields = {"queue": "second", "key": where}
        where = lena.post(where.partition("?")[0], data=FORM | fields).headers["location"]
        number = int(where.removeprefix("/item/").partition("?")[0])
        assert site.store.desk.item(number).queue == queue
        assert ("queue=second" in where) is (queue == "second")


def test_a_skip_needs_a_reason_of_the_list(site, lena):
    number = begun(site, lena)
    answer = lena.post(f"/item/{number}/skip", data={"reason": "bored"}, headers=SCRIPT)
    assert "choose one of: unclear" in answer.json()["error"]
    for _ in range(2):  # a second click is no second skip
        assert lena.post(f"/item/{number}/skip", data={"reason": "language"}).status_code == 303
    assert site.store.desk.item(number).state == "skipped"
    assert lena.get(f"/item/{number}").headers["location"] == "/work"
    answer = lena.post(f"/item/{number}", data=FORM, headers=SCRIPT)
    assert "was skipped" in answer.json()["error"]


def test_history_has_pages_and_no_texts_that_act(site, lena):
    site.with_queue(count=60)
    where = lena.post("/work/next").headers["location"]
    for _ in range(60):
        where = lena.post(where.partition("?")[0], data=FORM | {"key": where}).headers["location"]
    first = lena.get("/history").text
    assert first.count("/item/") == 2 * 50  # to see it, and to edit it
    before = first.partition("/history?before=")[2].partition('"')[0]
    assert lena.get(f"/history?before={before}").text.count("/item/") == 2 * 10
    assert lena.get("/history?before=²").status_code == 200


def test_preferences_are_what_the_form_says(site, lena):
    lena.post("/preferences", data={"hide_sensitive": "1"})
    found = site.store.accounts.find("lena").preferences
    assert (found["single_keys"], found["hide_sensitive"]) == (False, True)


@pytest.mark.parametrize(("hours", "open_"), [(23.9, True), (24.1, False)])
def test_for_24_hours_a_submission_is_open_to_edits(hours, open_):
    at = (datetime.now(UTC) - timedelta(hours=hours)).isoformat()
    fields = {
        "ranking": None,
        "ratings": (),
        "seconds": 1.0,
        "guidelines": None,
        "at": at,
        "key": "k",
    }
    assert is_editable(Submission(number=1, withdrawn=False, **fields)) is open_
    assert not is_editable(Submission(number=1, withdrawn=True, **fields))
    assert not is_editable(None)


def test_where_there_is_nothing_it_says_so(lena):
    assert lena.post("/work/next").headers["location"] == "/work?nothing=1"
    assert "nothing to do for you right now" in lena.get("/work?nothing=1").text
