"""``python -m tests.report.picture REPORT.html OUT.png``: the explorer as a picture, for the README."""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.browser import QUIET, chromium


def main(report: str, out: str) -> None:
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium(), args=list(QUIET))
        page = browser.new_page(viewport={"width": 1320, "height": 600})
        page.goto(f"{Path(report).resolve().as_uri()}#tab=neighbors&class=n01978287")
        page.wait_for_selector("button.class")
        page.screenshot(path=out)
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
