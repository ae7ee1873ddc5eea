"""A map of the classes of a model, with the names of its clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from classrel_db.errors import ArgumentError
from classrel_db.figures.layout import clusters_of
from classrel_db.figures.lettering import TINY, fitted
from classrel_db.figures.style import GREY, INK, Drawn, Sheet, drawing, figure_of, inches

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from classrel_db.catalog import Catalog
    from classrel_db.records import Linkage, Projection, TreeDistance

_WIDE = 5.0  # inches from which a map has room for the names of 24 clusters
_READ = 60  # classes up to which each has its label


def class_map(
    catalog: Catalog,
    model: str,
    *,
    by: Projection = "mds",
    clusters: int | None = None,
    seed: int = 0,
    method: Linkage = "ward",
    distance: TreeDistance = "chord",
    taxonomy: str = "wordnet",
    width: str | float = "page",
    ax: Axes | None = None,
) -> Drawn:
    """The classes as points in the plane, near to each other where they are alike, as far as a plane can say.

    ``by`` is mds or umap, as :meth:`~classrel_db.catalog.Catalog.project` has it, which gives the data.
    Colours, and names, are those of ``clusters`` (24 by default, or none of heads of under 60 classes, whose
    points have their own labels; 12 in a column) of the tree by ``method`` and ``distance``. The title
    says what the map keeps. Raises ArgumentError, UnknownModelError, MissingExtraError.
    """
    from adjustText import adjust_text

    data = catalog.project(model, by=by, seed=seed)
    listed = "model, class_idx, class, x, y, explained_x, explained_y, trustworthiness, k"
    rows = data.project(listed).fetchall()
    name, n = rows[0][0], len(rows)
    points = np.asarray([row[3:5] for row in rows], dtype=float)
    across = inches(width)
    if clusters is None:
        clusters = 0 if n <= _READ else 24 if across >= _WIDE else 12
    found = clusters_of(catalog, name, clusters, method, distance, taxonomy) if clusters else None
    labels = [row[2] for row in rows] if n <= _READ else []
    title = f"{name}: {n:,} classes by {by.upper()}"
    if rows[0][7] is not None:
        title += (
            f"; trustworthiness {rows[0][7]:.2f} for the {rows[0][8]} nearest (1: all are kept)"
        )
    with drawing(labels, [each.name for each in found.of] if found else [], [title]):
        axis = ax
        if axis is not None and axis.get_figure(root=False) is not figure_of(axis):
            raise ArgumentError(
                "a map can't be drawn in a part of a figure; give axes of a whole one"
            )
        if axis is None:
            high = across * 0.7
            sheet = Sheet(width, 0.42 + high, title)
            axis = sheet.axes(0.62, 0.42, across - 0.8, high - 0.1)
        else:
            axis.set_title(title)
        colour = np.full(n, GREY, dtype=object)
        words, places = [fitted(label, across / 4) for label in labels], points
        if found is not None:
            order = catalog.leaf_order(name, method=method, distance=distance)
            middles = []
            for each in found.of:
                own = order[each.first : each.last]
                colour[own] = each.colour
                middle = np.median(points[own], axis=0)
                # a point of the cluster, so that the name stands where some of it is
                middles.append(points[own[np.argmin(((points[own] - middle) ** 2).sum(axis=1))]])
            if not labels:
                words, places = [each.shown for each in found.of], np.asarray(middles)
        axis.scatter(
            points[:, 0],
            points[:, 1],
            s=7 if n <= 3_000 else 2,
            color=colour.tolist(),
            linewidths=0,
        )
        # a light ground behind the letters: a halo would make paths of them
        ground = {"boxstyle": "square,pad=0.1", "facecolor": "white", "alpha": 0.7, "linewidth": 0}
        texts = [
            axis.text(x, y, word, size=TINY, color=INK, bbox=ground, ha="center", va="center")
            for word, (x, y) in zip(words, places, strict=False)  # or none
        ]
        for which, number, share in zip("xy", "12", rows[0][5:7], strict=True):
            held = "" if share is None else f" ({100 * share:.1f} % of the variance)"
            axis.set(**{f"{which}label": f"axis {number}{held}"})
        axis.margins(0.08)
        axis.locator_params(nbins=5)
        if len(texts) > 1:
            adjust_text(
                texts,
                x=points[:, 0] if labels else None,
                y=points[:, 1] if labels else None,
                ax=axis,
                arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.5},
                ensure_inside_axes=True,
            )
    return Drawn(figure_of(axis), (axis,), lambda: data)
