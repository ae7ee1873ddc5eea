"""All classes with all, and all models with all, as matrices of colours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from classrel_db.catalog.matrices import matrix_rows
from classrel_db.errors import ArgumentError
from classrel_db.figures.layout import Clusters, Nodes, clusters_of, rectangular
from classrel_db.figures.style import (
    INK,
    SMALL,
    TINY,
    Drawn,
    drawing,
    figure_of,
    inches,
    letters_on,
    new_figure,
    shortened,
    spread,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from classrel_db.catalog import Catalog
    from classrel_db.records import Linkage, Order, Progress, TreeDistance

_READ = 60  # rows up to which each has its label
_FEW_PAIRS = 2_000  # up to which the colours' range is that of all
_CLIPPED = 0.005  # of the pairs beyond, at either end
_WORDS = 12  # rows up to which a cell has its number


def heatmap(
    catalog: Catalog,
    model: str,
    *,
    order: Order = "leaf",
    clusters: int | None = None,
    method: Linkage = "ward",
    distance: TreeDistance = "chord",
    taxonomy: str = "wordnet",
    most: int = 2_000,
    width: str | float = "page",
    axes: Sequence[Axes] | None = None,
) -> Drawn:
    """The cosines and the Euclidean distances of all classes with all, side by side.

    In the order of the classes, as in the published figure, or of the leaves of the tree, which stands
    beside them with the names of its ``clusters`` (12 by default, 0 for none). The colours' range leaves
    out the diagonal, which is white, and the 0.5 % of pairs at either end. A head of more than ``most``
    classes is drawn in blocks of neighbouring ones. ``axes`` are two to draw on.

    Data: model, place_a, place_b, class_a, class_b (of a block: its first), classes_a, classes_b (how
    many there are), cosine, euclidean; a < b, and a = b of a block. Raises ArgumentError,
    UnknownModelError.
    """
    matrix = catalog.similarity_matrix(
        model, order=order, most=most, method=method, distance=distance
    )
    n, m = len(matrix.labels), len(matrix.cosine)
    if clusters is None:
        clusters = min(12, n) if order == "leaf" and n > _READ else 0
    if clusters and order == "class":
        raise ArgumentError("clusters are named beside the tree; use the order of its leaves")
    cut = (
        clusters_of(catalog, matrix.model, clusters, method, distance, taxonomy)
        if clusters
        else None
    )
    labels = [shortened(label, 30) for label in matrix.labels] if n <= _READ else []
    with drawing(labels, [name.name for name in cut.of] if cut else [], [matrix.model]):
        tree = order == "leaf" and n > 2
        if axes is None:
            axes, stem = _pair(width, tree, cut, labels)
        else:
            axes, stem = list(axes), None
            if len(axes) != 2:
                raise ArgumentError(f"{len(axes)} axes; a heatmap is drawn on two")
        unit = " (root mean square of a block)" if m < n else ""
        mean = " (mean of a block)" if m < n else ""
        # bright is alike in both
        _image(axes[0], matrix.cosine, n, f"cosine{mean}", "viridis")
        _image(axes[1], matrix.euclidean, n, f"Euclidean distance{unit}", "viridis_r")
        for axis in axes:
            axis.set_xlabel("place in leaf order" if order == "leaf" else "class index")
            _ticks(axis, n, labels, left=axis is axes[0] and stem is None)
        figure = figure_of(axes[0])
        if stem is not None:
            nodes = Nodes.of(
                catalog.tree(matrix.model, method=method, distance=distance, taxonomy=taxonomy)
            )
            rectangular(stem, nodes, cut, "left", labels=False, line=0.3 if n > 200 else 0.6)
            stem.set_ylim(n - 0.5, -0.5)
            stem.axis("off")
        if cut is not None:
            _brackets(axes[1], cut, n)
        if stem is not None or not tree:
            title = f"{matrix.model}: {n:,} classes"
            if m < n:
                title += f" in {m:,} blocks of neighbouring classes"
            figure.suptitle(title, x=0.01, ha="left", size=SMALL + 1)
    return Drawn(figure, tuple(axes), lambda: matrix_rows(matrix))


def _pair(
    width: str | float, tree: bool, cut: Clusters | None, labels: Sequence[str]
) -> tuple[list[Axes], Axes | None]:
    """Two square axes, with one for the tree at their left."""
    across = inches(width)
    left = 0.45 if tree else 0.38
    if labels:
        left += 0.055 * max(map(len, labels)) * 0.8
    named = (
        0.057 * min(max((len(each.shown) for each in cut.of), default=0), 26) + 0.2 if cut else 0.12
    )
    side = (across - left - 0.18 - named - (0.35 if tree else 0)) / 2
    bottom, top = 0.38, 0.66
    if labels:
        bottom += 0.045 * max(map(len, labels))
    height = bottom + side + top
    figure = new_figure(across * 25.4, height)
    start = left + (0.35 if tree else 0)

    def place(x: float, wide: float) -> Axes:
        return figure.add_axes((x / across, bottom / height, wide / across, side / height))

    axes = [place(start, side), place(start + side + 0.18, side)]
    return axes, place(0.08, start - 0.14 if not labels else 0.7) if tree else None


def _range(values: NDArray[np.float32]) -> tuple[float, float]:
    """The colours' range: a few pairs that are very alike would leave the others all of one colour."""
    if len(values) < _FEW_PAIRS:
        return float(values.min(initial=0)), float(values.max(initial=0))
    low, high = np.quantile(values, (_CLIPPED, 1 - _CLIPPED))
    return float(low), float(high)


def _image(axis: Axes, values: NDArray[np.float32], n: int, name: str, colours: str) -> None:
    shown = np.ma.masked_invalid(values)
    if len(values) > 1 and len(values) == n:
        shown[np.diag_indices(n)] = np.ma.masked
    low, high = _range(shown.compressed())
    image = axis.imshow(
        shown,
        extent=(-0.5, n - 0.5, n - 0.5, -0.5),
        aspect="auto",
        cmap=colours,
        vmin=low,
        vmax=high,
    )
    for side in ("top", "right", "left", "bottom"):
        axis.spines[side].set_visible(False)
    figure = figure_of(axis)
    height = figure.get_size_inches()[1]
    box = axis.get_position()
    bar = figure.add_axes((box.x0, box.y1 + 0.06 / height, box.width, 0.06 / height))
    clipped = "neither" if shown.count() < _FEW_PAIRS else "both"
    figure.colorbar(image, cax=bar, orientation="horizontal", extend=clipped, extendfrac=0.02)
    bar.xaxis.set_ticks_position("top")
    bar.tick_params(labelsize=TINY - 0.5, pad=1, length=1.5)
    bar.locator_params(nbins=5)
    axis.set_title(name, pad=18, size=SMALL)


def _ticks(axis: Axes, n: int, labels: Sequence[str], *, left: bool) -> None:
    if labels:
        size = min(TINY, 4.5)
        axis.set_xticks(range(n), labels, rotation=90, size=size)
        axis.set_yticks(range(n), labels if left else [""] * n, size=size)
        axis.tick_params(length=0)
    elif not left:
        axis.set_yticks([])


def _brackets(axis: Axes, cut: Clusters, n: int) -> None:
    """The names of the clusters at the right of a matrix, each at its own rows."""
    height = figure_of(axis).get_size_inches()[1] * axis.get_position().height
    least = (TINY + 1) / 72 / height * n
    axis.autoscale(False)
    shown = sorted(cut.of, key=lambda each: each.first)
    middles = [(each.first + each.last) / 2 - 0.5 for each in shown]
    for each, middle, place in zip(shown, middles, spread(middles, least, 0, n - 1), strict=True):
        right = n * 1.012
        axis.plot(
            [right, right],
            [each.first - 0.3, each.last - 0.7],
            color=each.colour,
            linewidth=2.4,
            solid_capstyle="butt",
            clip_on=False,
        )
        axis.plot(
            [n * 1.02, n * 1.045], [middle, place], color=each.colour, linewidth=0.5, clip_on=False
        )
        axis.text(n * 1.052, place, each.shown, va="center", size=TINY - 0.5, color=INK)


def agreement(
    catalog: Catalog,
    models: str | Sequence[str] | None = None,
    *,
    measure: str = "rsa-spearman",
    width: str | float | None = None,
    ax: Axes | None = None,
    progress: Progress | None = None,
) -> Drawn:
    """How far every two models agree, by one measure, with the tree that joins those that agree most.

    ``measure`` is one of :data:`classrel_db.maths.measures.MEASURES`. Models stand in the order of an
    average-linkage tree of 1 - agreement. What can't be compared (fewer than 4 shared classes, another
    normalisation) is hatched, and then there is no tree. Data as of
    :meth:`~classrel_db.catalog.Catalog.compare_all`. Raises ArgumentError for fewer than two models.
    """
    from scipy.cluster.hierarchy import dendrogram, leaves_list, linkage
    from scipy.spatial.distance import squareform

    data = catalog.compare_all(models, measures=measure, progress=progress)
    found = data.project("model_a, model_b, estimate").fetchall()
    names = list(catalog.normalizations(models))
    if len(names) < 2:
        raise ArgumentError(f"there is {len(names)} model; an agreement needs two: ingest another")
    n = len(names)
    values = np.full((n, n), np.nan)
    for a, b, estimate in found:
        if estimate is not None:
            i, j = names.index(a), names.index(b)
            values[i, j] = values[j, i] = estimate
    off = ~np.eye(n, dtype=bool)
    whole = bool(np.isfinite(values[off]).all())
    order = np.arange(n)
    Z = None
    if whole and n > 2:
        apart = np.where(off, 1 - values, 0.0)
        Z = linkage(squareform(apart, checks=False), "average", optimal_ordering=True)
        order = leaves_list(Z)
    values = values[np.ix_(order, order)]
    names = [names[i] for i in order]
    shown = [shortened(name, 40) for name in names]
    with drawing(shown):
        stem = None
        if ax is None:
            ax, stem = _square(width, shown, Z is not None)
        masked = np.ma.masked_invalid(values)
        ax.set_facecolor("#f0f0f0")
        image = ax.imshow(masked, aspect="auto")
        for i in range(n):
            for j in range(n):
                if i == j:
                    ax.add_patch(_cell(j, i, facecolor="white"))
                elif np.isnan(values[i, j]):
                    ax.add_patch(
                        _cell(
                            j, i, facecolor="none", hatch="////", edgecolor="#bdbdbd", linewidth=0
                        )
                    )
                elif n <= _WORDS:
                    ax.text(
                        j, i, f"{values[i, j]:.2f}", ha="center", va="center", size=TINY,
                        color=letters_on(*image.to_rgba(values)[i, j, :3]),
                    )  # fmt: skip
        size = TINY if n <= _READ else max(1.0, TINY * _READ / n)
        ax.set_xticks(range(n), shown, rotation=90, size=size)
        ax.set_yticks(range(n), shown, size=size)
        ax.tick_params(length=0)
        for side in ax.spines.values():
            side.set_visible(False)
        figure = figure_of(ax)
        height = figure.get_size_inches()[1]
        box = ax.get_position()
        if np.isfinite(values[off]).any():
            bar = figure.add_axes((box.x0, 0.3 / height, box.width, 0.07 / height))
            figure.colorbar(image, cax=bar, orientation="horizontal")
            bar.set_xlabel(measure, size=TINY)
            bar.tick_params(labelsize=TINY - 0.5)
        if stem is not None and Z is not None:
            dendrogram(Z, ax=stem, orientation="top", no_labels=True, color_threshold=0,
                       above_threshold_color=INK)  # fmt: skip
            for line in stem.collections:
                line.set_linewidth(0.7)
            stem.set_xlim(0, 10 * n)
            stem.set_ylim(0, 1.05 * float(Z[:, 2].max()))
            stem.axis("off")
        if stem is not None or Z is None:
            figure.suptitle(
                f"Agreement of {n:,} models ({measure})", x=0.01, ha="left", size=SMALL + 1
            )
    return Drawn(figure, (ax,), lambda: data)


def _cell(x: int, y: int, **look: Any) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x - 0.5, y - 0.5), 1, 1, **look)


def _square(
    width: str | float | None, names: Sequence[str], tree: bool
) -> tuple[Axes, Axes | None]:
    across = inches(width or ("column" if len(names) <= 8 else "page"))
    size = TINY if len(names) <= _READ else max(1.0, TINY * _READ / len(names))
    room = min(0.6 * size / 72 * max(map(len, names)) + 0.1, across * 0.45)
    side = across - room - 0.12
    stem = 0.35 if tree else 0.0
    bottom, top = 0.55 + room, 0.32
    height = bottom + side + stem + top
    figure = new_figure(across * 25.4, height)
    axis = figure.add_axes((room / across, bottom / height, side / across, side / height))
    if not tree:
        return axis, None
    above = figure.add_axes(
        (room / across, (bottom + side + 0.03) / height, side / across, stem / height)
    )
    return axis, above
