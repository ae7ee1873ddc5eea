"""(j) The explorer: how long it takes to write, how large it is, and how fast it is in a browser."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.bench.measure import ChildError, classrel, script
from tests.bench.report import Bound, Figure, below
from tests.browser import QUIET, chromium

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MODELS = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
_NOTCHES = 60  # of the wheel, in and out again

_FIRST = """new Promise((done) => {
  const look = () => document.querySelectorAll("tbody tr").length && document.querySelector(".bars > *")
    ? done() : requestAnimationFrame(look);
  look();
})"""
_FRAMES = """() => {
  window.frameTimes = [];
  const step = (now) => { window.frameTimes.push(now); requestAnimationFrame(step); };
  requestAnimationFrame(step);
}"""


def figures(work: Path) -> Iterator[Figure]:
    database, page = work / "real.duckdb", work / "report.html"
    classrel("--db", database, "ingest", *_MODELS)
    floor = script("bokeh_page", str(database), str(work / "floor.html"))
    cold = classrel("--db", database, "report", page)
    yield Figure(
        "report of three models, the first time: trees, support, comparisons; Bokeh's page of three matrices",
        "s",
        cold.seconds,
        floor.seconds,
        Bound("below 15 s", lambda figure: figure.classrel < 15),
    )
    again = classrel("--db", database, "report", page)
    yield Figure("the same once the trees are stored", "s", again.seconds)
    size, other = (file.stat().st_size for file in (page, work / "floor.html"))
    yield Figure("its size; of Bokeh's page", "MB", size, other, below(12e6, "MB"))
    yield from _in_browser(page)


def _in_browser(page: Path) -> Iterator[Figure]:
    from playwright.sync_api import sync_playwright

    path = chromium()
    if path is None:
        raise ChildError("no Chromium to open the page in; name one by $CHROMIUM")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=list(QUIET))
        opened = browser.new_page(viewport={"width": 1280, "height": 800})
        opened.goto("about:blank")  # what the browser itself takes to start is not the page's
        started = time.perf_counter()
        opened.goto(page.as_uri())
        opened.evaluate(_FIRST)
        yield Figure(
            "from opening it to the first neighbours, in Chromium",
            "s",
            time.perf_counter() - started,
            bound=Bound("at most 2 s", lambda figure: figure.classrel <= 2),
        )
        for layout in ("circular", "rectangular"):
            opened.goto("about:blank")
            opened.goto(f"{page.as_uri()}#view=tree&layout={layout}")
            opened.wait_for_timeout(1500)
            opened.mouse.move(460, 300)
            opened.evaluate(_FRAMES)
            for notch in range(2 * _NOTCHES):
                opened.mouse.wheel(0, -60 if notch < _NOTCHES else 60)
            times = opened.evaluate("window.frameTimes")
            yield Figure(
                f"a frame while the wheel zooms the {layout} tree of 1,000 classes",
                "ms",
                (times[-1] - times[0]) / (len(times) - 1) / 1e3,
                bound=Bound("at most 50 ms", lambda figure: figure.classrel <= 0.05),
            )
        browser.close()
