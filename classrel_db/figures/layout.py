"""Where the branches of a tree are drawn: in a rectangle or a circle, coloured by clusters."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from classrel_db.figures.lettering import TINY, Letters, shortened
from classrel_db.figures.style import GREY, colours

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from duckdb import DuckDBPyRelation
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike, NDArray

    from classrel_db.catalog import Catalog
    from classrel_db.records import Linkage, TreeDistance

Orientation = Literal["left", "right", "top", "bottom"]
ORIENTATIONS: tuple[Orientation, ...] = ("left", "right", "top", "bottom")
_STEP = np.pi / 120  # of an arc, between its points


@dataclass(frozen=True)
class Cluster:
    """A clade with a colour: the drawn leaves from ``first`` up to ``last`` (exclusive) are in it."""

    node: int
    name: str
    size: int
    first: int
    last: int
    colour: str

    @property
    def shown(self) -> str:
        name = shortened(self.name, 24)
        return name if self.size == 1 else f"{name} ({self.size:,})"


@dataclass(frozen=True)
class Clusters:
    """Clades that together have all leaves, in their order."""

    of: Sequence[Cluster]


@dataclass(frozen=True)
class Nodes:
    """The nodes of a tree as ``Catalog.tree`` answers with them, or of a part of one.

    All (m,), in the order of their places; ``above`` is the index of the parent among them, -1 at the
    top, ``at`` where a node stands across the tree: the drawn leaves at 0, 1, 2 …, the others in the
    middle of their branches. ``leaves`` are the indices of the drawn leaves, which may be clades.
    """

    node: NDArray[np.int64]
    above: NDArray[np.int64]
    height: NDArray[np.float64]
    size: NDArray[np.int64]
    place: NDArray[np.int64]
    at: NDArray[np.float64]
    leaves: NDArray[np.int64]
    names: Sequence[str | None]
    support: Sequence[float | None]

    @classmethod
    def of(cls, rows: DuckDBPyRelation, model: str | None = None) -> Nodes:
        """Read from the answer of :meth:`~classrel_db.catalog.Catalog.tree`, or those of one ``model``."""
        columns = "model, node, parent, height, size, place, name, support"
        every = rows.project(columns).fetchall()
        found = [row[1:] for row in every if model is None or row[0] == model]
        node, parent, height, size, place, names, support = zip(*found, strict=True)
        index = {each: i for i, each in enumerate(node)}
        above = np.asarray([-1 if each is None else index[each] for each in parent])
        heights = np.asarray([0.0 if each is None else each for each in height])
        inner = np.zeros(len(node), dtype=bool)
        inner[above[above >= 0]] = True
        leaves = np.flatnonzero(~inner)
        at = np.full(len(node), np.nan)
        at[leaves] = np.arange(len(leaves))
        low, high = at.copy(), at.copy()
        # a node stands before those below it: from the last to the first, all of a node's are known
        for i in range(len(node) - 1, 0, -1):
            up = above[i]
            at[i] = (low[i] + high[i]) / 2
            low[up] = np.fmin(low[up], at[i])
            high[up] = np.fmax(high[up], at[i])
        at[0] = (low[0] + high[0]) / 2
        return cls(
            np.asarray(node), above, heights, np.asarray(size), np.asarray(place), at, leaves,
            names, support,
        )  # fmt: skip

    @cached_property
    def children(self) -> list[list[int]]:
        """The indices of the branches of each node, in order; none of a drawn leaf."""
        found: list[list[int]] = [[] for _ in self.node]
        for i, up in enumerate(self.above.tolist()):
            if up >= 0:
                found[up].append(i)
        return found

    def labels(self) -> list[str]:
        """What to call the drawn leaves: a class its label, a clade its name and size."""
        shown = []
        for i in self.leaves.tolist():
            name = shortened(self.names[i] or "clade", 40)
            shown.append(name if self.size[i] == 1 else f"{name} ({self.size[i]:,})")
        return shown

    def painted(self, clusters: Clusters | None) -> list[str]:
        """The colour of each node's branches: of the cluster it is in, grey above them."""
        paint = [GREY] * len(self.node)
        if clusters is None:
            return paint
        own = {each.node: each.colour for each in clusters.of}
        for i, (node, up) in enumerate(zip(self.node.tolist(), self.above.tolist(), strict=True)):
            if node in own:
                paint[i] = own[node]
            elif up >= 0:
                paint[i] = paint[up]
        return paint


def clusters_of(
    catalog: Catalog,
    model: str,
    k: int,
    method: Linkage,
    distance: TreeDistance,
    taxonomy: str,
) -> Clusters:
    """The clusters of a model's classes, in leaf order, each with its colour."""
    rows = catalog.cluster(model, k, method=method, distance=distance, taxonomy=taxonomy)
    found: dict[int, list[Any]] = {}
    for place, (number, name, node) in enumerate(rows.project("cluster, name, node").fetchall()):
        found.setdefault(number, [node, name, place, place])[3] = place + 1
    paint = colours(len(found))
    return Clusters(
        [
            Cluster(node, name, last - first, first, last, colour)
            for (node, name, first, last), colour in zip(found.values(), paint, strict=True)
        ]
    )


def cut(nodes: Nodes, k: int) -> Clusters:
    """The ``k`` topmost clades of a whole tree, by the heights of what joins them."""
    children = nodes.children
    tops = [0]
    while len(tops) < k:
        highest = max((i for i in tops if children[i]), key=lambda i: nodes.height[i], default=None)
        if highest is None:
            break
        tops.remove(highest)
        tops += children[highest]
    tops.sort(key=lambda i: int(nodes.place[i]))
    first = [nodes.names[nodes.leaves[int(nodes.place[i])]] or "" for i in tops]
    given = [nodes.names[i] or label for i, label in zip(tops, first, strict=True)]
    names = [
        f"{name}: {label}" if given.count(name) > 1 and name != label else name
        for name, label in zip(given, first, strict=True)
    ]
    return Clusters(
        [
            Cluster(
                int(nodes.node[i]),
                name,
                int(nodes.size[i]),
                int(nodes.place[i]),
                int(nodes.place[i] + nodes.size[i]),
                colour,
            )
            for i, name, colour in zip(tops, names, colours(len(tops)), strict=True)
        ]
    )


def among(clusters: Clusters, nodes: Nodes) -> Clusters:
    """The clusters by the leaves that are drawn, which may be clades."""
    places = nodes.place[nodes.leaves]
    return Clusters(
        [
            Cluster(
                each.node,
                each.name,
                each.size,
                int(np.searchsorted(places, each.first)),
                int(np.searchsorted(places, each.last)),
                each.colour,
            )
            for each in clusters.of
        ]
    )


def rectangular(
    axis: Axes,
    nodes: Nodes,
    clusters: Clusters | None,
    orientation: Orientation,
    *,
    labels: Sequence[str] | None = None,
    size: float = TINY,
    line: float = 0.6,
) -> None:
    """Draw a tree with its leaves at 0, 1, 2 …; ``orientation`` is where its root is."""
    from matplotlib.collections import LineCollection

    paint = nodes.painted(clusters)
    bends, shades = [], []
    for i, below in enumerate(nodes.children):
        if not below:
            continue
        top = nodes.height[i]
        for child in below:
            bends.append(
                [(nodes.height[child], nodes.at[child]), (top, nodes.at[child]), (top, nodes.at[i])]
            )
            shades.append(paint[child] if clusters else paint[i])
    across = np.asarray(bends, dtype=float).reshape(-1, 3, 2)
    if orientation in {"top", "bottom"}:
        across = across[:, :, ::-1]
    axis.add_collection(
        LineCollection(list(across), colors=shades, linewidths=line, capstyle="round")
    )
    n = len(nodes.leaves)
    tallest = float(nodes.height.max()) or 1.0
    ends = {
        "left": (tallest, 0.0),
        "bottom": (tallest, 0.0),
        "right": (0.0, tallest),
        "top": (0.0, tallest),
    }
    lying = orientation in {"left", "right"}
    # a thin margin, or the line at the root would be cut in half
    low, high = ends[orientation]
    margin = 0.004 * tallest
    limits = (low + margin, high - margin) if low > high else (low - margin, high + margin)
    if lying:
        axis.set_xlim(*limits)
        axis.set_ylim(n - 0.5, -0.5)
    else:
        axis.set_ylim(*limits)
        axis.set_xlim(-0.5, n - 0.5)
    if labels is not None:
        letters = Letters(size)
        if lying:
            axis.yaxis.set_ticks_position("right" if orientation == "left" else "left")
            axis.set_yticks(range(n), labels, fontproperties=letters)
        else:
            axis.xaxis.set_ticks_position("bottom" if orientation == "top" else "top")
            axis.set_xticks(range(n), labels, fontproperties=letters, rotation=90)
        axis.tick_params(axis="y" if lying else "x", length=0, pad=1.5)


def polar(at: ArrayLike, n: int) -> NDArray[np.float64]:
    """The angles of places across a tree of n leaves: clockwise from the top, with a small gap there."""
    gap = 2.0 if n > 3 else 0.0
    return np.pi / 2 - 2 * np.pi * (np.asarray(at, dtype=float) + 0.5 + gap / 2) / (n + gap)


def circular(axis: Axes, nodes: Nodes, clusters: Clusters | None, *, line: float = 0.5) -> None:
    """Draw a tree in the circle of radius 1, its root in the middle and its leaves on the rim."""
    from matplotlib.collections import LineCollection

    paint = nodes.painted(clusters)
    angle = polar(nodes.at, len(nodes.leaves))
    tallest = float(nodes.height.max()) or 1.0
    radius = 1 - nodes.height / tallest
    segments, shades = [], []
    for i, below in enumerate(nodes.children):
        for child in below:
            points = max(2, int(abs(angle[child] - angle[i]) / _STEP) + 2)
            along = np.linspace(angle[i], angle[child], points)
            x = np.concatenate([radius[i] * np.cos(along), [radius[child] * np.cos(angle[child])]])
            y = np.concatenate([radius[i] * np.sin(along), [radius[child] * np.sin(angle[child])]])
            segments.append(np.column_stack([x, y]))
            shades.append(paint[child] if clusters else paint[i])
    axis.add_collection(LineCollection(segments, colors=shades, linewidths=line, capstyle="round"))
