"""All classes with all, and all models with all, as matrices of colours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from classrel_db.catalog.matrices import matrix_rows
from classrel_db.errors import ArgumentError
from classrel_db.figures.layout import Clusters, Nodes, clusters_of, rectangular
from classrel_db.figures.lettering import (
    LINE,
    SMALL,
    TINY,
    Letters,
    fitted,
    shortened,
    spread,
    widest,
)
from classrel_db.figures.style import INK, Drawn, Sheet, drawing, figure_of, inches, letters_on

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage
    from numpy.typing import NDArray

    from classrel_db.catalog import Catalog
    from classrel_db.records import Linkage, Order, Progress, TreeDistance

_READ = 60  # rows up to which each has its label
_FEW_PAIRS = 2_000  # up to which the colours' range is that of all
_CLIPPED = 0.005  # of the pairs beyond, at either end
_TWO_BESIDE = 5.0  # inches from which two matrices stand beside one another
_LABEL = 4.5  # points, of the labels of a small matrix
_FEW_MODELS = 8  # that have room in a column
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
    title = f"{matrix.model}: {n:,} classes"
    if m < n:
        title += f" in {m:,} blocks of neighbouring classes"
    labels = list(matrix.labels) if n <= _READ else []
    with drawing(labels, [name.name for name in cut.of] if cut else [], [title]):
        stems: list[Axes] = []
        given = axes is not None
        if axes is None:
            tree = order == "leaf" and n > 2
            axes, stems, room = _pair(width, tree, cut, labels, title)
        else:
            axes, room = list(axes), 1.0
            if len(axes) != 2:
                raise ArgumentError(f"{len(axes)} axes; a heatmap is drawn on two")
        unit = " (root mean square of a block)" if m < n else ""
        mean = " (mean of a block)" if m < n else ""
        # bright is alike in both
        _image(axes[0], matrix.cosine, n, f"cosine{mean}", "viridis", own=not given)
        _image(
            axes[1], matrix.euclidean, n, f"Euclidean distance{unit}", "viridis_r", own=not given
        )
        for axis in axes:
            axis.set_xlabel("place in leaf order" if order == "leaf" else "class index")
            right = bool(stems) and axis is axes[-1]
            _ticks(
                axis, n, labels, room, named=(axis is axes[0] and not stems) or (right and not cut)
            )
            if right:
                axis.yaxis.tick_right()
        if stems:
            nodes = Nodes.of(
                catalog.tree(matrix.model, method=method, distance=distance, taxonomy=taxonomy)
            )
        for stem in stems:
            rectangular(stem, nodes, cut, "left", line=0.3 if n > 200 else 0.6)
            stem.set_ylim(n - 0.5, -0.5)
            stem.axis("off")
        if cut is not None:
            for axis in axes if len(stems) == 2 else axes[1:]:
                _brackets(axis, cut, n)
    return Drawn(figure_of(axes[0]), tuple(axes), lambda: matrix_rows(matrix))


def _pair(
    width: str | float, tree: bool, cut: Clusters | None, labels: Sequence[str], title: str
) -> tuple[list[Axes], list[Axes], float]:
    """Two square axes, beside one another or, on a narrow sheet, one above the other; axes for the tree at
    the left of the first, or of both; and the room in inches for labels."""
    across = inches(width)
    stacked = across < _TWO_BESIDE
    room = min(widest([shortened(label) for label in labels], _LABEL) + 0.02, 0.22 * across)
    left = 0.72 if tree else max(room, 0.3) + 0.1
    named = widest([each.shown for each in cut.of], TINY - 0.5) + 0.22 if cut else 0.0
    right = max(named, room if tree else 0.0) + 0.1
    head, foot, gap = 0.42, 0.4 + (room if labels else 0.0), 0.2
    side = across - left - right if stacked else (across - left - right - gap) / 2
    one = head + side + foot
    sheet = Sheet(width, 2 * one if stacked else one, title)
    corners = (
        [(left, one + foot), (left, foot)] if stacked else [(left, foot), (left + side + gap, foot)]
    )
    axes = [sheet.axes(x, y, side, side) for x, y in corners]
    beside = corners if stacked else corners[:1]
    stems = [sheet.axes(0.06, y, left - 0.1, side) for _, y in beside] if tree else []
    return axes, stems, room


def _range(values: NDArray[np.float32]) -> tuple[float, float]:
    """The colours' range: a few pairs that are very alike would leave the others all of one colour."""
    if len(values) < _FEW_PAIRS:
        low, high = float(values.min()), float(values.max())
        return (low, high) if low < high else (low - 0.05, high + 0.05)
    low, high = np.quantile(values, (_CLIPPED, 1 - _CLIPPED))
    return float(low), float(high)


def _image(
    axis: Axes, values: NDArray[np.float32], n: int, name: str, colours: str, *, own: bool
) -> None:
    shown = np.ma.masked_invalid(values)
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
    clipped: Any = "neither" if shown.count() < _FEW_PAIRS else "both"
    scale: dict[str, Any] = {"extend": clipped, "extendfrac": 0.02}
    if own:
        across, tall = figure.get_size_inches()
        box = axis.get_position()
        bar = figure.add_axes((box.x0, box.y1 + 0.06 / tall, box.width, 0.06 / tall))
        figure.colorbar(image, cax=bar, orientation="horizontal", **scale)
        wide = box.width * across
        axis.set_title(fitted(name, wide, SMALL), pad=18, size=SMALL)
    else:
        bar = figure.colorbar(image, ax=axis, location="top", fraction=0.04, pad=0.02, **scale).ax
        wide = 2.0
        bar.set_title(name, size=SMALL)
    bar.xaxis.set_ticks_position("top")
    bar.tick_params(labelsize=TINY - 0.5, pad=1, length=1.5)
    bar.locator_params(nbins=max(2, min(5, int(wide / 0.5))))


def _ticks(axis: Axes, n: int, labels: Sequence[str], room: float, *, named: bool) -> None:
    box, (across, tall) = axis.get_position(), figure_of(axis).get_size_inches()
    if labels:
        size = min(_LABEL, min(box.width * across, box.height * tall) / n * 72 / LINE)
        shown = [fitted(label, room, size) for label in labels]
        axis.set_xticks(range(n), shown, rotation=90, fontproperties=Letters(size))
        axis.set_yticks(range(n), shown if named else [""] * n, fontproperties=Letters(size))
        axis.tick_params(length=0)
        return
    axis.locator_params(axis="x", nbins=max(2, min(6, int(box.width * across / 0.4))))
    if not named:
        axis.set_yticks([])


def _brackets(axis: Axes, cut: Clusters, n: int) -> None:
    """The names of the clusters at the right of a matrix, each at its own rows."""
    box, (across, tall) = axis.get_position(), figure_of(axis).get_size_inches()
    inch = n / (box.width * across)
    size = min(TINY - 0.5, box.height * tall / len(cut.of) * 72 / LINE)
    least = size * LINE / 72 / (box.height * tall) * n
    axis.autoscale(False)
    shown = sorted(cut.of, key=lambda each: each.first)
    middles = [(each.first + each.last) / 2 - 0.5 for each in shown]
    right = n - 0.5
    for each, middle, place in zip(
        shown, middles, spread(middles, least, least / 2 - 0.5, n - 0.5 - least / 2), strict=True
    ):
        axis.plot(
            [right + 0.03 * inch] * 2,
            [each.first - 0.3, each.last - 0.7],
            color=each.colour,
            linewidth=2.4,
            solid_capstyle="butt",
            clip_on=False,
        )
        axis.plot(
            [right + 0.05 * inch, right + 0.12 * inch],
            [middle, place],
            color=each.colour,
            linewidth=0.5,
            clip_on=False,
        )
        axis.text(
            right + 0.14 * inch,
            place,
            each.shown,
            va="center",
            fontproperties=Letters(size),
            color=INK,
        )


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

    ``measure`` is one of :data:`classrel_db.maths.measures.MEASURES`. Colours go from 0 to what a head has
    with itself, bright where models agree. Models stand in the order of an average-linkage tree of what
    they lack of that. What can't be compared (fewer than 4 shared classes, another normalisation) is hatched,
    and then there is no tree. Data as of :meth:`~classrel_db.catalog.Catalog.compare_all`. Raises
    ArgumentError for fewer than two models.
    """
    from scipy.cluster.hierarchy import dendrogram, leaves_list, linkage
    from scipy.spatial.distance import squareform

    from classrel_db.maths.measures import MEASURES

    data = catalog.compare_all(models, measures=measure, progress=progress)
    kind = MEASURES[measure]
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
        apart = np.where(off, np.abs(kind.at_self - values), 0.0)
        Z = linkage(squareform(apart, checks=False), "average", optimal_ordering=True)
        order = leaves_list(Z)
    values = values[np.ix_(order, order)]
    names = [names[i] for i in order]
    title = f"Agreement of {n:,} models ({measure})"
    with drawing(names, [title]):
        stem = None
        own = ax is None
        room = 1.5
        size = TINY
        if ax is None:
            ax, stem, room, size = _square(width, names, Z is not None, title)
        shown = [fitted(name, room, size) for name in names]
        masked = np.ma.masked_invalid(values)
        ax.set_facecolor("#f0f0f0")
        # from what heads with nothing in common have to what a head has with itself; bright is alike
        alike = kind.at_self > kind.bounds[0]
        image = ax.imshow(
            masked,
            aspect="auto",
            cmap="viridis" if alike else "viridis_r",
            vmin=np.nanmin(values, initial=0.0),
            vmax=kind.at_self if alike else kind.bounds[1],
        )
        for i in range(n):
            for j in range(n):
                if i == j:
                    ax.add_patch(_cell(j, i, facecolor="white"))
                elif np.isnan(values[i, j]):
                    ax.add_patch(_cell(j, i, facecolor="none", hatch="////", edgecolor="#bdbdbd"))
                elif n <= _WORDS:
                    ax.text(
                        j, i, f"{values[i, j]:.2f}", ha="center", va="center", size=TINY,
                        color=letters_on(*image.to_rgba(values)[i, j, :3]),
                    )  # fmt: skip
        ax.set_xticks(range(n), shown, rotation=90, fontproperties=Letters(size))
        ax.set_yticks(range(n), shown, fontproperties=Letters(size))
        ax.tick_params(length=0)
        for side in ax.spines.values():
            side.set_visible(False)
        figure = figure_of(ax)
        if np.isfinite(values[off]).any():
            _scale(ax, image, measure, own=own)
        if stem is not None and Z is not None:
            dendrogram(Z, ax=stem, orientation="top", no_labels=True, color_threshold=0,
                       above_threshold_color=INK)  # fmt: skip
            for line in stem.collections:
                line.set_linewidth(0.7)
            stem.set_xlim(0, 10 * n)
            stem.set_ylim(0, 1.05 * float(Z[:, 2].max()) or 1.0)
            stem.axis("off")
        if not own:
            ax.set_title(title)
    return Drawn(figure, (ax,), lambda: data)


def _cell(x: int, y: int, **look: Any) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x - 0.5, y - 0.5), 1, 1, linewidth=0, **look)


def _scale(ax: Axes, image: AxesImage, measure: str, *, own: bool) -> None:
    """What the colours mean."""
    figure = figure_of(ax)
    if own:
        across, tall = figure.get_size_inches()
        bar = figure.add_axes((0.25 / across, 0.34 / tall, 1 - 0.5 / across, 0.07 / tall))
        figure.colorbar(image, cax=bar, orientation="horizontal")
    else:
        bar = figure.colorbar(image, ax=ax, fraction=0.04, pad=0.03).ax
    (bar.set_xlabel if own else bar.set_ylabel)(measure, size=TINY)
    bar.tick_params(labelsize=TINY - 0.5)
    bar.locator_params(nbins=5)


def _square(
    width: str | float | None, names: Sequence[str], tree: bool, title: str
) -> tuple[Axes, Axes | None, float, float]:
    """Axes for the matrix, and for the tree above it; the room in inches for names, and their size."""
    across = inches(width or ("column" if len(names) <= _FEW_MODELS else "page"))
    room = min(widest([shortened(name) for name in names]), 0.4 * across)
    side = across - room - 0.22
    size = min(TINY, side / len(names) * 72 / LINE)
    room *= size / TINY
    stem = 0.38 if tree else 0.0
    bottom = 0.55 + room
    sheet = Sheet(across * 25.4, bottom + side + stem + 0.05, title)
    left = across - side - 0.1
    axis = sheet.axes(left, bottom, side, side)
    above = sheet.axes(left, bottom + side + 0.03, side, stem) if tree else None
    return axis, above, room, size
