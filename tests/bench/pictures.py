"""(j) Figures: what classrel adds to matplotlib's own time for as many marks."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tests.bench.measure import alternate, classrel, median_seconds, script
from tests.bench.report import Figure, at_most

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MODEL = "efficientnet_lite0"
_REPETITIONS = 3


def figures(work: Path) -> Iterator[Figure]:
    database = work / "real.duckdb"
    classrel("--db", database, "ingest", _MODEL)
    classrel("--db", database, "tree", _MODEL)
    for what, kind, bare, arguments, ending in (
        (
            "plot heatmap of 1,000 classes; two bare images and a tree",
            "heatmap",
            "heatmap",
            (),
            "png",
        ),
        (
            "plot heatmap --order class; two bare images",
            "heatmap",
            "images",
            ("--order", "class"),
            "png",
        ),
        (
            "plot dendrogram --circular of 1,000 classes; bare lines and labels",
            "dendrogram",
            "dendrogram",
            ("--circular",),
            "svg",
        ),
    ):
        drawing = ("--db", database, "plot", kind, _MODEL, *arguments)
        runs = alternate(
            {
                "ours": partial(classrel, *drawing, "--output", work / f"classrel.{ending}"),
                "bare": partial(script, "bare_figure", bare, work / f"bare.{ending}"),
            },
            _REPETITIONS,
        )
        ours, theirs = (median_seconds(runs[side]) for side in ("ours", "bare"))
        yield Figure(what, "s", ours, theirs, at_most(4))
