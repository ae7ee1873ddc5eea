"""Cutting a tree into clusters, and what each cluster is like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MOST_SEARCHED = 2_000  # clusters, in the search for the largest silhouette
_ROUNDING = 1e-9  # of a height, relative
_SLACK = 1e-6  # of sums of cosines in single precision that are equal but for rounding


@dataclass(frozen=True)
class Cut:
    """The cluster of each leaf (n,), numbered from 0 in leaf order, and the node over each (k,).

    ``tie`` is the height of a merge that was undone though another of the same height was not.
    """

    clusters: NDArray[np.int64]
    nodes: NDArray[np.int64]
    tie: float | None = None

    @property
    def count(self) -> int:
        return int(self.clusters.max()) + 1


def cut_by_number(Z: NDArray[np.float64], order: NDArray[np.int64], k: int) -> Cut:
    """``k`` clusters, from 1 to n: the last k-1 merges undone."""
    merged = len(Z) + 1 - k
    tie = None
    if 0 < merged < len(Z) and np.isclose(Z[merged - 1, 2], Z[merged, 2], rtol=_ROUNDING, atol=0):
        tie = float(Z[merged, 2])
    return Cut(*_numbered(_members(Z, np.arange(len(Z)) < merged), order), tie)


def cut_by_height(Z: NDArray[np.float64], order: NDArray[np.int64], height: float) -> Cut:
    """The clusters that merges at up to ``height`` have made, with no higher one inside."""
    n = len(Z) + 1
    highest = np.zeros(
        2 * n - 1
    )  # of the merges under a node: centroids may be joined lower than before
    for step, (left, right, own, _) in enumerate(Z.tolist()):
        highest[n + step] = max(own, highest[int(left)], highest[int(right)])
    return Cut(*_numbered(_members(Z, highest[n:] <= height * (1 + _ROUNDING)), order))


def cut_by_silhouette(
    Z: NDArray[np.float64], order: NDArray[np.int64], D: NDArray[np.floating]
) -> tuple[Cut, NDArray[np.float64]]:
    """The cut into 2 to n-1 clusters (at most 2,000) with the largest mean silhouette over distances D
    (n×n), and that of each number of clusters from 2 on; the fewest among equals.

    Rousseeuw 1987, J. Comput. Appl. Math. 20: (b-a)/max(a, b) of a leaf, a its mean distance from its
    own cluster, b from the nearest other; 0 for a leaf by itself.
    """
    n = len(Z) + 1
    most = min(n - 1, _MOST_SEARCHED)
    clusters = cut_by_number(Z, order, most).clusters
    sums = _sums(D, clusters)
    sizes = np.bincount(clusters).astype(np.float64)
    found = np.empty(most - 1)
    nodes = _nodes_at(Z, most, clusters)
    for k in range(most, 1, -1):
        found[k - 2] = _silhouettes(sums, sizes, clusters).mean()
        step = n - k
        left, right = (nodes.pop(int(node)) for node in Z[step, :2])
        # the one takes the other's place; the last column takes the place that is free
        sums[:, left] += sums[:, right]
        sizes[left] += sizes[right]
        clusters = np.where(clusters == right, left, clusters)
        nodes[n + step] = left
        last = k - 1
        if right != last:
            sums[:, right], sizes[right] = sums[:, last], sizes[last]
            clusters = np.where(clusters == last, right, clusters)
            nodes = {node: right if place == last else place for node, place in nodes.items()}
        sums, sizes = sums[:, :last], sizes[:last]
    best = int(np.flatnonzero(found >= found.max() - _ROUNDING)[0]) + 2
    return cut_by_number(Z, order, best), found


def silhouettes(D: NDArray[np.floating], clusters: NDArray[np.int64]) -> NDArray[np.float64]:
    """The silhouette of each leaf (n,) in [-1, 1], from distances D (n×n); 0 where it is by itself.

    NaN where all are one cluster.
    """
    if clusters.max() == 0:
        return np.full(len(clusters), np.nan)
    return _silhouettes(_sums(D, clusters), np.bincount(clusters).astype(np.float64), clusters)


@dataclass(frozen=True)
class Described:
    """Of each cluster (k,): its medoid (the leaf most like the others of it), the mean cosine of its
    pairs (NaN where it has none), the other cluster most like it by the mean cosine of pairs between the
    two, and that mean (-1 and NaN where there is no other)."""

    medoid: NDArray[np.int64]
    similarity: NDArray[np.float64]
    nearest: NDArray[np.int64]
    nearest_similarity: NDArray[np.float64]


def described(cosine: NDArray[np.floating], clusters: NDArray[np.int64]) -> Described:
    """What the clusters of n leaves are like, by the cosines of all leaves (n×n)."""
    sums = _sums(cosine, clusters)
    n, k = sums.shape
    own = sums[np.arange(n), clusters] - np.diag(cosine)
    medoid = np.asarray(
        [
            (members := np.flatnonzero(clusters == c))[
                np.argmax(own[members] >= own[members].max() - _SLACK)
            ]
            for c in range(k)
        ]
    )
    between = np.zeros((k, k))
    np.add.at(between, clusters, sums)
    sizes = np.bincount(clusters).astype(np.float64)
    pairs = sizes * (sizes - 1)
    inner = np.bincount(clusters, weights=own)
    similarity = np.divide(inner, pairs, out=np.full(k, np.nan), where=pairs > 0)
    means = between / np.outer(sizes, sizes)
    np.fill_diagonal(means, -np.inf)
    nearest = np.argmax(means, axis=1) if k > 1 else np.array([-1])
    nearest_similarity = means.max(axis=1) if k > 1 else np.array([np.nan])
    return Described(medoid, similarity, nearest, nearest_similarity)


def _members(Z: NDArray[np.float64], done: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The topmost node over each leaf (n,) where only these merges are done.

    A merge whose children are not done is not done itself.
    """
    n = len(Z) + 1
    above = list(range(2 * n - 1))
    for step in range(len(Z) - 1, -1, -1):
        node = n + step
        if done[step]:
            above[int(Z[step, 0])] = above[int(Z[step, 1])] = above[node]
    return np.asarray(above[:n], dtype=np.int64)


def _numbered(
    groups: NDArray[np.int64], order: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Groups numbered from 0 as they first come in ``order``, and what each was called."""
    called, first, inverse = np.unique(groups[order], return_index=True, return_inverse=True)
    by_place = np.argsort(first)
    rank = np.argsort(by_place)
    found = np.empty(len(groups), dtype=np.int64)
    found[order] = rank[inverse]
    return found, called[by_place]


def _sums(values: NDArray[np.floating], clusters: NDArray[np.int64]) -> NDArray[np.float64]:
    """The sum of each row's values over each cluster (n×k)."""
    indicator = np.zeros((len(clusters), int(clusters.max()) + 1))
    indicator[np.arange(len(clusters)), clusters] = 1.0
    sums: NDArray[np.float64] = values @ indicator
    return sums


def _nodes_at(Z: NDArray[np.float64], k: int, clusters: NDArray[np.int64]) -> dict[int, int]:
    """The node of each of the k clusters that stand after n-k merges."""
    tops = _members(Z, np.arange(len(Z)) < len(Z) + 1 - k)
    return {int(node): int(cluster) for node, cluster in zip(tops, clusters, strict=True)}


def _silhouettes(
    sums: NDArray[np.float64], sizes: NDArray[np.float64], clusters: NDArray[np.int64]
) -> NDArray[np.float64]:
    leaves = np.arange(len(clusters))
    means = sums / sizes
    own = sizes[clusters]
    a = sums[leaves, clusters] / np.maximum(own - 1, 1)
    means[leaves, clusters] = np.inf
    b = means.min(axis=1)
    larger = np.maximum(a, b)
    found: NDArray[np.float64] = np.zeros(len(a))
    np.divide(b - a, larger, out=found, where=(larger > 0) & (own > 1))
    return found
