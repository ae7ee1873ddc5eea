"""Reports of heads that are not as heads should be: harmful labels, few classes, many, no stored pairs."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import numpy as np
import pytest

import classrel_db
from classrel_db import report
from tests.report.conftest import Stored, clustered, ingested, visit
from tests.report.test_explorer import drawn, find_class, rows_of, saved, text_in

pytestmark = pytest.mark.long

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

    from tests.report.conftest import Visit

HARMFUL = [
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(2)</script>",
    "<!-- <script>",
    "\"quoted\" 'twice' & `back`",
    "𓃠 cat 🐈‍⬛ 🇳🇱",
    "عنكبوت العنب",
    "x" * 500,
    "word " * 100,
    "$$\\frac{1}{2}$$",
    "javascript:alert(3)",
    "${alert(4)} %s {{x}} @{label}",
    "__proto__",
    "constructor",
    '=1+1,"cell"',
    "ends with a backslash\\",
    "ß İ ǰ",
]
TABS = ("neighbors", "tree", "matrix", "models", "about")


@pytest.fixture(scope="module")
def harmful(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visit]:
    """Two models, of which the second lacks half of the classes and has names that mean harm, too."""
    folder = tmp_path_factory.mktemp("harm")
    weight = clustered(len(HARMFUL), 16, 4)
    named = [(label, f"id<{at}>&'\"") for at, label in enumerate(HARMFUL)]
    heads = {"one": (weight, named), "two": (weight[::2] + 0.1, named[::2])}
    path = ingested(folder, heads)
    with classrel_db.open(path) as catalog:
        report.write(
            catalog,
            folder / "harm.html",
            resamples=5,
            k=9,
            title="</title><script>alert(5)</script>",
        )
    opened = visit(browser, folder / "harm.html", viewport={"width": 900, "height": 700})
    yield opened
    opened.sound()
    opened.page.context.close()


def test_harmful_labels_are_text_everywhere(harmful: Visit) -> None:
    for tab in TABS:
        page = harmful.go(f"view={tab}&pair=one&pair=two")
        assert page.locator("main img, main script").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= 900, tab
        assert page.title() == "</title><script>alert(5)</script>"
    page = harmful.go()
    for label in HARMFUL:
        find_class(page, label[:7])
        assert page.get_by_role("option").count() >= 1
    page.keyboard.press("Escape")
    first, second = (rows_of(page, name) for name in ("one", "two"))
    assert len(first) == 9
    assert len(second) == len(HARMFUL) // 2 - 1  # all that there are
    names = {row[1] for row in first + second}
    assert names <= {label.strip() for label in HARMFUL}
    page.mouse.move(300, 300)
    harmful.settle()


def test_long_labels_are_cut_where_they_are_drawn_and_whole_in_files(harmful: Visit) -> None:
    page = harmful.go("view=tree&layout=rectangular")
    labels = drawn(page, "labels")
    assert len(labels) > 10
    assert max(map(len, labels)) < 60
    assert any(each.startswith("xxxx") and each.endswith("…") for each in labels)
    rows = list(csv.DictReader(io.StringIO(saved(page, "CSV"), newline="")))
    assert "x" * 500 in {row["name"] for row in rows}
    assert any("<img" in text for text in text_in(saved(page, "SVG")))
    page = harmful.go("view=neighbors")
    assert len(text_in(saved(page, "SVG"))) > 10


def test_a_class_that_a_model_lacks_is_said_to_be_lacking(harmful: Visit) -> None:
    page = harmful.go("class=id%3C1%3E%26%27%22")
    assert page.locator("h2").inner_text().startswith("</script>")
    assert "has no such class" in page.locator("section[aria-label=two]").inner_text()
    page = harmful.go("view=tree&model=two&class=id%3C1%3E%26%27%22")
    assert "two has no class" in page.locator("main").inner_text()
    page = harmful.go("view=matrix&model=two&class=id%3C1%3E%26%27%22")
    assert "two has no class" in page.locator("main").inner_text()


def test_two_classes(browser: Browser, tmp_path: Path) -> None:
    weight = np.random.default_rng(0).normal(size=(2, 8))
    path = ingested(tmp_path, {"pair": (weight, [("this", ""), ("that", "")])})
    with classrel_db.open(path) as catalog:
        report.write(catalog, tmp_path / "two.html", resamples=5)
    opened = visit(browser, tmp_path / "two.html")
    for tab in TABS:
        page = opened.go(f"view={tab}")
        assert page.locator("main").inner_text().strip()
        page.keyboard.press("Tab")
    assert [row[1] for row in rows_of(opened.go(), "pair")] == ["that"]
    assert (
        "there is none to compare it with" in opened.go("view=models").locator("main").inner_text()
    )
    opened.sound()
    page.context.close()


def test_a_large_head_opens(browser: Browser, tmp_path: Path) -> None:
    n = 6_522
    weight = clustered(n, 48, 90)
    path = ingested(tmp_path, {"large": (weight, [(f"species {at}", "") for at in range(n)])})
    with classrel_db.open(path) as catalog:
        report.write(catalog, tmp_path / "large.html")
        expected = catalog.similar("species 6000", models="large").project("neighbor").fetchall()
        order = catalog.leaf_order("large")
    stored = Stored((tmp_path / "large.html").read_text("utf-8"))
    (model,) = stored.manifest["models"]
    assert (tmp_path / "large.html").stat().st_size < 12e6
    opened = visit(browser, tmp_path / "large.html")
    page = opened.page
    find_class(page, "species 6000")
    page.keyboard.press("Enter")
    opened.settle()
    assert [row[1] for row in rows_of(page, "large")] == [label for (label,) in expected]
    # the tree is closed but for its top, and opens where it is asked to
    page = opened.go("view=tree&class=species+6000")
    first = len(saved(page, "CSV").splitlines())
    assert 400 < first < 2_500
    page.locator(".canvas").focus()
    page.keyboard.press("Enter")
    opened.settle()
    assert len(saved(page, "CSV").splitlines()) > first
    # the matrix shows means over blocks of leaves, as a loop over two blocks has them
    blocks = model["blocks"]["leaf"]
    starts = stored.array(blocks["starts"])
    np.testing.assert_array_equal(stored.array(blocks["order"]), order)
    rows = weight.astype(np.float32)[order].astype(np.float64)
    rows = rows - rows.mean(axis=1, keepdims=True)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    one, other = (rows[starts[at] : starts[at + 1]] for at in (3, 7))
    size = len(starts) - 1
    at = np.cumsum([0, *range(size, 0, -1)])[3] + 7 - 3
    assert stored.array(blocks["cosines"])[at] == pytest.approx(1e4 * (one @ other.T).mean(), abs=1)
    page = opened.go("view=matrix&class=species+6000")
    assert "mean cosine of the pairs between two blocks" in page.locator("main").inner_text()
    assert "blocks" in opened.go("view=about").locator("main").inner_text()
    assert "--resamples" in page.locator("main").inner_text()
    opened.sound()
    page.context.close()


def test_a_very_large_head_says_what_it_leaves_out(tmp_path: Path) -> None:
    n = 20_000
    path = ingested(
        tmp_path,
        {"vast": (clustered(n, 8, 200), [(f"c{at}", "") for at in range(n)])},
        pairs="none",
    )
    with classrel_db.open(path) as catalog:
        report.write(catalog, tmp_path / "vast.html")
    (model,) = Stored((tmp_path / "vast.html").read_text("utf-8")).manifest["models"]
    said = " ".join(model["leftOut"])
    assert model["tree"] is None
    assert model["support"] is None
    assert model["pairs"] is None
    assert list(model["blocks"]) == ["class"]
    for what in ("tree", "support", "matrix"):
        assert what in said


def test_a_model_without_stored_pairs(tmp_path: Path) -> None:
    weight = clustered(40, 12, 5)
    named = [(f"c{at}", "") for at in range(40)]
    texts = []
    for pairs in ("all", "none"):
        folder = tmp_path / pairs
        folder.mkdir()
        path = ingested(folder, {"m": (weight, named)}, pairs=pairs)
        with classrel_db.open(path) as catalog:
            report.write(catalog, folder / "m.html", resamples=0)
        stored = Stored((folder / "m.html").read_text("utf-8"))
        texts.append(stored.array(stored.manifest["models"][0]["pairs"]))
    np.testing.assert_array_equal(*texts)
