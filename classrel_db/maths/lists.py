"""Nearest rows of heads too large for one matrix: block by block, among all rows or the nearest lists.

An inverted file (Jégou, Douze and Schmid 2011, IEEE TPAMI 33:117) parts the rows of a head into lists, each
around a centroid. The neighbours of a class are then searched in the lists near its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from classrel_db.maths.similarity import as_cosine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

QUERIES = 256  # rows that are held against others at a time
CANDIDATES = 8_192  # of those others
_VOTES = 4  # lists that a row names as near to it


class Rows:
    """Normalised rows (C×D float32, perhaps on a disk) with their lengths (C,), as unit rows in parts."""

    def __init__(self, rows: NDArray[np.float32], norms: NDArray[np.float64]) -> None:
        self._rows = rows
        self._norms = norms

    @property
    def shape(self) -> tuple[int, int]:
        n, dim = self._rows.shape
        return n, dim

    def unit(self, indices: NDArray[np.int64] | slice) -> NDArray[np.float64]:
        """The unit rows at these indices (n×D)."""
        part = self._rows[indices].astype(np.float64)
        part /= self._norms[indices, None]
        return part


def nearest_among(
    rows: Rows,
    queries: NDArray[np.int64],
    candidates: NDArray[np.int64],
    k: int,
    step: Callable[[], None],
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The ``k`` of the ``candidates`` (m,) nearest to each of ``queries`` (n,), both indices, the former
    rising and more than k.

    A class is not its own neighbour. By falling cosine and, among equals, rising index, exactly: (indices
    n×k, cosines n×k). ``step`` is called between blocks.
    """
    wanted = rows.unit(queries)
    found = np.empty((len(queries), 0), dtype=np.int64)
    falling = np.empty((len(queries), 0), dtype=np.float32)
    for start in range(0, len(candidates), CANDIDATES):
        step()
        ids = candidates[start : start + CANDIDATES]
        block = -as_cosine(wanted @ rows.unit(ids).T)
        own = np.searchsorted(ids, queries)
        inside = np.flatnonzero(ids[np.minimum(own, len(ids) - 1)] == queries)
        block[inside, own[inside]] = np.inf
        best = _lowest(block, k)
        # those found so far have lower indices: in front, they win where cosines are equal
        found = np.concatenate([found, ids[best]], axis=1)
        falling = np.concatenate([falling, np.take_along_axis(block, best, axis=1)], axis=1)
        best = np.argsort(falling, axis=1, kind="stable")[:, :k]
        found = np.take_along_axis(found, best, axis=1)
        falling = np.take_along_axis(falling, best, axis=1)
    return found.astype(np.int32), -falling


def nearest_in_blocks(
    query: NDArray[np.float64],
    blocks: Iterable[tuple[NDArray[np.int64], NDArray[np.float32]]],
    k: int,
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float64]]:
    """The ``k`` rows nearest to a unit vector (D,), or all where they are fewer.

    ``blocks`` are of indices (n,) and normalised rows n×D. Returns the indices, the cosines and the norms of
    the rows (k,), by falling cosine and, among equals, rising index.
    """
    indices = np.empty(0, dtype=np.int64)
    cosines = np.empty(0, dtype=np.float32)
    norms = np.empty(0, dtype=np.float64)
    for some, rows in blocks:
        wide = rows.astype(np.float64)
        lengths = np.sqrt(np.einsum("ij,ij->i", wide, wide))
        indices = np.concatenate([indices, some])
        cosines = np.concatenate([cosines, as_cosine(wide @ query / lengths)])
        norms = np.concatenate([norms, lengths])
        best = np.lexsort((indices, -cosines))[:k]
        indices, cosines, norms = indices[best], cosines[best], norms[best]
    return indices, cosines, norms


def _lowest(values: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """The places of the ``k`` lowest values of each row, or of all, rising; of equals the first."""
    n, m = values.shape
    if m <= k:
        return np.broadcast_to(np.arange(m), (n, m))
    best = np.argpartition(values, k - 1, axis=1)[:, :k]
    worst = np.take_along_axis(values, best, axis=1).max(axis=1)
    # which of several equals at the border the partition took is chance
    for row in np.flatnonzero(np.count_nonzero(values <= worst[:, None], axis=1) > k):
        best[row] = np.argsort(values[row], kind="stable")[:k]
    best.sort(axis=1)
    return best


class Lists:
    """The classes of a head (C) in lists around ``centroids`` (L×D float32).

    ``near`` C×p are the lists whose centroids are nearest to each class, the first of them its own.
    """

    def __init__(self, centroids: NDArray[np.float32], near: NDArray[np.int32]) -> None:
        self._centroids = centroids
        self._near = near
        self.own = near[:, 0]
        self._classes = np.argsort(self.own, kind="stable")
        self._starts = np.searchsorted(self.own[self._classes], np.arange(len(centroids) + 1))

    def __len__(self) -> int:
        return len(self._centroids)

    def members(self, number: int) -> NDArray[np.int64]:
        """The classes in a list, rising."""
        return self._classes[self._starts[number] : self._starts[number + 1]]

    def around(self, number: int) -> NDArray[np.int64]:
        """All lists, from the one in which the neighbours of this list's classes are most likely.

        By how many of its classes name a list as near, then by the centroids' inner product.
        """
        votes = np.bincount(self._near[self.members(number)].ravel(), minlength=len(self))
        alike = self._centroids @ self._centroids[number]
        found: NDArray[np.int64] = np.lexsort((np.arange(len(self)), -alike, -votes))
        return found

    def ranks(self, classes: NDArray[np.int64], neighbors: NDArray[np.int64]) -> NDArray[np.int64]:
        """For each of ``classes`` (n,) and of its ``neighbors`` (n×k): the place of the neighbour's list
        among those :meth:`around` the class's own."""
        places = np.empty(neighbors.shape, dtype=np.int64)
        for row, (one, others) in enumerate(zip(classes, neighbors, strict=True)):
            places[row] = np.argsort(self.around(int(self.own[one])))[self.own[others]]
        return places

    def candidates(self, number: int, searched: int, least: int) -> NDArray[np.int64]:
        """The classes, rising, of the ``searched`` lists around one, or of more until they are ``least``."""
        around = self.around(number)
        sizes = np.cumsum((self._starts[1:] - self._starts[:-1])[around])
        searched = max(searched, int(np.searchsorted(sizes, least)) + 1)
        return np.sort(np.concatenate([self.members(int(each)) for each in around[:searched]]))


def near_lists(unit_rows: NDArray[np.float64], centroids: NDArray[np.float32]) -> NDArray[np.int32]:
    """The lists nearest to each of some unit rows (n×D), the nearest first: n×p."""
    scores = unit_rows.astype(np.float32) @ centroids.T
    np.negative(scores, out=scores)
    best = _lowest(scores, min(_VOTES, len(centroids)))
    order = np.argsort(np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
    return np.take_along_axis(best, order, axis=1).astype(np.int32)


def query_blocks(classes: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """``classes`` in parts of at most QUERIES."""
    for start in range(0, len(classes), QUERIES):
        yield classes[start : start + QUERIES]
