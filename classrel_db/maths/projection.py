"""Classes as points in the plane, and how far such a map can be trusted.

Between unit rows the Euclidean distance is the chord, sqrt(2-2cos), so the principal coordinates of the
chord distances (Torgerson, Psychometrika 17, 1952; Gower, Biometrika 53, 1966) are the principal
components of the rows: exact, and without a matrix of all pairs. No plane holds a head of many classes,
whatever lays it out; so each map comes with how many of the nearest classes are still near on it.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from classrel_db.maths.normalize import row_blocks
from classrel_db.maths.similarity import cosines_to

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST_UMAP = 4  # classes: of three, umap-learn can't make its first layout
_NEAR_UMAP = 15  # neighbours of a class that UMAP looks at, as it does by default
_NOTHING = 1e-12  # of all variance: an axis with less holds rounding alone
_AS_LARGE = 1 - 1e-6  # of a coordinate: what differs by less is as large


@dataclass(frozen=True, slots=True)
class Trust:
    """How much of the neighbourhoods of n classes a map keeps.

    ``k`` neighbours of each class are looked at; ``kept`` (n,) is the share of them that the map and the
    rows have in common, in [0, 1]; ``trustworthiness`` counts the intruders among the nearest on the
    map by how far off they are in truth, in [0, 1]: 1 for none, about a half for a map drawn at random
    (Venna & Kaski, ICANN 2001).
    """

    k: int
    kept: NDArray[np.float64]
    trustworthiness: float


def principal_coordinates(U: NDArray[np.float64]) -> tuple[NDArray[np.float64], list[float]]:
    """The first two principal coordinates (C×2) of the chord distances of unit rows ``U`` (C×D), and the
    share of the variance that each axis holds.

    The axes lie about 0, and point to where the class farthest from it is. An axis without variance, as
    the second of two classes, is 0.
    """
    centered = U - U.mean(axis=0)
    by_class = len(U) <= U.shape[1]
    gram = centered @ centered.T if by_class else centered.T @ centered
    total = float(np.trace(gram))
    points = np.zeros((len(U), 2))
    shares = [0.0, 0.0]
    for axis, (value, vector) in enumerate(_leading(gram)):
        if value <= _NOTHING * total:
            break
        column = vector * np.sqrt(value) if by_class else centered @ vector
        large = np.abs(column)
        first = int(np.argmax(large >= _AS_LARGE * large.max()))
        points[:, axis] = column if column[first] > 0 else -column
        shares[axis] = value / total
    return points, shares


def _leading(gram: NDArray[np.float64]) -> list[tuple[float, NDArray[np.float64]]]:
    """The two largest eigenvalues of a symmetric matrix, the larger first, with their vectors."""
    from scipy.linalg import eigh

    n = len(gram)
    values, vectors = eigh(gram, subset_by_index=[max(0, n - 2), n - 1])
    return [(float(values[i]), vectors[:, i]) for i in range(len(values))][::-1]


def umap_points(U: NDArray[np.float64], seed: int) -> tuple[NDArray[np.float64], int]:
    """Unit rows ``U`` (C×D, C from LEAST_UMAP on) laid out by UMAP (McInnes, Healy & Melville 2018), C×2, and
    in how many parts their neighbourhood graph falls.

    The distance is the chord; all else is as umap-learn has it by default, on one thread, so that the
    same ``seed`` gives the same map. Where there are several parts, how they lie to each other means nothing.
    Raises ImportError where umap-learn is not installed.
    """
    with warnings.catch_warnings():
        # of parts that are not connected, which is an answer here, and of other libraries' own affairs
        warnings.simplefilter("ignore")
        from scipy.sparse.csgraph import connected_components
        from umap import UMAP

        mapper = UMAP(
            n_neighbors=min(_NEAR_UMAP, len(U) - 1),
            metric="euclidean",
            random_state=seed,
            n_jobs=1,
        )
        points = mapper.fit_transform(U.astype(np.float32))
        parts, _ = connected_components(mapper.graph_, directed=False)
    return np.asarray(points, dtype=np.float64), int(parts)


def trust(U: NDArray[np.float64], points: NDArray[np.float64], k: int) -> Trust:
    """How far the map ``points`` (n×2) keeps the ``k`` nearest of unit rows ``U`` (n×D); k below n/2.

    Classes at the same distance are as near as each other.
    """
    n = len(U)
    if not 1 <= k < n / 2:
        raise ValueError(f"k is {k}; of {n} classes it is from 1 to {(n - 1) // 2}")
    near = _nearest_on_map(points, k)
    ranks = np.empty((n, k), dtype=np.int64)
    for block in row_blocks(n, n):
        cosine = cosines_to(U[block], U)
        own = np.arange(len(cosine))
        cosine[own, own + block.start] = -np.inf
        for place in range(k):
            found = cosine[own, near[block, place]]
            ranks[block, place] = 1 + (cosine > found[:, None]).sum(axis=1)
    intruded = float(np.maximum(ranks - k, 0).sum())
    return Trust(k, (ranks <= k).mean(axis=1), 1 - 2 * intruded / (n * k * (2 * n - 3 * k - 1)))


def _nearest_on_map(points: NDArray[np.float64], k: int) -> NDArray[np.int64]:
    """The ``k`` nearest others of each point (n×k)."""
    from scipy.spatial import KDTree

    _, found = KDTree(points).query(points, k + 1)
    # itself is among them, and need not be the first where points coincide
    itself = found == np.arange(len(points))[:, None]
    itself[~itself.any(axis=1), -1] = True
    nearest: NDArray[np.int64] = found[~itself].reshape(len(points), k)
    return nearest


def laid_upon(
    points: NDArray[np.float64],
    anchors: NDArray[np.float64],
    targets: NDArray[np.float64],
) -> NDArray[np.float64]:
    """A map (n×2) moved, turned and if need be mirrored, so that its ``anchors`` (m×2) come as near to
    ``targets`` (m×2) as they can (orthogonal Procrustes, Schönemann, Psychometrika 31, 1966); no distance
    on it changes."""
    from scipy.linalg import orthogonal_procrustes

    here, there = anchors.mean(axis=0), targets.mean(axis=0)
    R, _ = orthogonal_procrustes(anchors - here, targets - there)
    turned: NDArray[np.float64] = (points - here) @ R + there
    return turned
