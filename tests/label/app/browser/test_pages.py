"""Every page: no serious finding of axe-core, nothing beside the window, no text that acts."""

import re
from itertools import pairwise
from typing import Any

import pytest

from instructgpt.label.app.routes import RULES
from instructgpt.store.accounts import Role
from instructgpt.store.desk import Asked
from tests.label.app.browser.conftest import Opener
from tests.label.app.browser.site import Site, answers, colors
from tests.label.app.browser.test_ranking import TALK, begin

pytestmark = pytest.mark.slow

HOSTILE = (
    "<script>document.title = 'owned'</script><img src=x onerror=\"document.title='owned'\">",
    "[click](javascript:document.title='owned') ![pixel](https://example.org/p.png)",
    "right \u202eto left\u2066 and \x1b[31mred\x07",
    "x" * 1_000_000,
    "e" + "\u0301" * 10_000,
    "</div></article></main><h1>Ours</h1>",
    "```\n" + "y" * 5_000 + "\n```",
)


@pytest.fixture(scope="package")
def pages(site: Site, sessions: dict[str, Any]) -> dict[str, tuple[str | None, str]]:
    """Every GET route of the app's own table: who looks at it, and an address of it."""
    desk, accounts = site.store.desk, site.store.accounts
    site.queue("pages", [colors(4, prompt=TALK), colors(9)], guidelines="# Be fair\n\n- to *all*\n")
    item = desk.next("ann", "pages")
    assert item
    token = accounts.add("new", Role.LABELER, by="ada")
    names = {"number": item.number, "queue": "pages", "name": "pages", "version": 1}
    names |= {"token": token, "task": desk.items("pages")[0].number}
    found = {}
    for rule in RULES:
        if rule.method == "GET" and not rule.path.startswith(("/static", "/healthz")):
            path = re.sub(r":\w+", "", rule.path).format(**names)
            who = ("ann" if "labeler" in rule.roles else "ada") if rule.roles else None
            found[rule.path] = (who, path)
    return found


def findings(page, axe: str) -> list[str]:
    """What axe-core finds on a page, evaluated there, so that its policy stays in force."""
    page.evaluate(axe)
    results = page.evaluate("axe.run()")
    return [
        f"{one['id']}: {node['html'][:200]} {node['failureSummary'][:300]}"
        for one in results["violations"]
        if one["impact"] in ("moderate", "serious", "critical")
        for node in one["nodes"]
    ]


def beyond(page) -> int:
    """Pixels of the page beside the window."""
    return page.evaluate("document.documentElement.scrollWidth - window.innerWidth")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_any_page(pages, open_page: Opener, axe, scheme):
    assert len(pages) > 10
    opened = {}
    found = {}
    for route, (who, path) in pages.items():
        page = opened.get(who) or open_page(path, who, color_scheme=scheme)
        opened[who] = page
        answer = page.goto(path)
        assert answer
        assert answer.status == 200, route
        assert "script-src 'self'" in answer.headers["content-security-policy"], route
        if found_here := findings(page, axe):
            found[route] = found_here
    assert not found


def test_axe_finds_nothing_serious_in_dialogs_and_with_work_done(site, open_page, axe):
    page = begin(site, open_page, "dialogs", options={"color_scheme": "dark"})
    page.keyboard.press("3")
    page.locator("#order").fill("b a=")
    page.locator("#submit").click()
    assert not findings(page, axe)
    page.locator("#order").blur()
    page.keyboard.press("?")
    assert not findings(page, axe)
    page.keyboard.press("Escape")
    page.locator("#skip").click()
    assert not findings(page, axe)


@pytest.mark.parametrize(("width", "height"), [(390, 844), (640, 400)])
def test_no_page_scrolls_sideways_on_a_phone_and_at_200_percent(pages, open_page, width, height):
    # A window of 1280 x 800 pixels at 200 % is one of 640 x 400.
    opened: dict[str | None, Any] = {}
    for route, (who, path) in pages.items():
        size = {"width": width, "height": height}
        page = opened.get(who) or open_page(path, who, viewport=size)
        opened[who] = page
        page.goto(path)
        assert beyond(page) <= 0, route


def test_hostile_texts_change_neither_page_nor_layout(site, open_page, axe):
    site.queue("hostile", [answers(*HOSTILE, prompt="\n".join(HOSTILE[:3]))], ratings=Asked.NONE)
    page = open_page("/work", viewport={"width": 390, "height": 844})
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.get_by_role("button", name="Start, or go on").click()
    page.wait_for_url("**/item/*")
    assert "owned" not in page.title()
    assert page.locator(".card").count() == len(HOSTILE)
    assert page.locator(".card :is(img, a, script, h1)").count() == 0
    assert page.locator("main h1", has_text="Ours").count() == 0
    assert all(url.startswith(site.address) for url in asked)
    assert beyond(page) <= 0
    boxes = [card.bounding_box() for card in page.locator(".card").all()]
    for above, below in pairwise(boxes):
        assert above["y"] + above["height"] <= below["y"]
    assert max(box["height"] for box in boxes) < 900  # a megabyte is folded
    text = page.locator(".card", has_text="to left").first.inner_text()
    assert "U+202E" in text
    assert "U+001B" in text
    page.keyboard.press("/")
    page.keyboard.type("abcdefg")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    page.wait_for_url("**/work?after=*")
