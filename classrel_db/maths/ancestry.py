"""Classes in a taxonomy: how far apart they stand in it, and what a tree or neighbours keep of it.

Matrix letters: n classes, T taxa. A taxonomy is a directed acyclic graph: a taxon may stand under
several.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from classrel_db.maths.resample import p_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from classrel_db.maths.trees.tree import Tree


class Ancestry:
    """The taxa over n classes.

    ``parents`` (T,) lists for each taxon those it stands under, with the lengths of the branches;
    ``depth`` (T,) is its number of edges below the root by the longest way, so that it is deeper than its
    parents; ``taxon`` (n,) is that of each class, -1 where it has none: such a class is nobody's member,
    and infinitely far from the others.
    """

    def __init__(
        self,
        parents: Sequence[Sequence[tuple[int, float]]],
        depth: NDArray[np.int64],
        taxon: NDArray[np.int64],
    ) -> None:
        self.depth = depth
        self.taxon = taxon
        self.n = len(taxon)
        of_taxon: dict[int, tuple[dict[int, int], dict[int, float]]] = {}
        edges: list[tuple[list[int], list[int]]] = [([], []) for _ in depth]
        lengths: list[list[float]] = [[] for _ in depth]
        for number, own in enumerate(taxon.tolist()):
            if own < 0:
                continue
            if own not in of_taxon:
                of_taxon[own] = _above(own, parents)
            steps, ways = of_taxon[own]
            for other, distance in steps.items():
                edges[other][0].append(number)
                edges[other][1].append(distance)
                lengths[other].append(ways[other])
        self._members = [np.asarray(members, dtype=np.int64) for members, _ in edges]
        self._edges = [np.asarray(found, dtype=np.float64) for _, found in edges]
        self._lengths = [np.asarray(found, dtype=np.float64) for found in lengths]

    def members(self, taxon: int) -> NDArray[np.int64]:
        """The classes under a taxon, or that are it, rising."""
        return self._members[taxon]

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """The number of classes under each taxon (T,)."""
        return np.asarray([len(members) for members in self._members], dtype=np.int64)

    @cached_property
    def path(self) -> NDArray[np.float64]:
        """The length of the shortest way between every two classes, up and down again (n×n)."""
        found = np.full((self.n, self.n), np.inf)
        for members, lengths in zip(self._members, self._lengths, strict=True):
            block = np.ix_(members, members)
            found[block] = np.minimum(found[block], lengths[:, None] + lengths[None, :])
        np.fill_diagonal(found, 0.0)
        return found

    @cached_property
    def wu_palmer(self) -> NDArray[np.float64]:
        """2·d / (a + b + 2·d) of every two classes (n×n), in (0, 1].

        d is the depth of a common ancestor, counted in taxa from the root, a and b the edges up to
        it; the largest over all common ancestors (Wu & Palmer 1994, ACL).
        """
        found = np.zeros((self.n, self.n))
        for depth, members, edges in zip(self.depth, self._members, self._edges, strict=True):
            block = np.ix_(members, members)
            twice = 2.0 * (depth + 1)
            found[block] = np.maximum(
                found[block], twice / (edges[:, None] + edges[None, :] + twice)
            )
        np.fill_diagonal(found, 1.0)
        return found

    @cached_property
    def common_depth(self) -> NDArray[np.float64]:
        """The depth of the lowest common ancestor of every two classes (n×n), in edges from the root."""
        found = np.zeros((self.n, self.n))
        for taxon in np.argsort(self.depth, kind="stable"):
            members = self._members[taxon]
            found[np.ix_(members, members)] = self.depth[taxon]
        return found

    def common(self, a: int, b: int) -> int:
        """The lowest common ancestor of two classes: the deepest; of such the nearest, then the first."""
        candidates = []
        for taxon, (members, edges) in enumerate(zip(self._members, self._edges, strict=True)):
            places = np.searchsorted(members, [a, b])
            if (places < len(members)).all() and (members[places] == [a, b]).all():
                candidates.append((-self.depth[taxon], edges[places].sum(), taxon))
        return min(candidates)[2]

    @cached_property
    def telling(self) -> NDArray[np.int64]:
        """The taxa of two classes or more, but not all; of those over the same classes the lowest."""
        lowest: dict[bytes, int] = {}
        for taxon in np.argsort(self.depth, kind="stable")[::-1]:
            if 1 < self.sizes[taxon] < self.n:
                lowest.setdefault(self._members[taxon].tobytes(), int(taxon))
        return np.asarray(sorted(lowest.values()), dtype=np.int64)


def _above(
    start: int, parents: Sequence[Sequence[tuple[int, float]]]
) -> tuple[dict[int, int], dict[int, float]]:
    """The taxa above one, and itself: the fewest edges to each, and the shortest way."""
    steps, ways = {start: 0}, {start: 0.0}
    waiting = [start]
    while waiting:
        later = []
        for taxon in waiting:
            for parent, length in parents[taxon]:
                fewer = steps[taxon] + 1 < steps.get(parent, len(parents) + 1)
                shorter = ways[taxon] + length < ways.get(parent, np.inf)
                if fewer:
                    steps[parent] = steps[taxon] + 1
                if shorter:
                    ways[parent] = ways[taxon] + length
                if fewer or shorter:
                    later.append(parent)
        waiting = later
    return steps, ways


@dataclass(frozen=True)
class Fit:
    """The taxon that fits each node of a tree best (m,), -1 where none does: F1 = 2·|T∩S| / (|T|+|S|),
    and how many of the node's classes are of it (``shared``)."""

    taxon: NDArray[np.int64]
    f1: NDArray[np.float64]
    shared: NDArray[np.int64]


def best_taxa(ancestry: Ancestry, tree: Tree) -> Fit:
    """Which taxon fits the classes under each node of a tree of the n classes best.

    Of equal ones the smallest, then the deepest, then the first. A leaf is its class's own taxon;
    other nodes are held against taxa of two classes or more. A node fewer than half of whose classes
    are in the taxonomy has none.
    """
    m = len(tree.parent)
    best = np.full(m, -1, dtype=np.int64)
    best[: tree.n] = ancestry.taxon
    f1 = np.zeros(m)
    f1[: tree.n] = ancestry.taxon >= 0
    shared = np.zeros(m, dtype=np.int64)
    shared[: tree.n] = ancestry.taxon >= 0
    counts = _Counts(tree)
    for taxon in np.lexsort((-ancestry.depth, ancestry.sizes)):
        members = ancestry.members(int(taxon))
        if len(members) < 2:
            continue
        inside, fits = counts.of(members)
        better = np.flatnonzero(fits > f1[tree.n :]) + tree.n
        best[better] = taxon
        f1[better], shared[better] = fits[better - tree.n], inside[better - tree.n]
    known, _ = counts.of(np.flatnonzero(ancestry.taxon >= 0))
    strange = np.flatnonzero(2 * known < tree.sizes[tree.n :]) + tree.n
    best[strange], f1[strange], shared[strange] = -1, 0.0, 0
    return Fit(best, f1, shared)


class _Counts:
    """How many of some classes stand under each inner node of a tree."""

    def __init__(self, tree: Tree) -> None:
        self._place = np.empty(tree.n, dtype=np.int64)
        self._place[tree.order] = np.arange(tree.n)
        self._spans = tree.spans[tree.n :]
        self._sizes = tree.sizes[tree.n :]
        self._n = tree.n

    def of(self, members: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """(how many of the members are under each inner node, the F1 of the two sets)."""
        before = np.zeros(self._n + 1, dtype=np.int64)
        before[self._place[members] + 1] = 1
        before = before.cumsum()
        shared = before[self._spans[:, 1]] - before[self._spans[:, 0]]
        return shared, 2 * shared / (self._sizes + len(members))


def kept_together(
    ancestry: Ancestry, taxa: NDArray[np.int64], tree: Tree
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """How a tree of the n classes treats each of ``taxa``: (the node of the clade that fits it best, its
    F1, the size of the smallest clade over all its classes). The taxon is monophyletic where F1 is 1.
    """
    counts = _Counts(tree)
    sizes = tree.sizes[tree.n :]
    node = np.empty(len(taxa), dtype=np.int64)
    f1 = np.empty(len(taxa))
    over = np.empty(len(taxa), dtype=np.int64)
    by_size = np.argsort(sizes, kind="stable")
    for number, taxon in enumerate(taxa):
        members = ancestry.members(int(taxon))
        shared, fits = counts.of(members)
        best = by_size[np.argmax(fits[by_size])]
        node[number], f1[number] = tree.n + best, fits[best]
        over[number] = sizes[shared == len(members)].min()
    return node, f1, over


def neighbor_purity(
    nearest: NDArray[np.int32], same: NDArray[np.bool_], orders: NDArray[np.int32]
) -> tuple[float, float, float, float | None]:
    """Whether the ``nearest`` of each class (n×k) are of its group, which ``same`` (n×n) says.

    Over the classes that have another of their group: the mean share of the k that are of it; what it
    would be for neighbours by chance, the share among all other classes; what it can be at most, where
    groups are smaller than k; and p over ``orders`` (B×n) in which the classes are permuted, or None.
    """
    n, k = nearest.shape
    kin = same.sum(axis=1) - np.diag(same)
    some = int((kin > 0).sum())
    found = np.take_along_axis(same, nearest.astype(np.int64), axis=1).sum()
    purity = float(found / (k * some))
    chance = float(kin.sum() / ((n - 1) * some))
    most = float(np.minimum(kin, k).sum() / (k * some))
    if not len(orders):
        return purity, chance, most, None
    null = np.asarray([same[order[:, None], order[nearest]].sum() for order in orders])
    return purity, chance, most, p_value(null.astype(np.float64), float(found))
