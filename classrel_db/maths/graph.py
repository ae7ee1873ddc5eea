"""The graph of mutual nearest neighbours and its communities: clusters where not all pairs can be had.

Letters: n nodes, m edges, K communities.
"""

from __future__ import annotations

import math
import random
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from classrel_db.maths.ancestry import Fit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from classrel_db.maths.ancestry import Ancestry
    from classrel_db.maths.trees.tree import Tree

_ROUNDS = 10  # of the algorithm: more gain less than a thousandth, and may not end for long
_DRAWING = threading.Lock()  # igraph has one generator of random numbers for the whole process


@dataclass(frozen=True)
class Graph:
    """``edges`` (m×2), the smaller node first, each once and rising, with ``weights`` (m,) above 0."""

    n: int
    edges: NDArray[np.int64]
    weights: NDArray[np.float64]

    @cached_property
    def isolated(self) -> int:
        """How many nodes have no edge."""
        return int((np.bincount(self.edges.reshape(-1), minlength=self.n) == 0).sum())


def mutual_graph(
    n: int, a: NDArray[np.int64], b: NDArray[np.int64], cosine: NDArray[np.float64]
) -> Graph:
    """The graph of n nodes in which each of two is as near as the other's neighbours, with a cosine above 0.

    ``b`` is a neighbour of ``a`` with that ``cosine``: (n·k,) each, no couple twice. A node as near as the
    k-th of the other's neighbours counts as one, though ties kept it out of the list: else, of many equal
    nodes, most would be nobody's.
    """
    least = np.full(n, np.inf)
    np.minimum.at(least, a, cosine)
    mutual = (cosine >= least[b]) & (cosine > 0)
    key = (np.minimum(a, b) * n + np.maximum(a, b))[mutual]
    key, first = np.unique(key, return_index=True)
    return Graph(n, np.stack(np.divmod(key, n), axis=1), cosine[mutual][first])


@dataclass(frozen=True)
class Communities:
    """The community of each node (n,), numbered from 0 as they get smaller, equal ones by their first node.

    ``modularity`` (Newman 2004, Phys. Rev. E 70), of the weighted graph, is None where there is no edge.
    """

    graph: Graph
    of: NDArray[np.int64]
    modularity: float | None

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """How many nodes each has (K,)."""
        return np.bincount(self.of)

    @cached_property
    def strength(self) -> NDArray[np.float64]:
        """The sum of the weights of each node's edges to others of its community (n,)."""
        sides = self.of[self.graph.edges]
        inside = sides[:, 0] == sides[:, 1]
        ends, weights = self.graph.edges[inside], self.graph.weights[inside]
        return np.bincount(ends.reshape(-1), np.repeat(weights, 2), self.graph.n).astype(np.float64)

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """The nodes by community, and in each by falling strength (n,); equal ones by number."""
        return np.lexsort((-self.strength, self.of))

    @property
    def medoids(self) -> NDArray[np.int64]:
        """The strongest node of each (K,)."""
        found: NDArray[np.int64] = self.order[np.cumsum(self.sizes) - self.sizes]
        return found

    @cached_property
    def nearest(self) -> NDArray[np.int64]:
        """The community that each has most to do with (K,): the sum of the weights between the two by the
        size of the other is largest; -1 where no edge leads out."""
        k = len(self.sizes)
        sides = self.of[self.graph.edges]
        out = sides[:, 0] != sides[:, 1]
        both = np.concatenate([sides[out], sides[out][:, ::-1]])
        key, place = np.unique(both[:, 0] * k + both[:, 1], return_inverse=True)
        own, other = np.divmod(key, k)
        sums = np.bincount(place, np.tile(self.graph.weights[out], 2), len(key)) / self.sizes[other]
        found = np.full(k, -1, dtype=np.int64)
        # the last one written stands: the largest, of equal ones the first
        rising = np.lexsort((-other, sums))
        found[own[rising]] = other[rising]
        return found


def communities(graph: Graph, resolution: float, seed: int) -> Communities:
    """The communities of a graph by the Leiden algorithm (Traag, Waltman & van Eck 2019, Sci. Rep. 9:5233).

    By modularity with a ``resolution`` above 0 (Reichardt & Bornholdt 2006, Phys. Rev. E 74). On one thread:
    the same graph and ``seed`` give the same answer. Raises ImportError where igraph is not installed.
    """
    import igraph

    if not len(graph.edges):
        return Communities(graph, np.arange(graph.n), None)
    network = igraph.Graph(n=graph.n, edges=graph.edges)
    with _drawing(seed):
        found = network.community_leiden(
            "modularity", weights=graph.weights, resolution=resolution, n_iterations=_ROUNDS
        )
    of = np.asarray(found.membership, dtype=np.int64)
    modularity = float(network.modularity(found.membership, weights=graph.weights))
    _, first, sizes = np.unique(of, return_index=True, return_counts=True)
    number = np.empty(len(sizes), dtype=np.int64)
    number[np.lexsort((first, -sizes))] = np.arange(len(sizes))
    return Communities(graph, number[of], modularity)


@contextmanager
def _drawing(seed: int) -> Iterator[None]:
    """igraph draws with ``seed``, and with Python's own generator again afterwards."""
    import igraph

    with _DRAWING:
        igraph.set_random_number_generator(random.Random(seed))  # noqa: S311
        try:
            yield
        finally:
            igraph.set_random_number_generator(random)


def mean_cosines(sums: NDArray[np.float64], sizes: NDArray[np.int64]) -> NDArray[np.float64]:
    """The mean cosine of the pairs of each group (K,), NaN of one class, by ``sums`` (K×D) of unit rows."""
    pairs = (sizes * (sizes - 1)).astype(np.float64)
    inner = np.einsum("ij,ij->i", sums, sums) - sizes
    found: NDArray[np.float64] = np.full(len(sizes), math.nan)
    np.divide(inner, pairs, out=found, where=pairs > 0)
    return found


def group_taxa(ancestry: Ancestry, groups: NDArray[np.int64], tree: Tree | None = None) -> Fit:
    """Which taxon fits each group of classes best, as of ``best_taxa``, and each node of a ``tree`` of them.

    ``groups`` (n,) is the group of each class. The nodes of the Fit are the groups, which are the leaves of
    the tree, and then the tree's others. In the time of the taxa over each class, not of taxa × groups.
    """
    k = int(groups.max()) + 1
    sizes = class_spans(np.bincount(groups), tree)
    sizes = sizes[:, 1] - sizes[:, 0]

    def shared_with(members: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The nodes with some of these classes, and how many."""
        touched, shared = np.unique(groups[members], return_counts=True)
        if tree is None:
            return touched, shared
        counts = np.zeros(k, dtype=np.int64)
        counts[touched] = shared
        before = np.concatenate([[0], counts[tree.order].cumsum()])
        inner = before[tree.spans[k:, 1]] - before[tree.spans[k:, 0]]
        above = np.flatnonzero(inner)
        return np.concatenate([touched, above + k]), np.concatenate([shared, inner[above]])

    best, f1 = np.full(len(sizes), -1, dtype=np.int64), np.zeros(len(sizes))
    in_both = np.zeros(len(sizes), dtype=np.int64)
    for taxon in np.lexsort((-ancestry.depth, ancestry.sizes)):
        members = ancestry.members(int(taxon))
        if len(members) < 2:
            continue
        nodes, shared = shared_with(members)
        fits = 2 * shared / (sizes[nodes] + len(members))
        better = (fits > f1[nodes]) & (sizes[nodes] > 1)
        nodes = nodes[better]
        best[nodes], f1[nodes], in_both[nodes] = taxon, fits[better], shared[better]
    known = np.zeros(len(sizes), dtype=np.int64)
    nodes, shared = shared_with(np.flatnonzero(ancestry.taxon >= 0))
    known[nodes] = shared
    strange = 2 * known < sizes
    best[strange], f1[strange], in_both[strange] = -1, 0.0, 0
    alone = np.flatnonzero(sizes[groups] == 1)  # classes: each has its own taxon
    own = ancestry.taxon[alone]
    best[groups[alone]], f1[groups[alone]], in_both[groups[alone]] = own, own >= 0, own >= 0
    return Fit(best, f1, in_both)


def class_spans(sizes: NDArray[np.int64], tree: Tree | None = None) -> NDArray[np.int64]:
    """From which and up to which class each group stands, and each node of a ``tree`` of them (…×2), where
    the groups, of these ``sizes`` (K,), stand one after the other in the tree's order."""
    order = np.arange(len(sizes)) if tree is None else tree.order
    ends = np.concatenate([[0], np.cumsum(sizes[order])])
    spans = np.stack([np.arange(len(sizes)), np.arange(1, len(sizes) + 1)], axis=1)
    found: NDArray[np.int64] = ends[spans if tree is None else tree.spans]
    return found
