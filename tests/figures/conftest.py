"""Figures of the three real heads and of small ones, each drawn once."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
from oracle import REAL

import classrel_db
from classrel_db import figures

from .seen import seen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from classrel_db import Catalog
    from classrel_db.figures import Drawn

    from .seen import Seen

ONE, TWO, THREE = REAL
CRAB = "Dungeness crab"

# every kind of figure, of the real heads
KINDS: dict[str, Callable[..., Drawn]] = {
    "neighbors": lambda c, **w: figures.neighbors(c, CRAB, models=ONE, **w),
    "neighbors of three": lambda c, **w: figures.neighbors(c, CRAB, k=8, include_self=True, **w),
    "neighbors with support": lambda c, **w: figures.neighbors(
        c, CRAB, models=ONE, k=8, support=True, resamples=20, **w
    ),
    "ranks": lambda c, **w: figures.ranks(c, CRAB, **w),
    "heatmap": lambda c, **w: figures.heatmap(c, ONE, **w),
    "heatmap in class order": lambda c, **w: figures.heatmap(c, ONE, order="class", **w),
    "circle": lambda c, **w: figures.dendrogram(c, ONE, circle=True, **w),
    "circle of clades": lambda c, **w: figures.dendrogram(
        c, ONE, circle=True, k=60, clusters=12, **w
    ),
    "dendrogram": lambda c, **w: figures.dendrogram(c, ONE, **w),
    "dendrogram of clades": lambda c, **w: figures.dendrogram(c, ONE, k=60, clusters=12, **w),
    "dendrogram of clades, root on top": lambda c, **w: figures.dendrogram(
        c, ONE, k=60, clusters=12, orientation="top", **w
    ),
    "dendrogram around a class": lambda c, **w: figures.dendrogram(
        c, ONE, around=CRAB, k=25, support=True, resamples=10, **w
    ),
    "agreement": lambda c, **w: figures.agreement(c, **w),
    "tanglegram": lambda c, **w: figures.tanglegram(c, ONE, THREE, **w),
    "tanglegram around a class": lambda c, **w: figures.tanglegram(c, ONE, THREE, around=CRAB, **w),
    "map": lambda c, **w: figures.class_map(c, ONE, **w),
    "histogram": lambda c, **w: figures.histogram(c, ONE, **w),
    "support": lambda c, **w: figures.support(c, ONE, resamples=10, **w),
    "bk": lambda c, **w: figures.bk(c, *REAL, permutations=9, **w),
}


@pytest.fixture(scope="session")
def real(
    database: object, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[classrel_db.Catalog]:
    """The real heads, in a file that may keep what is computed for figures."""
    path = shutil.copy(database, tmp_path_factory.mktemp("figures") / "real.duckdb")
    with classrel_db.open(path) as catalog:
        yield catalog


@pytest.fixture(scope="session")
def picture(real: Catalog) -> Callable[..., tuple[Drawn, list[Seen]]]:
    """A figure of the real heads by its name and width, and its texts; each is drawn once."""
    kept: dict[tuple[str, str | None], tuple[Drawn, list[Seen]]] = {}

    def give(name: str, width: str | None = None) -> tuple[Drawn, list[Seen]]:
        if (name, width) not in kept:
            drawn = KINDS[name](real, **({} if width is None else {"width": width}))
            kept[name, width] = drawn, seen(drawn.figure)
        return kept[name, width]

    return give


def weights(n: int, dim: int = 8) -> np.ndarray:
    """The rows of a small head, in groups."""
    random = np.random.default_rng(n)
    groups = random.normal(size=(max(2, n // 6), dim))
    made = groups[random.integers(0, len(groups), n)] + 0.8 * random.normal(size=(n, dim))
    return made.astype(np.float32)


SIZES = {"two": 2, "three": 3, "four": 4, "five": 5, "twelve": 12, "sixty": 60, "hundred": 100}
HOSTILE = [
    '<b onclick="x()">bold</b>', "<script>alert('1')</script>", 'a "quoted" label',
    "cost $5 and $6 each", "$x_1$", "x" * 500, "&amp; <![CDATA[ ]]>", "]]>", "M" * 40, "سرطان",
    "back\\slash %s {0}", "é" * 30,
]  # fmt: skip


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[classrel_db.Catalog]:
    """Small heads by the names of how many classes they have, and "hostile" and "hostile2"."""
    folder = tmp_path_factory.mktemp("small-figures")
    given = {name: [f"species {i:02d}" for i in range(n)] for name, n in SIZES.items()}
    given |= {"hostile": HOSTILE, "hostile2": HOSTILE}
    with classrel_db.open(folder / "small.duckdb") as catalog:
        for name, labels in given.items():
            weight = weights(len(labels)) * (-1 if name == "hostile2" else 1)
            weight[-1] += name == "hostile2"
            concepts = [f"c{i:02d}" for i in range(len(labels))]
            np.savez(folder / f"{name}.npz", weight=weight, labels=labels, concepts=concepts)
            catalog.ingest(folder / f"{name}.npz", name=name)
        yield catalog


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[classrel_db.Catalog]:
    """A head "large" of 2,100 classes, more than a figure has room for, without stored pairs."""
    folder = tmp_path_factory.mktemp("large-figures")
    np.savez(folder / "large.npz", weight=weights(2_100))
    (folder / "large.txt").write_text("\n".join(f"species {i}" for i in range(2_100)))
    with classrel_db.open(folder / "large.duckdb") as catalog:
        catalog.ingest(folder / "large.npz", labels=folder / "large.txt", pairs="none")
        yield catalog
