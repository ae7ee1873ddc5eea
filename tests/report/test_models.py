"""Reports of two models that differ: in their labels, their size, their normalisation, their comparisons."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import pytest

import classrel_db
from classrel_db import report
from classrel_db.catalog import reporting
from tests.report.conftest import Stored, clustered, ingested, visit
from tests.report.test_explorer import find_class, parts, saved

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from subprocess import CompletedProcess

    from playwright.sync_api import Browser

    from tests.report.conftest import Visit

    Run = Callable[..., CompletedProcess[str]]

N = 30


def named(letter: str) -> list[tuple[str, str]]:
    return [(f"{letter}{at}", "") for at in range(N)]


@pytest.fixture(scope="module")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of models a and b, whose classes d0, d1 … are said to be a's c0, c1 …, compared at two k."""
    folder = tmp_path_factory.mktemp("mapped")
    weight = clustered(N, 12, 4)
    heads = {"a": (weight, named("c")), "b": (clustered(N, 12, 4, seed=1) + weight, named("d"))}
    with classrel_db.open(ingested(folder, heads)) as catalog:
        catalog.map_concepts({f"c{at}": f"d{at}" for at in range(N)})
        for k in (20, 5):
            catalog.compare_all(measures="knn-jaccard", k=k)
        report.write(catalog, folder / "r.html", resamples=0)
    return folder / "r.html"


def test_a_measure_is_chosen_at_one_k(mapped: Path) -> None:
    manifest = Stored(mapped.read_text("utf-8")).manifest
    chosen = manifest["measures"]
    assert list(chosen) == ["rsa-spearman", "knn-jaccard, k = 5", "knn-jaccard, k = 20"]
    for measure in chosen.values():
        asked = (measure["measure"], measure["k"])
        assert [(each["measure"], each["k"]) for each in manifest["comparisons"]].count(asked) == 1
        # a sentence of its own
        assert not measure["reading"][0].islower()


@pytest.fixture(scope="module")
def opened(browser: Browser, mapped: Path) -> Iterator[Visit]:
    page = visit(browser, mapped)
    yield page
    page.sound()
    page.page.context.close()


def test_the_matrix_and_the_table_are_of_the_k_chosen(opened: Visit, mapped: Path) -> None:
    expected = {
        each["k"]: f"{each['estimate']:.4f}"
        for each in Stored(mapped.read_text("utf-8")).manifest["comparisons"]
    }
    assert expected[5] != expected[20]
    page = opened.go("view=models")
    for k in (20, 5):
        page.locator("#measure").select_option(f"knn-jaccard, k = {k}")
        (row,) = page.locator("table.plain tbody tr").all_inner_texts()
        assert expected[k] in row
        (line,) = csv.DictReader(saved(page, "CSV").splitlines())
        assert line["k"] == str(k)
        assert f"knn-jaccard, k = {k}" in saved(page, "SVG")
        assert parts(page)["measure"] == [f"knn-jaccard, k = {k}"]
    # a link brings it back
    opened.go("view=models&measure=knn-jaccard%2C+k+%3D+5")
    assert page.locator("#measure").input_value() == "knn-jaccard, k = 5"


@pytest.mark.parametrize("name", ["constructor", "toString", "__proto__", "knn-jaccard"])
def test_a_measure_that_is_none_is_as_good_as_none(opened: Visit, name: str) -> None:
    page = opened.go(f"view=models&measure={name}")
    assert page.locator("#measure").input_value() == "rsa-spearman"
    assert "undefined" not in page.locator("main").inner_text()


@pytest.mark.parametrize("values", ["-1e300_1e300_-1e300_1e300", "0_1e-300_0_1e-300"])
def test_a_range_beyond_all_sense_is_as_good_as_none(opened: Visit, values: str) -> None:
    for view, name in (("tree", "tree"), ("matrix", "cells")):
        page = opened.go(f"view={view}&{name}={values}")
        assert page.locator(".canvas canvas").count() >= 1
        assert opened.complaints == []
        page.get_by_role("tab", name="About").click()
        assert name not in parts(page)


def test_a_tree_that_is_a_dot_is_drawn_with_few_points(opened: Visit) -> None:
    page = opened.go("view=tree&tree=-1e6_1e6_-1e6_1e6")
    most = page.evaluate(
        """Math.max(...Bokeh.documents.flatMap((each) => each.roots()).flatMap((figure) =>
          figure.renderers.flatMap(({ data_source }) =>
            Array.from(data_source.data.xs ?? [], (points) => points.length))))"""
    )
    assert 1 < most < 5_000


def test_a_class_is_found_by_what_any_model_calls_it(opened: Visit) -> None:
    page = opened.go()
    find_class(page, "d3")
    (option,) = page.get_by_role("option").all_inner_texts()
    assert option.split() == ["c3", "also", "d3"]
    page.keyboard.press("Enter")
    assert page.locator("h2").inner_text() == "c3"
    find_class(page, "c3")
    (option,) = page.get_by_role("option").all_inner_texts()
    assert option == "c3"


def notes_of(catalog: classrel_db.Catalog) -> list[str]:
    return catalog.report(resamples=0).notes


def obeyed(note: str, classrel: Run, database: Path, *more: object) -> CompletedProcess[str]:
    """Run the command that a note gives."""
    program, *words = note.split("`")[1].split()
    assert program == "classrel"
    return classrel("--db", database, *words, *more)


def test_large_models_are_compared_only_where_that_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, classrel: Run
) -> None:
    n = 550
    weight = clustered(n, 8, 9)
    labels = [(f"c{at}", "") for at in range(n)]
    path = ingested(tmp_path, {"a": (weight, labels), "b": (weight**3, labels)})
    monkeypatch.setattr(reporting, "MOST_WHOLE", 540)
    with classrel_db.open(path) as catalog:
        (note,) = notes_of(catalog)
    assert note.startswith("a and b are not compared: a has 550 classes, more than 540")
    assert obeyed(note, classrel, path).returncode == 0
    with classrel_db.open(path) as catalog:
        found = catalog.report(resamples=0)
    assert [each["measure"] for each in found.comparisons] == ["rsa-spearman"]
    assert found.notes == [
        "the classes on which a and b disagree are left out: a has 550 classes, more than 540"
    ]


def test_models_normalised_in_two_ways(tmp_path: Path, classrel: Run) -> None:
    weight = clustered(N, 12, 4)
    ingested(tmp_path, {"a": (weight, named("c"))})
    path = ingested(tmp_path, {"b": (weight**3, named("c"))}, normalize="center")
    with classrel_db.open(path) as catalog:
        (note,) = notes_of(catalog)
    assert "a is normalised by standardize and b by center" in note
    assert obeyed(note, classrel, path, "--permutations", 0, "--resamples", 0).returncode == 0


@pytest.mark.parametrize(("common", "what"), [(0, "no class"), (3, "only 3 of the 4 classes")])
def test_models_that_share_too_little(tmp_path: Path, common: int, what: str) -> None:
    weight = clustered(N, 12, 4)
    labels = named("c")[:common] + named("d")[common:]
    path = ingested(tmp_path, {"a": (weight, named("c")), "b": (weight, labels)})
    with classrel_db.open(path) as catalog:
        (note,) = notes_of(catalog)
        assert f"they share {what}" in note
        assert "--" not in note
        # what it advises helps
        catalog.map_concepts({f"c{at}": f"d{at}" for at in range(common, N)})
        assert notes_of(catalog) == []
