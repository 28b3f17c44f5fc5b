import random

import pytest
from playwright.sync_api import Page, expect

from instructgpt.label.terminal import parse_order, read_order
from instructgpt.store.desk import Asked
from tests.label.app.browser.conftest import Opener
from tests.label.app.browser.site import Site, answers, by_place, colors

pytestmark = pytest.mark.slow


def begin(site: Site, open_page: Opener, name: str, *batch, **settings) -> Page:
    """A queue of these answers, and its first item."""
    options = settings.pop("options", {})
    site.queue(name, batch or [colors(4)], **settings)
    page = open_page("/work", **options)
    page.get_by_role("button", name="Start, or go on").click()
    page.wait_for_url("**/item/*")
    return page


def press(page: Page, keys: str) -> None:
    for key in keys.split():
        page.keyboard.press(key)


def submitted(page: Page, then: str = "**/work?after=*") -> None:
    page.wait_for_url(then)


def said(page: Page) -> str:
    """What a screen reader says."""
    page.wait_for_timeout(50)
    return page.locator("#announce").inner_text()


def test_four_answers_are_rated_and_ranked_by_keys_alone(site, open_page):
    page = begin(site, open_page, "four by keys")
    number = site.item(page).number
    press(page, "6 Enter 2 h f Enter 4 j k Enter 4 o")  # A 6, B 2, C 4, D 4
    press(page, "Enter")  # to the board
    press(page, "a 1 c 2 d 2 b 3")
    assert said(page) == "B, rank 3"
    press(page, "d Alt+ArrowUp Alt+ArrowDown")
    assert said(page) == "D, rank 2, tied with C"
    press(page, "Control+Enter")
    submitted(page)
    item = site.store.desk.item(number)
    assert item.submission.ranking.ranks == by_place(item, A=1, B=4, C=2, D=2)
    assert item.submission.ranking.labeler_id == "ann"
    texts = [item.candidates.responses[place].text for place in item.shown_order]
    rated = {rating.response: rating for rating in item.submission.ratings}
    assert [rated[text].likert for text in texts] == [6, 2, 4, 4]
    flags = [(rated[t].hallucination, rated[t].fails_instruction) for t in texts]
    assert flags == [(False, False), (True, True), (False, False), (False, False)]
    assert [rated[text].expresses_opinion for text in texts] == [False, False, False, True]


def test_nine_answers_with_ties_are_ranked_by_keys_alone(site, open_page):
    page = begin(site, open_page, "nine by keys", colors(9), ratings=Asked.NONE)
    number = site.item(page).number
    press(page, "Enter")
    press(page, "i 1 h 2 g = f 3 e 4 d 5 c = b 6 a 7 Control+Enter")
    submitted(page)
    item = site.store.desk.item(number)
    # Standard competition ranks: of two that tie both have the better one, and the next is skipped.
    assert item.submission.ranking.ranks == by_place(
        item, I=1, H=2, G=2, F=4, E=5, D=6, C=6, B=8, A=9
    )
    assert item.submission.ratings == ()


def test_twelve_answers_are_ranked_by_keys_alone(site, open_page):
    page = begin(site, open_page, "twelve by keys", colors(12), ratings=Asked.NONE)
    number = site.item(page).number
    press(page, "Enter l 1 k 2 j 3 i 4 h 5 g 6 f 7 e 8 d 9 c 1 0 b 1 1")
    press(page, "a 1 2")
    assert said(page) == "A, rank 12"
    press(page, "Control+Enter")
    submitted(page)
    item = site.store.desk.item(number)
    ranks = {letter: 12 - place for place, letter in enumerate("ABCDEFGHIJKL")}
    assert item.submission.ranking.ranks == by_place(item, **ranks)


def test_nine_answers_with_two_ties_by_the_order_line_take_at_most_20_keys(site, open_page):
    page = begin(site, open_page, "nine by line", colors(9), ratings=Asked.NONE)
    number = site.item(page).number
    page.evaluate("window.pressed = 0; addEventListener('keydown', () => { pressed += 1 }, true)")
    page.keyboard.press("/")
    page.keyboard.type("ih=gfed=cba")
    page.keyboard.press("Enter")
    presses = page.evaluate("pressed")
    assert presses <= 20
    assert presses == 13  # and they were counted
    page.keyboard.press("Enter")
    submitted(page)
    item = site.store.desk.item(number)
    assert item.submission.ranking.ranks == by_place(
        item, I=1, H=2, G=2, F=4, E=5, D=6, C=6, B=8, A=9
    )


def drag(page: Page, letter: str, rank: int) -> None:
    chip = page.locator(f".chip[data-letter={letter}]")
    page.locator("#board").scroll_into_view_if_needed()
    a, b = chip.bounding_box(), page.locator(f"[data-rank='{rank}']").bounding_box()
    assert a is not None
    assert b is not None
    page.mouse.move(a["x"] + 50, a["y"] + a["height"] / 2)
    page.mouse.down()
    page.mouse.move(b["x"] + 200, b["y"] + b["height"] / 2, steps=4)
    page.mouse.up()


@pytest.mark.parametrize("count", [4, 9])
def test_answers_are_ranked_by_dragging(site, open_page, count):
    tall = {"viewport": {"width": 1280, "height": 1600}}
    page = begin(
        site, open_page, f"{count} by drag", colors(count), ratings=Asked.NONE, options=tall
    )
    number = site.item(page).number
    ranks = {letter: 1 + place // 2 for place, letter in enumerate("IHGFEDCBA"[-count:])}
    for letter, rank in ranks.items():
        drag(page, letter, rank)
        assert said(page).startswith(f"{letter}, rank {rank}")
    page.get_by_role("button", name="Submit").first.click()
    submitted(page)
    item = site.store.desk.item(number)
    expected = {letter: 1 + 2 * (rank - 1) for letter, rank in ranks.items()}
    assert item.submission.ranking.ranks == by_place(item, **expected)


def touch(page: Page, letter: str, rank: int) -> None:
    """A finger on the chip's handle, moved to the rank."""
    device = page.context.new_cdp_session(page)
    handle = page.locator(f".chip[data-letter={letter}] .handle")
    handle.scroll_into_view_if_needed()
    a, b = handle.bounding_box(), page.locator(f"[data-rank='{rank}']").bounding_box()
    assert a is not None
    assert b is not None
    points = [(a["x"] + 10, a["y"] + 15), (b["x"] + 120, b["y"] + 5), (b["x"] + 120, b["y"] + 20)]
    for kind, point in zip(("touchStart", "touchMove", "touchMove"), points, strict=True):
        place = {"x": point[0], "y": point[1]}
        device.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [place]})
    device.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def test_answers_are_ranked_by_touch(site, open_page):
    phone = {"viewport": {"width": 390, "height": 1400}, "has_touch": True, "is_mobile": True}
    page = begin(site, open_page, "touch", ratings=Asked.NONE, options=phone)
    for letter, rank in {"A": 2, "B": 1, "C": 2}.items():
        touch(page, letter, rank)
    page.locator(".chip[data-letter=D]").tap()  # or tap it, and then a rank
    page.locator("[data-rank='4'] .rank-name").tap()
    assert page.locator("#order").input_value() == "B > A = C > D"
    page.get_by_role("button", name="Submit").first.tap()
    submitted(page)


def test_with_single_keys_off_tab_space_and_arrows_do_it_all(site, open_page):
    settings = open_page("/keys")
    settings.get_by_label("Single keys act on an item's page").uncheck()
    settings.get_by_role("button", name="Save").click()
    settings.wait_for_url("**/keys?saved=1")
    try:
        page = begin(site, open_page, "no single keys", ratings=Asked.LIKERT)
        press(page, "3 / ?")
        assert page.locator("input:checked").count() == 0
        assert page.evaluate("document.activeElement.id") != "order"
        assert not page.locator("dialog[open]").count()
        for letter in "ABCD":
            page.locator(f"[name='likert.{letter}']").first.focus()
            press(page, "Space ArrowRight")  # 1, then 2
        page.locator(".chip[data-letter=A]").focus()
        press(page, "a 1")  # do nothing here
        assert page.locator("#order").input_value() == ""
        for steps in (1, 2, 2, 3):  # the first that is left, down into its rank
            page.locator(".tray .chip").first.focus()
            press(page, "Space " + "ArrowDown " * steps + "Space")
        assert page.locator("#order").input_value() == "A > B = C > D"
        press(page, "Space ArrowUp")
        assert page.locator("#order").input_value() == "A > B = C = D"
        press(page, "Escape")  # it is where it was
        assert page.locator("#order").input_value() == "A > B = C > D"
        press(page, "Control+Enter")
        submitted(page)
    finally:
        site.store.accounts.prefer("ann", single_keys=True)


def test_board_and_order_line_are_in_step_and_all_can_be_undone(site, open_page):
    page = begin(site, open_page, "in step")
    line = page.locator("#order")

    def board() -> list[str]:
        rows = page.locator(".rank-row").all()
        return ["".join(chip.get_attribute("data-letter") for chip in row.locator(".chip").all())
                for row in rows]  # fmt: skip

    line.fill("b > a = d > c")
    assert board() == ["", "B", "AD", "C", ""]
    line.fill("b a=")
    assert page.locator("#order-error").inner_text().startswith("Between two answers")
    assert board() == ["", "B", "AD", "C", ""]  # as it was
    line.fill("b a=d")
    assert board() == ["C", "B", "AD", "", ""]
    page.locator(".chip[data-letter=B]").focus()
    press(page, "b 4")
    assert line.input_value() == "A = D > B"
    assert said(page) == "B, rank 4"
    press(page, "u")
    assert said(page) == "Undone: B, rank 4"
    assert board() == ["C", "B", "AD", "", ""]
    press(page, "Shift+U u u")
    assert board() == ["ABCD", "", "", "", ""]
    assert line.input_value() == ""
    press(page, "Shift+U Shift+U")
    assert board() == ["C", "", "AD", "", "B"]
    page.locator("#card-C").focus()
    press(page, "5 x u u Shift+U")
    assert page.locator("[name='likert.C']:checked").get_attribute("value") == "5"
    assert not page.locator("[name='flag.C.sexual_content']").is_checked()
    page.get_by_role("button", name="Redo").click()
    assert page.locator("[name='flag.C.sexual_content']").is_checked()
    page.get_by_role("button", name="Undo").click()
    assert not page.locator("[name='flag.C.sexual_content']").is_checked()


def in_python(line: str) -> dict[str, int] | str:
    """What the terminal makes of a line: ranks, or what it complains of."""
    try:
        return read_order(line, 4) if line.strip() else {}
    except ValueError as error:
        return str(error)


def test_the_pages_grammar_is_the_terminals(site, open_page):
    page = begin(site, open_page, "grammar")
    chance = random.Random(18)
    lines = ["", " ", "b > a = d > c", "b a=d c", "é", "a\u3000b", "a=", "=a", "a>>b", "1 2", "A<B"]
    lines += ["".join(chance.choices("abcdABCDe >=,", k=chance.randint(1, 12))) for _ in range(400)]
    theirs = page.evaluate(
        """async (lines) => {
            const { readOrder } = await import("/static/order.js");
            return lines.map((line) => {
                try { return readOrder(line, 4); } catch (error) { return error.message; }
            });
        }""",
        lines,
    )
    understood = 0
    for line, their in zip(lines, theirs, strict=True):
        ours = in_python(line)
        if isinstance(ours, str):
            assert their == ours, line
            continue
        assert list(their) == list(ours), line
        pairs = [(a, b) for a in ours for b in ours]
        assert [ours[a] < ours[b] for a, b in pairs] == [their[a] < their[b] for a, b in pairs]
        understood += 1
    assert understood > 50
    assert parse_order("b a=d c", 4) == [2, 1, 4, 2]


def test_submit_tells_what_is_missing_and_moves_the_focus_there(site, open_page):
    page = begin(site, open_page, "missing")
    press(page, "3 j 4")
    page.locator("#order").fill("a b")
    page.get_by_role("button", name="Submit").first.click()
    expect(page.locator("#problems")).to_contain_text("Answer C has no rating.")
    expect(page.locator("#problems")).to_contain_text("C and D are not ranked.")
    assert page.evaluate("document.activeElement.name") == "likert.C"
    expect(page.locator("#problems")).to_be_in_viewport()
    assert "C and D are not ranked." in said(page)
    press(page, "5")
    expect(page.locator("#problems")).not_to_contain_text("Answer C")  # as they are mended
    press(page, "j 5 Control+Enter")
    assert page.evaluate("document.activeElement.dataset.letter") == "C"  # on the board
    expect(page.locator("#problems li")).to_have_count(1)
    page.locator("#order").fill("a >> b")
    page.get_by_role("button", name="Submit").last.click()
    assert page.evaluate("document.activeElement.id") == "order"
    assert site.item(page).state == "open"


def test_no_key_fires_in_a_text_field(site, open_page):
    page = begin(site, open_page, "fields")
    page.locator("[name='note.A']").focus()
    page.keyboard.type("u 1 j / ? h")
    press(page, "Control+Enter")
    assert page.locator("[name='note.A']").input_value() == "u 1 j / ? h"
    page.locator("#order").focus()
    page.keyboard.type("u/?")
    assert page.locator("#order").input_value() == "u/?"
    assert page.locator("input:checked").count() == 0
    assert page.locator("#problems").is_hidden()
    assert not page.locator("dialog[open]").count()


def test_a_rank_against_the_ratings_asks_once_and_then_obeys(site, open_page):
    page = begin(site, open_page, "against", ratings=Asked.LIKERT)
    number = site.item(page).number
    press(page, "6 Enter 3 Enter 3 Enter 3")
    page.locator("#order").fill("b > a > c = d")
    page.locator("#submit").click()
    expect(page.locator("#warning")).to_contain_text("A is rated 6 but ranked below B, rated 3.")
    page.get_by_role("button", name="Look again").click()
    assert site.store.desk.item(number).state == "open"
    page.locator("#submit").click()
    submitted(page)
    item = site.store.desk.item(number)
    assert item.submission.ranking.ranks == by_place(item, B=1, A=2, C=3, D=3)


def test_skipping_needs_a_reason_and_goes_on(site, open_page):
    page = begin(site, open_page, "skip", colors(4), colors(4, prompt="Another?"))
    first = site.item(page).number
    page.locator("#skip").click()
    page.get_by_role("button", name="Skip it").click()
    assert page.locator("dialog[open]").count() == 1  # the browser asks for the reason
    page.get_by_label("I cannot judge this").check()
    page.get_by_role("button", name="Skip it").click()
    page.wait_for_url(lambda url: "/item/" in url and not url.endswith(f"/{first}"))
    assert site.store.desk.item(first).state == "skipped"
    assert page.get_by_text("Another?").count()
    page.goto("/work")
    page.get_by_role("button", name="Start, or go on").click()
    page.wait_for_url(f"**/item/{first + 1}")


def test_a_submission_is_edited_and_taken_back(site, open_page):
    page = begin(site, open_page, "edit", ratings=Asked.NONE)
    number = site.item(page).number
    page.locator("#order").fill("abcd")
    page.locator("#submit").click()
    submitted(page)
    page.get_by_role("link", name="Edit it").click()
    assert page.locator("#order").input_value() == "A > B > C > D"
    page.locator("#order").fill("d=c b a")
    page.locator("#submit").click()
    page.wait_for_url("**/history")
    item = site.store.desk.item(number)
    assert item.submission.ranking.ranks == by_place(item, D=1, C=1, B=3, A=4)
    versions = site.store.desk.versions(number)
    assert {one.ranking.ranks for one in versions} == {
        by_place(item, A=1, B=2, C=3, D=4),
        by_place(item, D=1, C=1, B=3, A=4),
    }
    page.goto(f"/item/{number}")
    expect(page.locator("table")).to_contain_text("C = D > B > A")
    expect(page.locator("table")).to_contain_text("A > B > C > D")
    page.get_by_role("button", name="Take it back").click()
    page.wait_for_url(f"**/item/{number}")
    assert page.locator("#order").input_value() == "C = D > B > A"  # it is as it was said last
    assert site.store.desk.item(number).state == "open"


def test_cards_say_what_an_answer_is_and_nothing_of_who_wrote_it(site, open_page):
    long = "\n\n".join(f"Paragraph {number}." for number in range(40))
    queued = answers("Twice.", "Twice.", "It ends in the mid…", long, prompt=TALK)
    page = begin(site, open_page, "cards", queued, guidelines="Be **fair**.")
    assert page.locator(".card").count() == 3
    card = page.locator(".card", has_text="Twice.")
    expect(card.locator(".tag")).to_contain_text("×2")
    expect(page.locator(".card", has_text="in the mid…")).to_contain_text("cut off here")
    card = page.locator(".card", has_text="Paragraph 1.")
    height = card.locator(".text").first.bounding_box()["height"]
    card.get_by_role("button", name="Show all of it").click()
    assert card.locator(".text").first.bounding_box()["height"] > 2 * height
    assert page.locator(".turn").count() == 3
    expect(page.locator(".guide strong")).to_have_text("fair")
    source = page.content()
    assert "secret-model" not in source
    assert "7310585" not in source
    number = site.item(page).number
    page.locator("#card-A").focus()
    press(page, "4 Enter 4 Enter 4")
    page.locator("#order").fill("a=b=c")
    page.locator("#submit").click()
    submitted(page)
    assert site.store.desk.item(number).submission.ranking.ranks == (1, 1, 1, 1)


TALK = [
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": "Hello, who is there?"},
    {"role": "user", "content": "Me"},
]
