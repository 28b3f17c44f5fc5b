"""The pages of who ranks alone, in a browser: no password, also when a session has ended."""

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from instructgpt.label.app.alone import ALONE, HOST, QUEUE, Alone
from instructgpt.label.app.security import Address
from instructgpt.label.app.server import listening, make_app, server_of
from instructgpt.store import Store
from instructgpt.store.accounts import Role
from instructgpt.store.desk import Asked
from tests.label.app.browser.site import by_place, colors
from tests.label.app.browser.test_pages import beyond, findings

pytestmark = pytest.mark.slow


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Alone, Address]]:
    """Three prompts for one person, on a port that is free."""
    with (
        Store.open(f"sqlite:///{tmp_path / 'labels.db'}") as store,
        closing(listening(HOST, 0)) as own,
    ):
        batch = [colors(3, prompt=f"A color, {word}.") for word in ("please", "quick", "now")]
        store.desk.make_queue(QUEUE, batch, overlap=1, ratings=Asked.NONE, by="you")
        store.accounts.add("you", Role.LABELER, by="you")
        alone, address = Alone(store, "you", 3), Address.of(None, HOST, own.getsockname()[1])
        server = server_of(make_app(store, address, tmp_path, rules=ALONE, alone=alone))
        serving = threading.Thread(target=server.run, kwargs={"sockets": [own]})
        serving.start()
        yield alone, address
        server.should_exit = True
        serving.join()


def rank(page: Page, order: str) -> None:
    page.locator("#order").fill(order)
    page.locator("#submit").click()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_from_the_link_to_the_last_prompt(
    served: tuple[Alone, Address], browser: Browser, axe: str, scheme, width: int
):
    alone, address = served
    size = {"width": width, "height": 850}
    with closing(browser.new_context(color_scheme=scheme, viewport=size)) as context:
        page = context.new_page()
        page.set_default_timeout(10_000)

        def look() -> None:
            assert not findings(page, axe)
            assert beyond(page) <= 0

        link = alone.link(address)
        page.goto(link)
        look()
        page.get_by_role("button", name="Start").click()
        page.wait_for_url("**/item/*")
        look()
        rank(page, "b a c")
        page.wait_for_url("**/item/*?after=*")

        alone.store.accounts.end_sessions("you", by="you")
        number = int(page.url.partition("/item/")[2].partition("?")[0])
        rank(page, "c a b")
        expect(page.locator("#login")).to_contain_text("prints a new link")
        assert page.locator("[type=password]").count() == 0
        look()
        other = context.new_page()
        other.goto(link)
        expect(other.locator("main")).to_contain_text("Open the link that stands in the terminal")
        assert not findings(other, axe)
        other.goto(alone.link(address))
        expect(other.locator("main")).to_contain_text("1 of 3 prompts are done")
        other.close()
        page.get_by_role("button", name="I have opened it").click()
        page.wait_for_url(lambda url: f"after={number}" in url)
        item = alone.store.desk.item(number)
        assert item
        assert item.submission
        assert item.submission.ranking.ranks == by_place(item, C=1, A=2, B=3)

        page.locator("#skip").click()
        page.get_by_label("I cannot judge this").check()
        page.get_by_role("button", name="Skip it").click()
        expect(page.locator("h1")).to_have_text("All is ranked")
        look()
        assert alone.is_over()
