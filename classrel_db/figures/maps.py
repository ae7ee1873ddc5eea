"""A map of the classes of a model, with the names of its clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from classrel_db.figures.layout import clusters_of
from classrel_db.figures.style import (
    GREY,
    INK,
    SMALL,
    TINY,
    Drawn,
    drawing,
    figure_of,
    inches,
    new_figure,
    shortened,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from classrel_db.catalog import Catalog
    from classrel_db.records import Linkage, Projection, TreeDistance

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
    points have their own labels) of the tree by ``method`` and ``distance``. The title says what the map
    keeps. Raises ArgumentError, UnknownModelError, MissingExtraError.
    """
    from adjustText import adjust_text
    from matplotlib.patheffects import withStroke

    data = catalog.project(model, by=by, seed=seed)
    listed = "model, class_idx, class, x, y, explained_x, explained_y, trustworthiness, k"
    rows = data.project(listed).fetchall()
    name, n = rows[0][0], len(rows)
    points = np.asarray([row[3:5] for row in rows], dtype=float)
    if clusters is None:
        clusters = 24 if n > _READ else 0
    found = clusters_of(catalog, name, clusters, method, distance, taxonomy) if clusters else None
    labels = [shortened(row[2], 30) for row in rows] if n <= _READ else []
    with drawing(labels, [each.name for each in found.of] if found else [], [name]):
        axis = ax
        if axis is None:
            across = inches(width)
            height = across * 0.75
            figure = new_figure(across * 25.4, height)
            axis = figure.add_axes(
                (0.45 / across, 0.4 / height, 1 - 0.55 / across, 1 - 0.75 / height)
            )
        colour = np.full(n, GREY, dtype=object)
        words, places = list(labels), points if labels else np.empty((0, 2))
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
        halo = [withStroke(linewidth=1.6, foreground="white")]
        texts = [
            axis.text(x, y, word, size=TINY, color=INK, path_effects=halo, ha="center", va="center")
            for word, (x, y) in zip(words, places, strict=True)
        ]
        shares = rows[0][5:7]
        for which, share in zip("xy", shares, strict=True):
            said = f"axis {'12'['xy'.index(which)]}" + (
                f" ({100 * share:.1f} % of the variance)" if share is not None else ""
            )
            axis.set(**{f"{which}label": said})
        axis.margins(0.05)
        if len(texts) > 1:
            adjust_text(
                texts,
                x=points[:, 0] if labels else None,
                y=points[:, 1] if labels else None,
                ax=axis,
                arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.5},
                ensure_inside_axes=True,
            )
        title = f"{name}: {n:,} classes by {by.upper()}"
        if rows[0][7] is not None:
            title += (
                f"; trustworthiness {rows[0][7]:.2f} for the {rows[0][8]} nearest (1: all are kept)"
            )
        if ax is None:
            figure_of(axis).suptitle(title, x=0.01, ha="left", size=SMALL + 1)
    return Drawn(figure_of(axis), (axis,), lambda: data)
