"""Two trees face to face."""

from __future__ import annotations

from typing import TYPE_CHECKING

from classrel_db.errors import ArgumentError
from classrel_db.figures.layout import (
    Clusters,
    Nodes,
    Orientation,
    cut,
    legend_below,
    legend_height,
    rectangular,
)
from classrel_db.figures.style import (
    GREY,
    SMALL,
    TALLEST,
    TINY,
    Drawn,
    drawing,
    figure_of,
    inches,
    new_figure,
)
from classrel_db.figures.trees import LETTER, LINE, MOST_LEAVES
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
    labels = [side.labels(26) for side in sides]
    with drawing(*labels, names):
        given = axes
        if axes is None:
            axes, size = _three(n, labels, width, found)
        else:
            axes = list(axes)
            if len(axes) != 3:
                raise ArgumentError(f"{len(axes)} axes; a tanglegram is drawn on three")
            box, tall = axes[0].get_position(), figure_of(axes[0]).get_size_inches()[1]
            size = min(TINY, box.height * tall / n * 72 / LINE)
        paint = dict.fromkeys(range(n), GREY)
        if found is not None:
            own = sides[0].painted(found)
            paint = {int(sides[0].node[i]): own[i] for i in sides[0].leaves.tolist()}
        roots: tuple[Orientation, Orientation] = ("left", "right")
        for side, axis, name, orientation in zip(
            sides, (axes[0], axes[2]), names, roots, strict=True
        ):
            rectangular(axis, side, found if axis is axes[0] else None, orientation, size=size,
                        line=0.3 if n > 200 else 0.7)  # fmt: skip
            for spine in axis.spines.values():
                spine.set_visible(False)
            axis.set_xticks([])
            axis.set_title(name, loc="left" if orientation == "left" else "right")
        places = [
            {int(side.node[i]): float(side.at[i]) for i in side.leaves.tolist()} for side in sides
        ]
        _lines(axes[1], places, paint, n)
        orders = [side.node[side.leaves] for side in sides]
        if given is None:
            figure_of(axes[0]).suptitle(
                f"{n:,} classes of both; entanglement {entanglement(*orders):.3f} "
                "(0: no line crosses; 1: one order is the other reversed)",
                x=0.01, ha="left", size=SMALL + 1,
            )  # fmt: skip
        if found is not None and given is None:
            legend_below(axes[1], found)
    return Drawn(figure_of(axes[0]), tuple(axes), lambda: data)


def _three(
    n: int, labels: Sequence[Sequence[str]], width: str | float, clusters: Clusters | None
) -> tuple[list[Axes], float]:
    """Axes for a tree, the lines and the other tree, with room for the labels, and the labels' size."""
    across = inches(width)
    along = min(n * TINY * LINE / 72, TALLEST / 25.4 - 1.5)
    size = along * 72 / n / LINE
    legend = legend_height(clusters)
    height = along + 0.65 + legend
    figure = new_figure(across * 25.4, height)
    room = [max(map(len, own)) * LETTER * size / 72 + 0.05 for own in labels]
    lines = max(0.18 * across, 0.5)
    tree = (across - sum(room) - lines - 0.1) / 2

    def place(left: float, wide: float) -> Axes:
        return figure.add_axes(
            (left / across, (legend + 0.1) / height, wide / across, along / height)
        )

    middle = 0.05 + tree + room[0]
    return [
        place(0.05, tree),
        place(middle, lines),
        place(middle + lines + room[1], tree),
    ], size


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
    axis.set(xlim=(0, 1), ylim=(n - 0.5, -0.5))
    axis.axis("off")
