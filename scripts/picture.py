#!/usr/bin/env python
"""Make a picture of a report: `python scripts/picture.py REPORT.html OUT.png`.

Needs `pip install playwright` and a Chromium of the system; Pillow, where it is there, makes the
file smaller.
"""

import argparse
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
COLORS = 256


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the picture; 2, with a sentence on standard error, where something is missing."""
    parser = argparse.ArgumentParser(description="Make a picture of a report with Chromium.")
    parser.add_argument("report", type=Path, help="an HTML file")
    parser.add_argument("out", type=Path, help="where to write the PNG")
    parser.add_argument("--width", type=int, default=1280, help="of the window, in pixels")
    parser.add_argument("--height", type=int, default=1600, help="of the window, in pixels")
    given = parser.parse_args(arguments)
    try:
        draw(given.report, given.out, given.width, given.height)
    except (OSError, RuntimeError) as error:
        print(f"picture: {error}", file=sys.stderr)
        return 2
    print(f"{given.out}: {given.out.stat().st_size / 1000:.0f} kB")
    return 0


def draw(report: Path, out: Path, width: int, height: int) -> None:
    """Write what a window of this size shows of the page.

    Raises:
        RuntimeError: playwright or Chromium is missing, or Chromium could not show the page.
        OSError: a file cannot be read or written.
    """
    if not report.is_file():
        raise FileNotFoundError(f"{report} is no file; give a report.html")
    browser_path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser_path is None:
        raise RuntimeError(f"no Chromium found; install one of {', '.join(BROWSERS)}")
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        raise RuntimeError("playwright is missing; run: pip install playwright") from None
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=browser_path, args=["--no-sandbox"]
            )
            page = browser.new_page(viewport={"width": width, "height": height})
            page.goto(report.resolve().as_uri())
            page.screenshot(path=out)
            browser.close()
    except Error as error:
        said = str(error).strip().partition("\n")[0]
        raise RuntimeError(f"Chromium could not show {report} ({said})") from None
    shrink(out)


def shrink(picture: Path) -> None:
    """Write the picture again in a palette, which a page of text and lines hardly shows."""
    with suppress(ImportError):
        from PIL import Image

        with Image.open(picture) as image:
            small = image.convert("RGB").quantize(COLORS, dither=Image.Dither.NONE)
        small.save(picture, optimize=True)


if __name__ == "__main__":
    sys.exit(main())
