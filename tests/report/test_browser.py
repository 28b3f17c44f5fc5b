"""What only a browser knows: where things stand, on screens of all sizes, by night, on paper."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow
ROWS = """() => [...document.querySelectorAll(".grid")].map(grid => {
    const rows = {};
    for (const one of grid.children) if (one.offsetParent) {
        const box = one.getBoundingClientRect();
        (rows[Math.round(box.top)] ??= []).push([box.left, box.right]);
    }
    const box = grid.getBoundingClientRect();
    return Object.values(rows).map(row => [
        row.length,
        Math.round(row[0][0] - box.left),
        Math.round(box.right - row[row.length - 1][1]),
    ]);
})"""
COLORS = """() => ["body", ".chart text", ".samples td", ".loop dd", "tbody th"].map(name => {
    const found = getComputedStyle(document.querySelector(name));
    return name.endsWith("text") ? found.fill : found.color;
}).concat(getComputedStyle(document.body).backgroundColor)"""


@pytest.fixture(scope="module")
def report(quickstart) -> str:
    return (quickstart / "report.html").as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api")
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if found is None:
        pytest.skip("no Chromium here")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.mark.parametrize("width", [390, 760, 900, 1280])
def test_nothing_is_wider_than_the_screen_and_every_row_of_figures_is_full(browser, report, width):
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto(report)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    grids = page.evaluate(ROWS)
    assert len(grids) > 5
    for rows in grids:
        assert all(left == right == 0 for _, left, right in rows), rows


def luminance(color: str) -> float:
    """WCAG 2.1's relative luminance of `rgb(r, g, b)`."""
    parts = [int(number) / 255 for number in re.findall(r"\d+", color)[:3]]
    red, green, blue = (p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_the_light_and_in_the_dark(browser, report, scheme):
    page = browser.new_page(color_scheme=scheme)
    page.goto(report)
    *texts, paper = map(luminance, page.evaluate(COLORS))
    assert (paper > 0.5) == (scheme == "light")
    for text in texts:
        assert (max(text, paper) + 0.05) / (min(text, paper) + 0.05) > 4.5


def test_on_paper_it_has_at_most_eight_pages(browser, report, tmp_path: Path):
    page = browser.new_page()
    page.goto(report)
    made = page.pdf(path=tmp_path / "report.pdf", prefer_css_page_size=True)
    assert 3 < len(re.findall(rb"/Type\s*/Page\b", made)) <= 8
