"""Work is never lost and never doubled, whatever network, server, session and fingers do."""

import signal

import pytest
from playwright.sync_api import Browser, Page, expect

from instructgpt.label.app.work import read_draft
from instructgpt.store.accounts import Role
from instructgpt.store.desk import Asked
from tests.label.app.browser.site import PASSWORD, Site, by_place, colors
from tests.label.app.browser.test_ranking import begin, press, submitted

pytestmark = pytest.mark.slow

KEPT = "kept in this browser"


def state(page: Page, words: str) -> None:
    """The page says in which state the work is."""
    expect(page.locator("#state")).to_contain_text(words)


def work_on(page: Page) -> None:
    """Ratings, flags, a note and an order."""
    press(page, "6 h Enter 2 Enter 4 x Enter 5")
    page.locator("[name='note.B']").fill("It is “wrong”: 2 < 1.")
    page.locator("#order").fill("a > d > c")


def assert_all_there(page: Page) -> None:
    values = [page.locator(f"[name='likert.{one}']:checked").input_value() for one in "ABCD"]
    assert values == ["6", "2", "4", "5"]
    assert page.locator("[name='flag.A.hallucination']").is_checked()
    assert page.locator("[name='flag.C.sexual_content']").is_checked()
    assert page.locator("[type=checkbox]:checked").count() == 2
    assert page.locator("[name='note.B']").input_value() == "It is “wrong”: 2 < 1."
    assert page.locator("#order").input_value() == "a > d > c"
    assert page.locator(".tray .chip").get_attribute("data-letter") == "B"
    assert page.locator("[data-rank='2'] .chip").get_attribute("data-letter") == "D"


def test_within_a_second_a_change_is_on_the_server(site, open_page):
    page = begin(site, open_page, "autosave")
    work_on(page)
    page.locator("[data-rank='2'] .chip").focus()
    press(page, "d 3 b 4")
    page.wait_for_timeout(1000)
    draft = read_draft(site.item(page).draft, 4)
    assert draft.order == "A > C = D > B"
    assert draft.ranks == {"A": 1, "D": 3, "C": 3, "B": 4}  # and the row that is left empty
    assert draft.ratings["B"].note == "It is “wrong”: 2 < 1."
    state(page, "Saved")
    assert page.evaluate("localStorage.length") == 0
    page.reload()
    assert page.locator("[data-rank='3'] .chip").count() == 2


def test_two_minutes_without_network_lose_nothing(site, open_page):
    page = begin(site, open_page, "network")
    page.context.clock.install()
    page.reload()
    page.context.set_offline(True)
    work_on(page)
    page.context.clock.run_for(1000)
    state(page, KEPT)
    for _ in range(12):
        page.context.clock.run_for(10_000)
    state(page, KEPT)
    assert site.item(page).draft is None
    page.context.set_offline(False)
    for _ in range(20):  # the next try is within 15 seconds
        page.context.clock.run_for(1000)
        if page.locator("#state").inner_text() == "Saved":
            break
    state(page, "Saved")
    assert read_draft(site.item(page).draft, 4).ratings["B"].note == "It is “wrong”: 2 < 1."
    page.reload()
    assert_all_there(page)


def test_a_submission_without_network_is_sent_when_it_is_back(site, open_page):
    page = begin(site, open_page, "late", ratings=Asked.NONE)
    number = site.item(page).number
    page.locator("#order").fill("abcd")
    page.context.set_offline(True)
    page.locator("#submit").click()
    state(page, "submitted when the connection is back")
    page.context.set_offline(False)
    submitted(page)
    assert site.store.desk.item(number).state == "done"


def test_a_server_that_is_killed_in_mid_edit_loses_nothing(tmp_path, browser: Browser):
    with Site(tmp_path, {"eve": Role.LABELER, "rae": Role.RESEARCHER}) as site:
        site.queue("killed", [colors(4)])
        context = browser.new_context(base_url=site.address)
        page = context.new_page()
        site.log_in(page, "eve")
        page.get_by_role("button", name="Start, or go on").click()
        page.wait_for_url("**/item/*")
        press(page, "6 h")
        page.wait_for_timeout(1000)
        state(page, "Saved")
        site.server.end(signal.SIGKILL)
        press(page, "Enter 2 Enter 4 x Enter 5")
        page.locator("[name='note.B']").fill("It is “wrong”: 2 < 1.")
        page.locator("#order").fill("a > d > c")
        state(page, KEPT)
        site.server.start()
        page.reload()
        assert_all_there(page)
        state(page, "Saved")
        draft = read_draft(site.item(page).draft, 4)
        assert (draft.ratings["A"].likert, draft.order) == (6, "a > d > c")
        site.server.end(signal.SIGKILL)  # what was acknowledged is on the disk
        site.server.start()
        page.reload()
        assert_all_there(page)
        context.close()


def test_an_expired_session_gets_a_login_over_the_page_and_then_submits(site, browser):
    name = "zoe"
    token = site.store.accounts.add(name, Role.LABELER, by="setup")
    site.store.accounts.accept(token, site.store.accounts.password_hash("ann"))
    site.queue("expired", [colors(4)])
    context = browser.new_context(base_url=site.address)
    page = context.new_page()
    site.log_in(page, name)
    page.get_by_role("button", name="Start, or go on").click()
    page.wait_for_url("**/item/*")
    number = site.item(page).number
    site.store.accounts.end_sessions(name, by="ada")
    press(page, "6 Enter 5 Enter 4 Enter 3")
    page.locator("#order").fill("a b c d")
    state(page, KEPT)
    page.locator("#submit").click()
    page.locator("#login-password").fill("wrong")
    press(page, "Enter")
    expect(page.locator("#login [data-error]")).not_to_be_empty()
    page.locator("#login-password").fill(PASSWORD)
    press(page, "Enter")
    submitted(page)
    item = site.store.desk.item(number)
    assert item.submission.ranking.ranks == by_place(item, A=1, B=2, C=3, D=4)
    assert sorted(rating.likert for rating in item.submission.ratings) == [3, 4, 5, 6]
    context.close()


def test_of_two_labelers_one_gets_the_item(site, open_page):
    site.queue("race", [colors(4)])
    pages = [open_page("/work", name) for name in ("ann", "ben")]
    for page in pages:  # both go before either is answered
        page.evaluate("document.querySelector('.start form').requestSubmit()")
    for page in pages:
        page.wait_for_url(lambda url: "/item/" in url or "nothing" in url)
    won = [page for page in pages if "/item/" in page.url]
    assert len(won) == 1
    (lost,) = set(pages) - set(won)
    expect(lost.locator(".notice")).to_contain_text("nothing to do for you right now")
    answer = lost.goto(won[0].url)
    assert answer
    assert answer.status == 404


def test_double_click_retry_and_back_button_make_one_record(site, open_page):
    page = begin(site, open_page, "once", colors(4), colors(4, prompt="Next?"), ratings=Asked.NONE)
    number = site.item(page).number
    page.locator("#order").fill("abcd")
    form = page.evaluate(
        "new URLSearchParams(new FormData(document.getElementById('item'))).toString()"
    )
    page.locator("#submit").dblclick()
    submitted(page, "**/item/*?after=*")
    again = page.evaluate(
        """([url, body]) => fetch(url, { method: "POST", body, headers: {
            "Content-Type": "application/x-www-form-urlencoded", Accept: "application/json" },
        }).then((answer) => answer.status)""",
        [f"/item/{number}", form],
    )
    assert again == 200
    page.go_back()
    expect(page.get_by_role("heading", name="A submitted item")).to_be_visible()
    assert len(site.store.desk.versions(number)) == 1
    assert [one.number for one in site.store.desk.history("ann", limit=1)] == [number]


def test_another_window_that_saved_meanwhile_is_not_written_over(site, open_page):
    one = begin(site, open_page, "windows", ratings=Asked.LIKERT)
    two = open_page(one.url)
    press(one, "6")
    state(one, "Saved")
    press(two, "2")
    expect(two.locator("#other")).to_be_visible()
    assert read_draft(site.item(one).draft, 4).ratings["A"].likert == 6
    two.get_by_role("button", name="What stands here").click()
    state(two, "Saved")
    assert read_draft(site.item(one).draft, 4).ratings["A"].likert == 2
    press(one, "5")
    one.get_by_role("button", name="What the other saved").click()
    expect(one.locator("[name='likert.A']:checked")).to_have_value("2")


@pytest.mark.parametrize("asked", [Asked.FULL, Asked.NONE])
def test_without_javascript_rating_and_order_line_work(site, open_page, asked):
    options = {"java_script_enabled": False}
    page = begin(site, open_page, f"plain {asked}", ratings=asked, options=options)
    number = site.item(page).number
    page.locator("#order").fill("b > a = d")
    page.get_by_role("button", name="Submit").first.click()
    expect(page.locator("#problems")).to_contain_text("C is not ranked.")
    assert page.locator("#order").input_value() == "b > a = d"
    if asked == Asked.FULL:
        for letter, value in zip("ABCD", "4643", strict=True):
            page.locator(f"[name='likert.{letter}'][value='{value}']").check(force=True)
        page.get_by_label("Hallucination").first.check()
        page.locator("[name='note.A']").fill("one\ntwo")
    page.locator("#order").fill("b > c > a = d")
    page.get_by_role("button", name="Submit").first.click()
    if asked == Asked.FULL:
        expect(page.locator(".notice.warn")).to_have_count(0)
    submitted(page)
    item = site.store.desk.item(number)
    assert item.submission.ranking.ranks == by_place(item, B=1, C=2, A=3, D=3)
    first = item.candidates.responses[item.shown_order[0]].text
    rated = {rating.response: rating for rating in item.submission.ratings}
    if asked == Asked.FULL:
        assert (rated[first].likert, rated[first].hallucination) == (4, True)
        assert rated[first].note == "one\ntwo"


def test_time_counts_while_the_page_is_used(site, open_page):
    page = begin(site, open_page, "clock")
    page.context.clock.install()
    page.reload()
    clock = page.locator("[data-clock]")
    expect(clock).to_have_text("0:00")
    for _ in range(3):
        page.context.clock.run_for(30_000)
        press(page, "Shift")  # any key is a use
    expect(clock).to_have_text("1:30")
    page.context.clock.run_for(600_000)  # nobody is there
    expect(clock).to_have_text("2:30")
    expect(page.locator("#clock")).to_have_class("clock paused")
    press(page, "6")
    page.context.clock.run_for(5_000)
    expect(clock).to_have_text("2:35")
    state(page, "Saved")
    assert read_draft(site.item(page).draft, 4).seconds == pytest.approx(150.5, abs=1)


def test_an_item_stays_in_hand_while_its_page_is_used(site, open_page):
    page = begin(site, open_page, "lease")
    page.context.clock.install()
    page.reload()
    first = site.item(page).leased_until
    for _ in range(7):
        press(page, "Shift")
        page.context.clock.run_for(50_000)
    state(page, "Saved")
    assert site.item(page).leased_until > first
    assert site.item(page).revision == 1


def test_a_sensitive_item_has_a_notice_and_an_opt_out(site, open_page):
    site.queue("sensitive", [colors(4, prompt="Something cruel", sensitive=True), colors(5)])
    page = open_page("/work", "ben")
    page.get_by_role("button", name="Start, or go on").click()
    expect(page.get_by_text("This item may be upsetting")).to_be_visible()
    assert "Something cruel" not in page.content()
    page.get_by_role("link", name="Show it").click()
    assert "Something cruel" in page.content()
    page.go_back()
    page.get_by_role("button", name="give me no sensitive items").click()
    page.wait_for_url("**/item/*")
    assert page.locator(".card").count() == 5
    assert site.store.accounts.find("ben").preferences["hide_sensitive"] is True
