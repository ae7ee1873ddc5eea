"""Two trees face to face."""

from __future__ import annotations

from typing import TYPE_CHECKING

from classrel_db.errors import ArgumentError
from classrel_db.figures.layout import Clusters, Nodes, Orientation, cut, rectangular
from classrel_db.figures.lettering import LINE, SMALL, TINY, fitted, widest
from classrel_db.figures.style import (
    GREY,
    TALLEST,
    Drawn,
    Legend,
    Sheet,
    drawing,
    figure_of,
    inches,
)
from classrel_db.figures.trees import MOST_LEAVES
from classrel_db.maths.trees.compare import entanglement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes

    from classrel_db.catalog import Catalog
    from classrel_db.records import Linkage, Progress, TreeDistance


def tanglegram(
    catalog: Catalog,
    model_a: str,
    model_b: str,
    *,
    clusters: int | None = None,
    around: str | int | None = None,
    k: int | None = None,
    method: Linkage = "ward",
    distance: TreeDistance = "chord",
    taxonomy: str = "wordnet",
    width: str | float = "page",
    axes: Sequence[Axes] | None = None,
    progress: Progress | None = None,
) -> Drawn:
    """The trees of two models face to face, untangled, with a line from each class to itself.

    The lines have the colours of the first tree's ``clusters`` (12 by default, or as many as there are
    classes). Data and arguments as of :meth:`~classrel_db.catalog.Catalog.tanglegram`, which says what is
    raised. ``axes`` are three: the one tree, the lines, the other.
    """
    data = catalog.tanglegram(
        model_a, model_b, around=around, k=k, method=method, distance=distance, taxonomy=taxonomy,
        progress=progress,
    )  # fmt: skip
    names = list(dict.fromkeys(row[0] for row in data.project("model").fetchall()))
    sides = [Nodes.of(data, name) for name in names]
    n = len(sides[0].leaves)
    if n > MOST_LEAVES:
        raise ArgumentError(
            f"the trees share {n:,} classes, and a figure has room for {MOST_LEAVES:,} lines; give around, "
            "a class, for a part of them"
        )
    wanted = min(12, n) if clusters is None else clusters
    if not 0 <= wanted <= n:
        raise ArgumentError(f"clusters is {clusters}; it is 0 to {n:,}")
    found = cut(sides[0], wanted) if wanted else None
    labels = [side.labels() for side in sides]
    orders = [side.node[side.leaves] for side in sides]
    title = (
        f"{n:,} classes of both; entanglement {entanglement(*orders):.3f} "
        "(0: no line crosses; 1: one order is the other reversed)"
    )
    with drawing(*labels, names, [title]):
        if axes is None:
            axes, room, size = _three(n, labels, width, found, title)
        else:
            axes, room = list(axes), 1.0
            if len(axes) != 3:
                raise ArgumentError(f"{len(axes)} axes; a tanglegram is drawn on three")
            box, tall = axes[0].get_position(), figure_of(axes[0]).get_size_inches()[1]
            size = min(TINY, box.height * tall / n * 72 / LINE)
        paint = dict.fromkeys(range(n), GREY)
        if found is not None:
            own = sides[0].painted(found)
            paint = {int(sides[0].node[i]): own[i] for i in sides[0].leaves.tolist()}
        roots: tuple[Orientation, Orientation] = ("left", "right")
        for side, axis, name, root, own_labels in zip(
            sides, (axes[0], axes[2]), names, roots, labels, strict=True
        ):
            shown = [fitted(label, room, size) for label in own_labels]
            clades = found if axis is axes[0] else None
            rectangular(
                axis, side, clades, root, labels=shown, size=size, line=0.3 if n > 200 else 0.7
            )
            for spine in axis.spines.values():
                spine.set_visible(False)
            axis.set_xticks([])
            wide = axis.get_position().width * figure_of(axis).get_size_inches()[0]
            axis.set_title(
                fitted(name, wide + room, SMALL + 1), loc="left" if root == "left" else "right"
            )
        places = [
            {int(side.node[i]): float(side.at[i]) for i in side.leaves.tolist()} for side in sides
        ]
        _lines(axes[1], places, paint, n)
    return Drawn(figure_of(axes[0]), tuple(axes), lambda: data)


def _three(
    n: int,
    labels: Sequence[Sequence[str]],
    width: str | float,
    clusters: Clusters | None,
    title: str,
) -> tuple[list[Axes], float, float]:
    """Axes for a tree, the lines and the other tree; the room in inches for the labels, and their size."""
    across = inches(width)
    along = min(n * TINY * LINE / 72, TALLEST / 25.4 - 1.5)
    size = along * 72 / n / LINE
    of = clusters.of if clusters else []
    legend = Legend([each.shown for each in of], [each.colour for each in of], across)
    sheet = Sheet(across * 25.4, legend.height + 0.1 + along + 0.3, title)
    legend.draw(sheet.figure)
    room = min(max(map(widest, labels)) * size / TINY, 0.22 * across) + 1e-6
    lines = max(0.16 * across, 0.4)
    tree = (across - 2 * (room + 0.05) - lines - 0.1) / 2

    def place(left: float, wide: float) -> Axes:
        return sheet.axes(left, legend.height + 0.1, wide, along)

    middle = 0.05 + tree + room + 0.05
    axes = [place(0.05, tree), place(middle, lines), place(middle + lines + room + 0.05, tree)]
    return axes, room, size


def _lines(
    axis: Axes, places: Sequence[Mapping[int, float]], paint: Mapping[int, str], n: int
) -> None:
    """A line from each class's place at the left to its place at the right."""
    from matplotlib.collections import LineCollection

    joined = [[(0.0, places[0][leaf]), (1.0, places[1][leaf])] for leaf in places[0]]
    axis.add_collection(
        LineCollection(
            joined,
            colors=[paint[leaf] for leaf in places[0]],
            linewidths=0.3 if n > 200 else 0.8,
            alpha=0.8,
        )
    )
    axis.set(xlim=(-0.03, 1.03), ylim=(n - 0.5, -0.5))
    axis.axis("off")
