"""The tree of a model's classes: round, with a ring and names, or with its root at a side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from classrel_db.errors import ArgumentError
from classrel_db.figures.layout import (
    ORIENTATIONS,
    Clusters,
    Nodes,
    Orientation,
    among,
    circular,
    clusters_of,
    legend_below,
    legend_height,
    polar,
    rectangular,
)
from classrel_db.figures.style import (
    INK,
    SMALL,
    TALLEST,
    TINY,
    Drawn,
    drawing,
    figure_of,
    inches,
    new_figure,
    spread,
)
from classrel_db.records import CLADE_RESAMPLES
from classrel_db.spelling import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from classrel_db.catalog import Catalog
    from classrel_db.records import Linkage, Progress, TreeDistance

MOST_LEAVES = 2_000  # drawn; beyond, the topmost clades
_MOST_NUMBERS = 100  # leaves of a tree whose forks have numbers beside them
LINE = 1.15  # the height of a line of type, of its size
LETTER = 0.6  # the width of a letter, of its size
_RING = (1.012, 1.045)  # between tree and labels; the tree's radius is 1
_TALLEST = TALLEST / 25.4  # inches


def dendrogram(
    catalog: Catalog,
    model: str,
    *,
    circle: bool = False,
    clusters: int | None = None,
    around: str | int | None = None,
    k: int | None = None,
    orientation: Orientation = "left",
    support: bool = False,
    resamples: int = CLADE_RESAMPLES,
    seed: int = 0,
    method: Linkage = "ward",
    distance: TreeDistance = "chord",
    taxonomy: str = "wordnet",
    width: str | float | None = None,
    ax: Axes | None = None,
    progress: Progress | None = None,
) -> Drawn:
    """The tree of a model's classes, its ``clusters`` coloured and named.

    ``circle`` draws it round: branches, a ring of the clusters' colours, the labels, and outside them the
    clusters' names. Otherwise its root is at the side that ``orientation`` names: left, right, top or bottom.
    Labels are as large as they can be without touching: those of 1,000 classes are for zooming in. With
    ``around``, the clade around a class as :meth:`~classrel_db.catalog.Catalog.tree` has it;
    ``k`` as there. ``clusters`` are 24 by default, for whole trees. ``support`` writes beside each fork
    the percentage of bootstrap resamples that have it (of trees of up to 100 leaves). Of a head of more than
    2,000 classes the 2,000 topmost clades are drawn.

    The data are the nodes as ``Catalog.tree`` has them. Raises ArgumentError, UnknownModelError,
    UnknownClassError, AmbiguousClassError.
    """
    if orientation not in ORIENTATIONS:
        raise ArgumentError(
            f"orientation is {quoted(str(orientation))}; it is one of {', '.join(ORIENTATIONS)}"
        )
    ((name, n),) = catalog.info(model).project("model, n_classes").fetchall()
    whole = around is None and k is None
    if whole and n > MOST_LEAVES:
        k = MOST_LEAVES
    data = catalog.tree(
        name,
        around=around,
        k=k,
        support=support,
        resamples=resamples,
        seed=seed,
        method=method,
        distance=distance,
        taxonomy=taxonomy,
        progress=progress,
    )
    nodes = Nodes.of(data)
    if clusters is None:
        clusters = min(24, n) if whole and n > 3 else 0
    if clusters and around is not None:
        raise ArgumentError("clusters are of the whole tree; draw it without around")
    found = None
    if clusters:
        if k is not None and clusters > k:
            raise ArgumentError(
                f"{clusters} clusters of {k} drawn clades; draw more, or fewer clusters"
            )
        found = among(clusters_of(catalog, name, clusters, method, distance, taxonomy), nodes)
    title = f"{name}: {int(nodes.size[0]):,} classes"
    if len(nodes.leaves) < nodes.size[0]:
        title += f", the {len(nodes.leaves):,} topmost clades"
    how = f"{method} linkage of {distance} distances"
    labels = nodes.labels(32)
    with drawing(labels, [each.name for each in found.of] if found else [], [title]):
        draw = _round if circle else _upright
        axis = draw(nodes, labels, found, orientation, width, ax)
        if circle:
            title += f"; {how}, root in the middle"
        else:
            (axis.set_xlabel if orientation in {"left", "right"} else axis.set_ylabel)(
                f"height, {how}"
            )
        if support and not circle and len(labels) <= _MOST_NUMBERS:
            _write_support(axis, nodes, orientation)
            title += f"; at forks: % of {resamples:,} resamples"
        if ax is None:
            figure_of(axis).suptitle(title, x=0.01, ha="left", size=SMALL + 1)
    return Drawn(figure_of(axis), (axis,), lambda: data)


def _round(
    nodes: Nodes,
    labels: Sequence[str],
    clusters: Clusters | None,
    _orientation: Orientation,
    width: str | float | None,
    ax: Axes | None,
) -> Axes:
    from matplotlib.collections import PolyCollection

    n = len(labels)
    given = ax
    if ax is None:
        wide = inches(width or "page")
        side = wide
    else:
        box, (across, tall) = ax.get_position(), figure_of(ax).get_size_inches()
        wide = box.width * across
        side = min(wide, box.height * tall)
    reach = _reach(clusters, n, wide, side)
    longest = max(map(len, labels))
    # the labels' size follows from the radius, and the radius from the labels' length
    size = TINY
    for _ in range(8):
        radius = max(reach - longest * LETTER * size / 72, 0.4 * reach) / (_RING[1] + 0.012)
        size = min(TINY, 2 * np.pi * radius * _RING[1] * 72 / (n * LINE))
    outside = reach / radius  # where the names begin, in radii
    if ax is None:
        height = 2 * reach + 0.2
        figure = new_figure(wide * 25.4, height + 0.3)
        ax = figure.add_axes((0, 0, 1, height / (height + 0.3)))
        half = (wide / 2 / radius, height / 2 / radius)
    else:
        half = (wide / 2 / radius, side / 2 / radius)
    ax.set(xlim=(-half[0], half[0]), ylim=(-half[1], half[1]))
    if given is not None:
        ax.set_aspect("equal")
    ax.axis("off")
    circular(ax, nodes, clusters, line=0.35 if n > 200 else 0.8)
    if clusters is not None:
        edges = [polar(np.asarray([each.first - 0.5, each.last - 0.5]), n) for each in clusters.of]
        wedges = []
        for start, end in edges:
            along = np.linspace(start, end, max(3, int(abs(end - start) * 60)))
            rim = np.column_stack([np.cos(along), np.sin(along)])
            wedges.append(np.concatenate([rim * _RING[0], rim[::-1] * _RING[1]]))
        ax.add_collection(
            PolyCollection(wedges, facecolors=[each.colour for each in clusters.of], linewidths=0)
        )
        _name_around(ax, clusters, n, outside, radius)
    start = _RING[1] + 0.012
    for angle, label in zip(polar(np.arange(n), n).tolist(), labels, strict=True):
        left = np.cos(angle) < 0
        ax.text(
            start * np.cos(angle),
            start * np.sin(angle),
            label,
            size=size,
            rotation=np.degrees(angle) + (180 if left else 0),
            rotation_mode="anchor",
            ha="right" if left else "left",
            va="center",
            color=INK,
        )
    return ax


def _sides(clusters: Clusters, n: int, outside: float, least: float) -> list[tuple[Any, ...]]:
    """Where the clusters' names go, at both sides of a circle: (cluster, its angle, 1 or -1, its height).

    Heights are within ``outside`` and ``least`` apart.
    """
    angles = polar(np.asarray([(each.first + each.last) / 2 - 0.5 for each in clusters.of]), n)
    found = []
    for sign in (1, -1):
        own = sorted(
            (
                (float(a), e)
                for a, e in zip(angles, clusters.of, strict=True)
                if (np.cos(a) >= 0) == (sign > 0)
            ),
            key=lambda each: np.sin(each[0]),
        )
        heights = [float(np.sin(a)) * outside for a, _ in own]
        placed = spread(heights, least, -outside - least / 2, outside + least / 2)
        found += [(each, a, sign, y) for (a, each), y in zip(own, placed, strict=True)]
    return found


def _reach(clusters: Clusters | None, n: int, wide: float, side: float) -> float:
    """How far from the middle the labels may go, in inches, so that the clusters' names have room."""
    reach = side / 2 - 0.1
    if clusters is None:
        return reach
    for each, _, _, y in _sides(clusters, n, reach, TINY * LINE / 72):
        room = wide / 2 - len(each.shown) * LETTER * TINY / 72 - 0.14
        along = np.sqrt(max(1 - (y / reach) ** 2, 0.05))
        reach = min(reach, max(room / along, side * 0.2))
    return float(reach)


def _name_around(ax: Axes, clusters: Clusters, n: int, outside: float, radius: float) -> None:
    """The names of the clusters at both sides of the circle, each joined to the middle of its labels."""
    least = TINY * LINE / 72 / radius
    gap = 0.05 / radius
    for each, angle, sign, y in _sides(clusters, n, outside, least):
        # the line of type must clear the circle with its inner edge, too
        inner = max(abs(y) - least / 2, 0.0)
        x = sign * (np.sqrt(max(outside**2 - inner**2, 0.0)) + gap)
        ax.plot(
            [outside * np.cos(angle), x, x + gap * sign],
            [outside * np.sin(angle), y, y],
            color=each.colour,
            linewidth=0.8,
        )
        ax.text(
            x + 1.4 * gap * sign,
            y,
            each.shown,
            size=TINY,
            color=INK,
            ha="left" if sign > 0 else "right",
            va="center",
        )


def _upright(
    nodes: Nodes,
    labels: Sequence[str],
    clusters: Clusters | None,
    orientation: Orientation,
    width: str | float | None,
    ax: Axes | None,
) -> Axes:
    n = len(labels)
    lying = orientation in {"left", "right"}
    letters = max(map(len, labels))
    names = max((len(each.shown) for each in clusters.of), default=0) if clusters else 0
    if ax is None:
        across = inches(width or ("page" if clusters or not lying else "column"))
        room = n * TINY * LINE / 72  # what labels of full size take
        size = TINY
        aside = names * LETTER * TINY / 72 + (0.25 if names else 0.05)
        if lying:
            along = min(room, _TALLEST - 0.85)
            size *= along / room
            beyond = letters * LETTER * size / 72 + aside
            height = along + 0.85
            figure = new_figure(across * 25.4, height)
            wide = across - beyond - 0.2
            left = 0.1 if orientation == "left" else beyond + 0.1
            ax = figure.add_axes((left / across, 0.45 / height, wide / across, along / height))
        else:
            along = across - 0.55
            size *= min(1.0, along / room)
            beyond = letters * LETTER * size / 72 + 0.05
            legend = legend_height(clusters)
            height = legend + beyond + 3.0
            figure = new_figure(across * 25.4, height)
            low = legend + (beyond + 0.1 if orientation == "top" else 0.1)
            left = across - along - 0.1
            ax = figure.add_axes((left / across, low / height, along / across, 2.5 / height))
    else:
        box, (across, height) = ax.get_position(), figure_of(ax).get_size_inches()
        along = box.height * height if lying else box.width * across
        size = min(TINY, along / n * 72 / LINE)
    rectangular(ax, nodes, clusters, orientation, size=size, line=0.3 if n > 200 else 0.7)
    for side in ax.spines.values():
        side.set_visible(False)
    ax.spines["bottom" if lying else "left"].set_visible(True)
    ax.locator_params(axis="x" if lying else "y", nbins=5)
    if clusters is not None and lying:
        beyond = letters * LETTER * size / 72 + 0.08
        _name_beside(ax, clusters, n, beyond, outward=1 if orientation == "left" else -1)
    elif clusters is not None:
        legend_below(ax, clusters)
    return ax


def _name_beside(ax: Axes, clusters: Clusters, n: int, beyond: float, outward: int) -> None:
    """The clusters' names beside the labels, with a bar over the classes of each; in inches from the tips."""
    across, height = figure_of(ax).get_size_inches()
    box = ax.get_position()
    wide, tall = box.width * across, box.height * height
    edge = 1.0 if outward > 0 else 0.0

    def x(inches_out: float) -> float:
        return float(edge + outward * inches_out / wide)

    place = ax.get_yaxis_transform()
    middles = [(each.first + each.last - 1) / 2 for each in clusters.of]
    least = TINY * LINE / 72 / tall * n
    for each, middle, at in zip(
        clusters.of, middles, spread(middles, least, 0, n - 1), strict=True
    ):
        ends = [each.first - 0.35, each.last - 0.65]
        ax.plot([x(beyond)] * 2, ends, color=each.colour, linewidth=2.2, transform=place,
                solid_capstyle="butt", clip_on=False)  # fmt: skip
        ax.plot([x(beyond + 0.03), x(beyond + 0.13)], [middle, at], color=each.colour, linewidth=0.5,
                transform=place, clip_on=False)  # fmt: skip
        ax.text(x(beyond + 0.15), at, each.shown, size=TINY, color=INK, transform=place,
                va="center", ha="left" if outward > 0 else "right")  # fmt: skip


def _write_support(ax: Axes, nodes: Nodes, orientation: Orientation) -> None:
    """Percentages beside the clades of a small tree, at their stems."""
    lying = orientation in {"left", "right"}
    for i, share in enumerate(nodes.support):
        up = int(nodes.above[i])
        if share is None or up < 0 or nodes.size[i] == 1:
            continue
        spot = (nodes.height[i], nodes.at[i]) if lying else (nodes.at[i], nodes.height[i])
        # beside the fork, between its branches
        side = {"left": (2, 0), "right": (-2, 0), "top": (0, -2), "bottom": (0, 2)}[orientation]
        ax.annotate(
            f"{100 * share:.0f}",
            spot,
            xytext=side,
            textcoords="offset points",
            ha={"left": "left", "right": "right"}.get(orientation, "center"),
            va={"top": "top", "bottom": "bottom"}.get(orientation, "center"),
            size=TINY - 1.5,
            color=INK,
            bbox={"boxstyle": "square,pad=0.05", "facecolor": "white", "linewidth": 0},
        )
