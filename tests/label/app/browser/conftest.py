"""A real server over a real store, and a real browser. Accounts and queues are made through the
store's own methods; all else is done on the pages.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.label.app.browser.site import PEOPLE, Site

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium. Where it is missing its tests are skipped, but in continuous integration."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        absent = pytest.fail if os.environ.get("CI") else pytest.skip
        absent("no Chromium here; install Debian's: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The server that tests share, each with queues of its own."""
    with Site(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture(scope="package")
def sessions(site: Site, browser: Browser) -> dict[str, Any]:
    """Who has logged in on the login page: their cookies, by name."""
    states = {}
    for name in PEOPLE:
        context = browser.new_context(base_url=site.address)
        site.log_in(context.new_page(), name)
        states[name] = context.storage_state()
        context.close()
    return states


Opener = Callable[..., Page]


@pytest.fixture
def open_page(site: Site, browser: Browser, sessions: dict[str, Any]) -> Iterator[Opener]:
    """Opens a page of the site for somebody who is logged in; the test fails where the page's
    script failed, or where the page did what its policy forbids.
    """
    contexts: list[BrowserContext] = []
    failures: list[str] = []

    def open_page(path: str, name: str | None = "ann", **options: Any) -> Page:
        state = sessions[name] if name else None
        options = {"viewport": {"width": 1280, "height": 900}} | options
        context = browser.new_context(base_url=site.address, storage_state=state, **options)
        context.set_default_timeout(10_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: failures.append(str(error)))
        page.on(
            "console",
            lambda said: "Content Security" in said.text and failures.append(said.text),
        )
        page.goto(path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not failures


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core, to be evaluated on a page."""
    import axe_playwright_python

    (source,) = Path(axe_playwright_python.__file__).parent.glob("axe.min.js")
    return source.read_text()
