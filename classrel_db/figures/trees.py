"""The tree of a model's classes: round, with a ring and names, or with its root at a side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.lines import Line2D

from classrel_db.errors import ArgumentError
from classrel_db.figures.layout import (
    ORIENTATIONS,
    Clusters,
    Nodes,
    Orientation,
    among,
    circular,
    clusters_of,
    polar,
    rectangular,
)
from classrel_db.figures.lettering import (
    LINE,
    SMALL,
    TINY,
    Letters,
    fitted,
    spread,
    widest,
)
from classrel_db.figures.lettering import width as lettering_width
from classrel_db.figures.style import (
    INK,
    TALLEST,
    Drawn,
    Legend,
    Sheet,
    drawing,
    figure_of,
    inches,
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
_ASIDE = 0.24  # of the width, that the names of clusters may take at one side
_GAP = 2  # leaves that the gap at the top takes
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
        of_classes = int(nodes.node[0]) == 2 * n - 2  # else its leaves are clusters themselves
        clusters = min(24, n) if whole and n > 3 and of_classes else 0
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
    numbers = support and not circle and len(nodes.leaves) <= _MOST_NUMBERS
    if circle:
        title += f"; {how}, root in the middle"
    if numbers:
        title += f"; at forks: % of {resamples:,} resamples"
    labels = nodes.labels()
    with drawing(labels, [each.name for each in found.of] if found else [], [title]):
        if circle:
            axis = _round(nodes, labels, found, width, ax, title)
        else:
            axis = _upright(nodes, labels, found, orientation, width, ax, title, f"height, {how}")
        if numbers:
            _write_support(axis, nodes, orientation)
    return Drawn(figure_of(axis), (axis,), lambda: data)


def _round(
    nodes: Nodes,
    labels: Sequence[str],
    clusters: Clusters | None,
    width: str | float | None,
    ax: Axes | None,
    title: str,
) -> Axes:
    from matplotlib.collections import PolyCollection

    n = len(labels)
    if ax is None:
        wide = side = inches(width or "page")
    else:
        box, (across, tall) = ax.get_position(), figure_of(ax).get_size_inches()
        wide = box.width * across
        side = min(wide, box.height * tall)
    reach = _reach(clusters, n, wide, side)
    # the labels' size follows from the radius, and the radius from the labels' length
    full = widest(labels)
    size = TINY
    for _ in range(8):
        room = min(full * size / TINY, 0.45 * reach)
        radius = (reach - room) / (_RING[1] + 0.012)
        size = min(TINY, 2 * np.pi * radius * _RING[1] * 72 / ((n + _GAP) * LINE))
    outside = reach / radius  # where the names begin, in radii
    high = side
    if ax is None:
        high = 2 * reach + 0.2
        sheet = Sheet(wide * 25.4, high, title)
        ax = sheet.axes(0, 0, wide, high)
    else:
        ax.set_aspect("equal")
        ax.set_title(title)
    ax.set(
        xlim=(-wide / 2 / radius, wide / 2 / radius), ylim=(-high / 2 / radius, high / 2 / radius)
    )
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
        _name_around(ax, clusters, n, outside, radius, _ASIDE * wide)
    start = _RING[1] + 0.012
    letters = Letters(size)
    for angle, label in zip(polar(np.arange(n), n).tolist(), labels, strict=True):
        left = np.cos(angle) < 0
        ax.text(
            start * np.cos(angle),
            start * np.sin(angle),
            fitted(label, room + 1e-6, size),
            fontproperties=letters,
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
        room = wide / 2 - lettering_width(fitted(each.shown, _ASIDE * wide)) - 0.16
        along = np.sqrt(max(1 - (y / reach) ** 2, 0.05))
        reach = min(reach, max(room / along, side * 0.2))
    return float(reach)


def _name_around(
    ax: Axes, clusters: Clusters, n: int, outside: float, radius: float, room: float
) -> None:
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
            fitted(each.shown, room),
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
    title: str,
    scale: str,
) -> Axes:
    n = len(labels)
    lying = orientation in {"left", "right"}
    own = ax is None
    letters = widest(labels)
    across = inches(width or ("page" if clusters or not lying else "column"))
    aside = _ASIDE * across
    names = 0.05
    if clusters:
        names = widest([fitted(each.shown, aside) for each in clusters.of]) + 0.25
    if ax is None:
        full = n * TINY * LINE / 72  # what labels of full size take
        if lying:
            along = min(full, _TALLEST - 0.85)
            size = TINY * along / full
            room = min(letters * size / TINY, max(0.65 * across - names, 0.2 * across))
            sheet = Sheet(across * 25.4, along + 0.55, title)
            beyond = room + 0.05 + names
            left = 0.12 if orientation == "left" else beyond
            ax = sheet.axes(left, 0.45, across - beyond - 0.12, along)
        else:
            along = across - 0.55
            size = TINY * min(1.0, along / full)
            room = min(letters * size / TINY, 2.5)
            legend = _legend(clusters, across)
            low = legend.height + (room + 0.1 if orientation == "top" else 0.1)
            sheet = Sheet(
                across * 25.4, low + 2.6 + (room if orientation == "bottom" else 0), title
            )
            ax = sheet.axes(across - along - 0.1, low, along, 2.5)
            legend.draw(sheet.figure)
    else:
        box, (across, tall) = ax.get_position(), figure_of(ax).get_size_inches()
        along = box.height * tall if lying else box.width * across
        size = min(TINY, along / n * 72 / LINE)
        room = 1.5
        ax.set_title(title)
    shown = [fitted(label, room + 1e-6, size) for label in labels]
    rectangular(
        ax, nodes, clusters, orientation, labels=shown, size=size, line=0.3 if n > 200 else 0.7
    )
    for side in ax.spines.values():
        side.set_visible(False)
    ax.spines["bottom" if lying else "left"].set_visible(True)
    if lying:
        wide = ax.get_position().width * across
        ax.locator_params(axis="x", nbins=max(2, min(5, int(wide / 0.4))))
        ax.set_xlabel(
            fitted(scale, across - 0.3, SMALL), loc="left" if orientation == "left" else "right"
        )
    else:
        ax.locator_params(axis="y", nbins=5)
        ax.set_ylabel(scale)
    if clusters is not None and lying:
        beyond = widest(shown, size) + 0.08
        _name_beside(ax, clusters, n, beyond, aside, outward=1 if orientation == "left" else -1)
    elif clusters is not None and not own:
        paint = [Line2D([], [], color=e.colour, label=e.shown) for e in clusters.of]
        ax.legend(handles=paint)
    return ax


def _legend(clusters: Clusters | None, across: float) -> Legend:
    of = clusters.of if clusters else []
    return Legend([each.shown for each in of], [each.colour for each in of], across)


def _name_beside(
    ax: Axes, clusters: Clusters, n: int, beyond: float, room: float, outward: int
) -> None:
    """The clusters' names beside the labels, with a bar over the classes of each: ``beyond`` and ``room`` in
    inches."""
    across, tall = figure_of(ax).get_size_inches()
    box = ax.get_position()
    wide, high = box.width * across, box.height * tall
    edge = 1.0 if outward > 0 else 0.0

    def x(inches_out: float) -> float:
        return float(edge + outward * inches_out / wide)

    place = ax.get_yaxis_transform()
    middles = [(each.first + each.last - 1) / 2 for each in clusters.of]
    size = min(TINY, high / len(clusters.of) * 72 / LINE)
    least = size * LINE / 72 / high * n
    for each, middle, at in zip(
        clusters.of, middles, spread(middles, least, 0, n - 1), strict=True
    ):
        ends = [each.first - 0.35, each.last - 0.65]
        ax.plot([x(beyond)] * 2, ends, color=each.colour, linewidth=2.2, transform=place,
                solid_capstyle="butt", clip_on=False)  # fmt: skip
        ax.plot([x(beyond + 0.03), x(beyond + 0.1)], [middle, at], color=each.colour, linewidth=0.5,
                transform=place, clip_on=False)  # fmt: skip
        ax.text(
            x(beyond + 0.12),
            at,
            fitted(each.shown, room),
            fontproperties=Letters(size),
            color=INK,
            transform=place,
            va="center",
            ha="left" if outward > 0 else "right",
        )


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
