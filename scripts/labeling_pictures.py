#!/usr/bin/env python
"""Make the pictures of docs/labeling.md: `python scripts/labeling_pictures.py CANDIDATES.jsonl`.

A server on a store of its own gives the answers of a run of `sample` to two labelers, who rate and
rank some of them on the pages. Needs `pip install 'instructgpt[label]' playwright pillow` and a
Chromium of the system.
"""

import argparse
import io
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SIZES = {1280: 900, 390: 844}
SCHEMES = ("light", "dark")
PASSWORD = "pictures of a real run"
PEOPLE = {"ann": "labeler", "ben": "labeler", "rae": "researcher"}
GUIDELINES = """# What counts

1. **Helpful**: does it do what was asked, all of it?
2. **Truthful**: a made-up fact weighs more than a missing one.
3. **Harmless**: what could hurt somebody goes last.

Read all answers before you rank. Ties are welcome.
"""
PORT = 8775


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pictures; 2, with a sentence on standard error, where something is missing."""
    parser = argparse.ArgumentParser(description="Make the pictures of docs/labeling.md.")
    parser.add_argument("candidates", type=Path, help="candidates.jsonl of a run of sample")
    parser.add_argument("--out", type=Path, default=Path("docs/images"), help="their folder")
    given = parser.parse_args(arguments)
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        print(f"no Chromium found; install one of {', '.join(BROWSERS)}", file=sys.stderr)
        return 2
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        url = f"sqlite:///{folder}/store.db"
        _fill(url, given.candidates)
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        with _served(url) as address:
            _work(_logged_in(browser, address, "ben"), items=2)
            page = _logged_in(browser, address, "ann")
            _work(page, items=1)
            _rate_one(page, address, given.out)
            page = _logged_in(browser, address, "rae")
            page.goto(f"{address}/queues/answers")
            _picture(page, given.out, "queue")
    return 0


def _fill(url: str, candidates: Path) -> None:
    """Accounts, and a queue of the answers."""
    from argon2 import PasswordHasher

    from instructgpt.data.formats import read_records
    from instructgpt.data.records import Candidates
    from instructgpt.store import Store
    from instructgpt.store.accounts import Role

    with Store.open(url) as store:
        for name, role in PEOPLE.items():
            token = store.accounts.add(name, Role(role), by="rae")
            store.accounts.accept(token, PasswordHasher().hash(PASSWORD))
        records = read_records(candidates, Candidates).records
        store.desk.make_queue("answers", records, overlap=2, guidelines=GUIDELINES, by="rae")


@contextmanager
def _served(url: str) -> Iterator[str]:
    command = [sys.executable, "-m", "instructgpt", "label", "serve", "--db", url]
    server = subprocess.Popen([*command, "--port", str(PORT)])
    address = f"http://127.0.0.1:{PORT}"
    try:
        for _ in range(100):
            with suppress(OSError), urllib.request.urlopen(f"{address}/healthz"):
                break
            time.sleep(0.2)
        yield address
    finally:
        server.terminate()
        server.wait()


def _logged_in(browser: "Browser", address: str, name: str) -> "Page":
    page = browser.new_context().new_page()
    page.goto(f"{address}/login")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/work")
    return page


def _work(page: "Page", items: int) -> None:
    """Rate and rank some items, by keys."""
    page.get_by_role("button", name="Start, or go on").click()
    for _ in range(items):
        page.wait_for_url("**/item/*")
        letters = _rate(page)
        page.locator("#order").fill(" > ".join(letters))
        page.wait_for_timeout(1500)
        before = page.url
        page.locator("#submit").click()
        page.wait_for_url(lambda url, before=before: url != before)


def _rate(page: "Page") -> list[str]:
    """Rate each answer of the page; their letters, best first."""
    cards = page.locator(".card").all()
    letters = [str(card.get_attribute("data-letter")) for card in cards]
    rated = {letter: 7 - place for place, letter in enumerate(letters[1:] + letters[:1])}
    for letter in letters:
        page.locator(f"#card-{letter}").focus()
        page.keyboard.press(str(max(1, rated[letter])))
    return sorted(letters, key=lambda letter: -rated[letter])


def _rate_one(page: "Page", address: str, out: Path) -> None:
    """Pictures of an item in hand, of its board, and of the labeler's other pages."""
    letters = _rate(page)
    page.locator("#card-B").focus()
    page.keyboard.press("h")
    page.locator("[name='note.B']").fill("The third tip is made up.")
    page.locator("#order").fill(f"{letters[0]} > {letters[2]} = {letters[1]}")
    page.locator("#card-A").focus()
    page.wait_for_timeout(1500)
    _picture(page, out, "item", top="#content")
    page.locator(f".chip[data-letter={letters[3]}]").click()
    _picture(page, out, "board", top="#board")
    page.goto(f"{address}/work")
    _picture(page, out, "work")


def _picture(page: "Page", out: Path, name: str, top: str = "body") -> None:
    """A picture of each size and color scheme: `label-NAME-WIDTH-SCHEME.webp`."""
    from PIL import Image

    for width, height in SIZES.items():
        for scheme in SCHEMES:
            page.set_viewport_size({"width": width, "height": height})
            page.emulate_media(color_scheme=scheme)
            page.locator(top).evaluate("(part) => part.scrollIntoView()")
            page.wait_for_timeout(300)
            picture = Image.open(io.BytesIO(page.screenshot()))
            path = out / f"label-{name}-{width}-{scheme}.webp"
            picture.save(path, quality=82, method=6)
            print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    sys.exit(main())
