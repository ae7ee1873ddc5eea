"""The explorer of real heads in a browser: what it shows, and how it is moved about in."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

from tests.report.conftest import RESAMPLES, TWO, visit

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from subprocess import CompletedProcess

    from playwright.sync_api import Browser, Page

    from tests.report.conftest import Visit

CRAB = "n01978287"
SVG = "{http://www.w3.org/2000/svg}"


def rows_of(page: Page, model: str) -> list[list[str]]:
    """The cells of a model's table of neighbours."""
    return page.locator(f"section[aria-label='{model}'] tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
    )


def parts(page: Page) -> dict[str, list[str]]:
    """The fragment, by name."""
    return page.evaluate(
        "Object.fromEntries([...new URLSearchParams(location.hash.slice(1)).keys()].map(name => "
        "[name, new URLSearchParams(location.hash.slice(1)).getAll(name)]))"
    )


def saved(page: Page, kind: str) -> str:
    with page.expect_download() as waiting:
        page.get_by_role("button", name=kind, exact=True).click()
    return waiting.value.path().read_text("utf-8")


def text_in(svg: str) -> list[str]:
    """The texts of an SVG file, as texts."""
    return ["".join(each.itertext()) for each in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def find_class(page: Page, words: str) -> None:
    page.get_by_role("combobox", name="Class").click()
    page.get_by_role("combobox", name="Class").fill(words)


def drawn(page: Page, name: str) -> list[str]:
    """The texts that the figure on the page has in the glyph of that place among its text glyphs."""
    return page.evaluate(
        """(at) => {
          const figures = Bokeh.documents.flatMap((each) => each.roots());
          const texts = figures.at(-1).renderers.filter((each) => each.glyph.type === "Text");
          return Array.from(texts[at].data_source.data.text);
        }""",
        {"labels": 0, "names": 1, "values": 0}[name],
    )


def test_the_numbers_are_those_of_similar(
    explorer: Visit, real: tuple[Path, Path], classrel: Callable[..., CompletedProcess[str]]
) -> None:
    asked = ["-k", 25, "--support", "--resamples", RESAMPLES, "--format", "json"]
    chosen = [word for name in TWO for word in ("-m", name)]
    answer = json.loads(
        classrel("--db", real[1], "similar", "Dungeness crab", *asked, *chosen).stdout
    )
    page = explorer.go(f"class={CRAB}")
    for model in TWO:
        expected = [
            [
                str(each["rank"]),
                each["neighbor"],
                f"{each['cosine']:.4f}",
                f"{each['euclidean']:.2f}",
                f"{each['support'] * 100:g} %",
            ]
            for each in answer
            if each["model"] == model
        ]
        shown = [[row[0], row[1], *row[3:6]] for row in rows_of(page, model)]
        assert shown == expected
    # the file has every digit
    rows = list(csv.DictReader(io.StringIO(saved(page, "CSV"))))
    columns = (
        "model",
        "class",
        "rank",
        "neighbor",
        "neighbor_concept",
        "cosine",
        "euclidean",
        "support",
    )
    assert rows == [
        {name: str(each[name]) for name in columns} | {"support": f"{each['support']:g}"}
        for each in answer
    ]


def test_search_finds_and_a_neighbour_leads_on(explorer: Visit) -> None:
    page = explorer.go()
    find_class(page, "king")
    options = page.get_by_role("option")
    # the beginning of the label, then of a word in it, then the rest
    labels = [text.partition("\n")[0] for text in options.all_inner_texts()]
    fits = [0 if each.startswith("king") else 1 if " king" in each else 2 for each in labels]
    assert fits == sorted(fits)
    assert {0, 2} <= set(fits)
    find_class(page, "dungeness")
    assert options.count() == 1
    page.keyboard.press("Enter")
    assert page.locator("h2").inner_text().startswith("Dungeness crab")
    assert parts(page)["class"] == [CRAB]
    page.get_by_role("button", name="king crab").first.click()
    assert page.locator("h2").inner_text().startswith("king crab")
    # a bar on the canvas is that of its row
    bars = page.locator(".bars").first.bounding_box()
    second = rows_of(page, TWO[0])[1][1]
    page.mouse.click(bars["x"] + 12, bars["y"] + 28 * 1.5)
    explorer.settle()
    assert page.locator("h2").inner_text().startswith(second)
    page.go_back()
    explorer.settle()
    assert page.locator("h2").inner_text().startswith("king crab")
    find_class(page, "no such class")
    assert page.get_by_role("option").count() == 0
    assert "no class of that name" in page.locator("#found").inner_text()
    find_class(page, "n0197828")
    assert "Dungeness crab" in page.get_by_role("option").first.inner_text()


def test_bars_are_as_long_as_the_cosines(explorer: Visit) -> None:
    page = explorer.go(f"class={CRAB}")
    bars = page.evaluate(
        """Bokeh.documents.flatMap((each) => each.roots()).map((figure) => {
          const bars = figure.renderers.find((each) => each.glyph.type === "HBar");
          return [Array.from(bars.data_source.data.cosine), figure.x_range.end];
        })"""
    )
    assert len(bars) == len(TWO)
    assert len({end for _, end in bars}) == 1  # side by side on one scale
    for (cosines, _), model in zip(bars, TWO, strict=True):
        assert [f"{value:.4f}" for value in cosines] == [row[3] for row in rows_of(page, model)]


@pytest.mark.parametrize(
    "fragment",
    [
        f"view=neighbors&class={CRAB}&show={TWO[1]}&k=7",
        f"view=tree&class={CRAB}&model={TWO[1]}&layout=rectangular&clusters=9&clades=1900.1990",
        f"view=tree&class={CRAB}&tree=-1.2_-0.4_-0.6_0",
        f"view=matrix&class={CRAB}&order=class&cells=110_130_100_120",
        f"view=models&class={CRAB}&pair={TWO[0]}&pair={TWO[1]}",
        f"view=about&class={CRAB}",
    ],
)
def test_the_fragment_brings_back_the_view(explorer: Visit, fragment: str) -> None:
    page = explorer.go(fragment)
    page.evaluate("history.replaceState(null, '', location.hash)")
    kept = parts(page)
    # move on and come back
    page.get_by_role("tab", name="About" if "about" not in fragment else "Matrix").click()
    page.go_back()
    explorer.settle()
    for name, values in parts(page).items():
        given = [
            part.partition("=")[2] for part in fragment.split("&") if part.startswith(f"{name}=")
        ]
        if name in {"tree", "cells"}:  # adapted to the window, about the same middle
            now, asked = ([float(each) for each in text[0].split("_")] for text in (values, given))
            assert sum(now[2:]) == pytest.approx(sum(asked[2:]), abs=0.01)
        else:
            assert values == given, name
    assert set(kept) == set(parts(page))
    view = fragment.partition("=")[2].partition("&")[0]
    assert page.locator("main").get_attribute("data-view") == view
    if "k=7" in fragment:
        assert page.locator("tbody tr").count() == 7
    if "layout" in fragment:
        assert page.locator(".clusters li").count() == 9
        assert page.locator("#model").input_value() == TWO[1]


def test_a_wrong_fragment_is_as_good_as_none(explorer: Visit) -> None:
    page = explorer.go(
        "view=x&class=nothing&show=y&k=-3&clusters=many&tree=1_2&clades=9999999&model=z&cells=_"
    )
    assert page.locator("main").get_attribute("data-view") == "neighbors"
    assert page.locator("h2").inner_text().startswith("tench")


def test_the_tree_names_its_clusters_and_classes_where_there_is_room(
    explorer: Visit, real: tuple[Path, Path]
) -> None:
    import classrel_db

    with classrel_db.open(real[1]) as catalog:
        clusters = dict(catalog.cluster(TWO[0], 24).project("name, size").distinct().fetchall())
        order = catalog.leaf_order(TWO[0]).tolist()
        labels = [row[2] for row in catalog.classes(TWO[0]).fetchall()]
    page = explorer.go(f"view=tree&class={CRAB}")
    listed = page.locator(".clusters button").evaluate_all(
        "all => all.map(each => [each.children[1].textContent, Number(each.children[2].textContent)])"
    )
    assert {tuple(each) for each in listed} == set(clusters.items())
    names = drawn(page, "names")
    assert "Dungeness crab" in names
    assert len(names) >= 20
    assert drawn(page, "labels") == []
    page.get_by_role("button", name="Focused class").click()
    explorer.settle()
    near = drawn(page, "labels")
    assert "Dungeness crab" in near
    middle = order.index(labels.index("Dungeness crab"))
    beside = {labels[at] for at in order[middle - 3 : middle + 4]}
    assert beside <= set(near)
    assert len(near) < 200
    assert set(near) <= set(labels) | {each for each in near if each.endswith("…")}


def test_clades_close_and_open_by_click_and_key(explorer: Visit) -> None:
    page = explorer.go(f"view=tree&class={CRAB}&clusters=5")
    whole = len(saved(page, "CSV").splitlines())
    assert whole == 1 + 1_999
    # the first of the five clusters' nodes, by its place on the canvas
    at = page.evaluate(
        """(() => {
          const figure = Bokeh.documents.flatMap((each) => each.roots()).at(-1);
          const dots = figure.renderers.filter((each) => each.glyph.type === "Scatter")[0].data_source.data;
          const box = document.querySelector(".canvas").getBoundingClientRect();
          const across = (dots.x[0] - figure.x_range.start) / (figure.x_range.end - figure.x_range.start);
          const down = (figure.y_range.end - dots.y[0]) / (figure.y_range.end - figure.y_range.start);
          return [box.left + across * box.width, box.top + down * box.height];
        })()"""
    )
    page.mouse.move(*at)
    assert "classes joined at height" in page.locator("#tip").inner_text()
    page.mouse.click(*at)
    explorer.settle()
    rows = list(csv.DictReader(io.StringIO(saved(page, "CSV"))))
    assert len(rows) < whole - 10
    closed = [row for row in rows if row["closed"] == "true"]
    assert len(closed) == 1
    assert parts(page)["clades"] == [closed[0]["node"]]
    assert 1 + 1_999 - len(rows) == 1 + 2 * (int(closed[0]["size"]) - 1)
    page.go_back()
    explorer.settle()
    assert "clades" not in parts(page)
    # the root, its first child, that closed and open again
    page.locator(".canvas").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    said = page.locator("#said").inner_text()
    assert "classes joined at height" in said
    page.keyboard.press("Enter")
    assert "is closed" in page.locator("#said").inner_text()
    assert len(parts(page)["clades"]) == 1
    page.keyboard.press("Enter")
    assert "is open" in page.locator("#said").inner_text()
    assert "clades" not in parts(page)


def test_the_wheel_zooms_the_tree_and_whole_brings_it_back(explorer: Visit) -> None:
    page = explorer.go(f"view=tree&class={CRAB}")
    box = page.locator(".canvas").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2 - 40, box["y"] + 24)
    for _ in range(4):
        page.mouse.wheel(0, -200)
    explorer.settle()
    assert "tree" in parts(page)
    assert drawn(page, "labels")
    page.get_by_role("button", name="Whole tree").click()
    explorer.settle()
    assert "tree" not in parts(page)
    assert not drawn(page, "labels")


def test_zooming_ends_where_there_is_nothing_more_to_see(explorer: Visit) -> None:
    for tab, layouts in (("tree", ("circular", "rectangular")), ("matrix", ("",))):
        for layout in layouts:
            page = explorer.go(f"view={tab}&layout={layout}&class={CRAB}")
            box = page.locator(".canvas").bounding_box()
            page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] / 2)
            for turn, least, most in ((-400, 2e-3, 0.2), (400, 0.5, 4.0)):
                for _ in range(30):
                    page.mouse.wheel(0, turn)
                explorer.settle()
                ranges = parts(page).get("cells" if tab == "matrix" else tab)
                if ranges is None:
                    assert turn > 0  # all of it is shown again
                    continue
                start, end = (float(each) for each in ranges[0].split("_")[2:4])
                whole = {"circular": 3, "rectangular": 1, "": 1_000}[layout]
                assert least * whole <= abs(end - start) <= most * whole, (tab, layout, turn)


def test_the_matrix_shows_values_where_cells_are_large(
    explorer: Visit, real: tuple[Path, Path]
) -> None:
    import classrel_db

    page = explorer.go(f"view=matrix&class={CRAB}")
    assert drawn(page, "values") == []
    page.get_by_role("button", name="Focused class").click()
    explorer.settle()
    values = drawn(page, "values")
    assert len(values) > 20
    table = list(csv.reader(io.StringIO(saved(page, "CSV"))))
    with classrel_db.open(real[1]) as catalog:
        cosines = dict(
            catalog.similar("Dungeness crab", models=TWO[0], k=999)
            .project("neighbor, cosine")
            .fetchall()
        )
    row = next(each for each in table if each[0] == "Dungeness crab")
    for label, value in zip(table[0][1:], row[1:], strict=True):
        assert value == ("" if label == "Dungeness crab" else f"{cosines[label]:.4f}")
    assert {value for value in row[1:] if value} & set(values)
    # from cell to cell, and into focus
    page.locator(".canvas").focus()
    page.keyboard.press("ArrowDown")
    said = page.locator("#said").inner_text()
    assert said.startswith("cosine ")
    page.keyboard.press("Enter")
    assert parts(page)["class"] != [CRAB]


def test_models_agree_as_compare_says_and_disagreements_lead_on(
    explorer: Visit, real: tuple[Path, Path]
) -> None:
    import classrel_db

    with classrel_db.open(real[1]) as catalog:
        estimate = catalog.compare(*TWO, measures="rsa-spearman", permutations=0, resamples=0)
        ((expected,),) = estimate.project("estimate").fetchall()
        worst = catalog.disagree(*TWO, k=50, permutations=0).project("class").fetchall()
    page = explorer.go("view=models")
    row = page.locator("table.plain tbody tr").first
    assert row.locator("td").nth(1).inner_text() == f"{expected:.4f}"
    row.get_by_role("button").click()
    listed = page.locator(".disagreement tbody td.name").all_inner_texts()
    assert listed == [label for (label,) in worst]
    table = list(csv.DictReader(io.StringIO(saved(page, "CSV of these classes"))))
    assert [each["class"] for each in table] == listed
    assert len(list(csv.DictReader(io.StringIO(saved(page, "CSV"))))) == 1
    page.locator(".disagreement tbody button").first.click()
    explorer.settle()
    assert page.locator("main").get_attribute("data-view") == "neighbors"
    assert page.locator("h2").inner_text().startswith(worst[0][0])
    # the same by a click on the matrix
    page = explorer.go("view=models")
    box = page.locator(".agreement").bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.7, box["y"] + box["height"] * 0.55)
    explorer.settle()
    assert sorted(parts(page)["pair"]) == sorted(TWO)


@pytest.mark.parametrize("tab", ["neighbors", "tree", "matrix", "models"])
def test_what_is_shown_is_saved_as_svg_with_its_text(explorer: Visit, tab: str) -> None:
    page = explorer.go(f"view={tab}&class={CRAB}")
    texts = text_in(saved(page, "SVG"))
    if tab == "models":
        assert set(TWO) <= set(texts)
    else:
        assert any("Dungeness crab" in text for text in texts)
    if tab == "neighbors":
        for model in TWO:
            assert {row[1] for row in rows_of(page, model)} <= set(texts)
    if tab == "tree":
        assert set(drawn(page, "names")) <= set(texts)


def test_the_keyboard_reaches_everything(explorer: Visit) -> None:
    page = explorer.go()
    seen = []
    for _ in range(14):
        page.keyboard.press("Tab")
        seen.append(
            page.evaluate(
                "(() => { const on = document.activeElement; const { outlineStyle } = getComputedStyle(on);"
                "return [on.id || on.className || on.name, outlineStyle] })()"
            )
        )
    names = [name for name, _ in seen]
    assert names[:4] == ["skip", "finder", "theme", "tab-neighbors"]
    assert "count" in names
    assert "class" in names
    assert {style for _, style in seen} == {"solid"}
    # tabs by arrows, as one stop
    page.get_by_role("tab", name="Neighbours").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.id") == "tab-tree"
    assert page.locator("main").get_attribute("data-view") == "tree"
    # by keys alone from the search to a neighbour
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "finder"
    page.keyboard.type("hermit")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    assert page.locator("#finder").get_attribute("aria-activedescendant") == "found-0"
    page.keyboard.press("Enter")
    assert parts(page)["class"] == ["n01986214"]


def test_dark_and_light(browser: Browser, real: tuple[Path, Path]) -> None:
    opened = visit(browser, real[0], color_scheme="dark")
    page = opened.page
    dark = "getComputedStyle(document.body).backgroundColor"
    first = page.evaluate(dark)
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.get_by_role("button", name="Switch to the light theme").click()
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    assert page.evaluate(dark) != first
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "light"  # it was chosen
    opened.sound()
    page.context.close()


def test_nothing_overflows_a_narrow_window(browser: Browser, real: tuple[Path, Path]) -> None:
    opened = visit(browser, real[0], viewport={"width": 360, "height": 740})
    for tab in ("neighbors", "tree", "matrix", "models", "about"):
        page = opened.go(f"view={tab}&class={CRAB}&pair={TWO[0]}&pair={TWO[1]}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, tab
    opened.sound()
    page.context.close()
