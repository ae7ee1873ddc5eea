"""Hierarchical clustering of the classes of one head: distances, linkage, leaf order.

The linkage is scipy's (Müllner 2011, arXiv:1109.2378, for the algorithms).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from classrel_db.maths.geometry import square
from classrel_db.maths.normalize import row_blocks
from classrel_db.maths.similarity import unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from classrel_db.maths.trees.tree import Tree
    from classrel_db.records import Linkage, TreeDistance

EUCLIDEAN_METHODS = frozenset({"ward", "centroid", "median"})
MOST_OPTIMAL = 2_000  # leaves up to which the best order is searched: time grows with the cube
_GRID = 4096.0  # of which 2^-40 is a unit in the last place, which rounding does not reach


def distances(rows: NDArray[np.floating], distance: TreeDistance) -> NDArray[np.float64]:
    """The distances of every two rows (n×D) as (N,), N = n(n-1)/2, by the first and then the second.

    ``chord`` sqrt(2-2cos), of the rows scaled to unit length; ``euclidean`` of the rows as they are;
    ``condensed`` (1-cos)/2 less its minimum; ``profile`` the Euclidean distance of two rows of the
    square matrix (1-cos)/2, which is what the published code of the method gives to Ward. None of
    them depends on the order of the rows or on blocks.
    """
    if distance == "profile":
        return _euclidean(_dissimilarities(unit(rows)))
    if distance == "euclidean":
        return _euclidean(np.asarray(rows, dtype=np.float64))
    found = _products(unit(rows))
    found *= -2 if distance == "chord" else -0.5
    found += 2 if distance == "chord" else 0.5
    np.maximum(found, 0.0, out=found)
    if distance == "chord":
        return np.sqrt(found, out=found)
    found -= found.min()
    return found


def is_euclidean(distance: TreeDistance) -> bool:
    """Whether there are points in space with these distances, which Ward's method takes for granted."""
    return distance != "condensed"


def link(condensed: NDArray[np.float64], method: Linkage) -> NDArray[np.float64]:
    """The linkage matrix ((n-1)×4: two nodes, the smaller first, height, size) of distances (N,)."""
    from scipy.cluster import hierarchy

    Z: NDArray[np.float64] = hierarchy.linkage(condensed, method)
    return Z


def relabelled(Z: NDArray[np.float64], leaves: NDArray[np.int64]) -> NDArray[np.float64]:
    """The same tree where leaf i is called ``leaves[i]`` (n,)."""
    n = len(leaves)
    names = np.concatenate([leaves, np.arange(n, 2 * n - 1)]).astype(np.float64)
    found = Z.copy()
    found[:, :2] = np.sort(names[Z[:, :2].astype(np.int64)], axis=1)
    return found


def optimal_order(Z: NDArray[np.float64], condensed: NDArray[np.float64]) -> NDArray[np.int64]:
    """The leaves (n,) in the order with the smallest sum of distances of neighbours.

    Bar-Joseph, Gifford & Jaakkola 2001, Bioinformatics 17. Not scipy's, which often misses it:
    github.com/scipy/scipy/issues/11227.
    """
    n = len(Z) + 1
    D = square(condensed, n, diagonal=0.0)
    sides = [(int(left), int(right)) for left, right in Z[:, :2]]
    leaves = [np.asarray([leaf]) for leaf in range(n)]
    leaves += [np.empty(0, dtype=np.int64)] * len(sides)
    # the least sum from a leaf through all others of the lowest node over both to another leaf
    best = np.zeros((n, n))

    def ends(node: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Leaves with which an order of the node may begin, and those with which it may then end."""
        if node < n:
            return [(leaves[node], leaves[node])]
        left, right = sides[node - n]
        return [(leaves[left], leaves[right]), (leaves[right], leaves[left])]

    for step, (left, right) in enumerate(sides):
        leaves[n + step] = np.concatenate([leaves[left], leaves[right]])
        for first, last in ends(left):
            across = _least_sums(best[np.ix_(first, last)], D[np.ix_(last, leaves[right])])
            for start, end in ends(right):
                which = np.isin(leaves[right], start)
                sums = _least_sums(across[:, which], best[np.ix_(leaves[right][which], end)])
                best[np.ix_(first, end)] = sums
                best[np.ix_(end, first)] = sums.T
    found = np.empty(n, dtype=np.int64)
    begins, stops = (leaves[side] for side in sides[-1])
    sums = best[np.ix_(begins, stops)]
    row, column = np.unravel_index(np.argmin(sums), sums.shape)
    waiting = [(2 * n - 2, 0, int(begins[row]), int(stops[column]))]
    while waiting:
        node, place, begin, stop = waiting.pop()
        if node < n:
            found[place] = node
            continue
        left, right = sides[node - n]
        if begin not in leaves[left]:
            left, right = right, left
        last = next(other for some, other in ends(left) if begin in some)
        next_ = next(other for some, other in ends(right) if stop in some)
        sums = best[begin, last][:, None] + D[np.ix_(last, next_)] + best[next_, stop][None, :]
        row, column = np.unravel_index(np.argmin(sums), sums.shape)
        waiting.append((left, place, begin, int(last[row])))
        waiting.append((right, place + len(leaves[left]), int(next_[column]), stop))
    return found


def _least_sums(A: NDArray[np.float64], B: NDArray[np.float64]) -> NDArray[np.float64]:
    """The least A[i, k] + B[k, j] over k, of each i and j."""
    rows, inner, columns = len(A), len(B), B.shape[1]
    if inner <= min(rows, columns):
        found: NDArray[np.float64] = A[:, 0, None] + B[0]
        for k in range(1, inner):
            np.minimum(found, A[:, k, None] + B[k], out=found)
        return found
    if columns <= rows:
        return np.stack([(A + B[:, j]).min(axis=1) for j in range(columns)], axis=1)
    return np.stack([(A[i, :, None] + B).min(axis=0) for i in range(rows)])


def projected_order(tree: Tree, rows: NDArray[np.floating]) -> NDArray[np.int64]:
    """The leaves (n,) so that at each node the child comes first that lies lower on the axis along
    which the unit rows (n×D) vary most.

    In linear time: for trees too large for :func:`optimal_order`.
    """
    U = unit(rows)
    U -= U.mean(axis=0)
    axis = np.linalg.eigh(U.T @ U)[1][:, -1]
    # of the two directions of an axis, the same one each time
    axis *= np.sign(axis[np.argmax(np.abs(axis))])
    on_axis = (U @ axis).tolist()
    sums = on_axis + [0.0] * (len(tree.parent) - tree.n)
    counts = [1] * tree.n + [0] * (len(tree.parent) - tree.n)
    for node in range(tree.n, len(tree.parent)):
        for child in tree.children[node]:
            sums[node] += sums[child]
            counts[node] += counts[child]
    turned = [
        sorted(children, key=lambda child: sums[child] / counts[child])
        for children in tree.children
    ]
    return tree.walked(turned)


def _dissimilarities(U: NDArray[np.float64]) -> NDArray[np.float64]:
    """(1-cos)/2 of all unit rows with all (n×n), 0 on the diagonal."""
    cosine = _snapped(U @ U.T)
    found: NDArray[np.float64] = np.clip((1 - cosine) / 2, 0.0, 1.0)
    np.fill_diagonal(found, 0.0)
    return found


def _euclidean(X: NDArray[np.float64]) -> NDArray[np.float64]:
    """The Euclidean distances of the rows of X (n×D) as (N,)."""
    X = X - X.mean(axis=0)  # shorter rows lose less to rounding
    squares = np.einsum("ij,ij->i", X, X)
    scale = float(squares.max(initial=0.0))
    found = _products(X, scale)
    found *= -2
    n, start = len(X), 0
    for row in range(n - 1):
        found[start : start + n - row - 1] += squares[row] + squares[row + 1 :]
        start += n - row - 1
    # equal ones stay equal whatever the order of the rows, and what is left of equal rows is 0
    found = np.maximum(_snapped(found, 8 * scale), 0.0)
    return np.sqrt(found, out=found)


def _products(X: NDArray[np.float64], scale: float = 1.0) -> NDArray[np.float64]:
    """The inner products, of about ``scale`` at most, of every two rows as (N,)."""
    n = len(X)
    found = np.empty(n * (n - 1) // 2)
    start = 0
    for block in row_blocks(n, n, 64 << 20):
        products = _snapped(X[block] @ X[block.start :].T, scale)
        for number, row in enumerate(products):
            length = n - (block.start + number) - 1
            found[start : start + length] = row[number + 1 :]
            start += length
    return found


def _snapped(products: NDArray[np.float64], scale: float = 1.0) -> NDArray[np.float64]:
    """Products of about ``scale`` at most, the same in whatever blocks they were computed."""
    grid = _GRID * 2.0 ** np.ceil(np.log2(scale)) if scale > 0 else _GRID
    products += grid
    products -= grid
    return products
