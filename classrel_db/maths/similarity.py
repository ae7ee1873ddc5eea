"""Cosine, Euclidean distance and nearest neighbours, exact and in blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from classrel_db.maths.normalize import row_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray

_GATHER_COST = 100  # a gathered row costs as much as this many rows of a matrix product (measured)


_GRID = 4096.0  # of which 2^-40 is a unit in the last place of a float64


def unit(rows: NDArray[np.floating]) -> NDArray[np.float64]:
    """Rows (…, D) scaled to unit length, in float64."""
    wide = np.asarray(rows, dtype=np.float64)
    unit_rows: NDArray[np.float64] = (
        wide / np.sqrt(np.einsum("...j,...j->...", wide, wide))[..., None]
    )
    return unit_rows


def cosines_to(U: NDArray[np.float64], targets: NDArray[np.float64]) -> NDArray[np.float32]:
    """Cosines in [-1, 1] of unit rows ``U`` (n×D) with unit ``targets`` (m×D), as n×m float32."""
    return as_cosine(U @ targets.T)


def cosine_blocks(
    U: NDArray[np.float64],
    block_bytes: int = 64 << 20,
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """The upper triangle of the cosine matrix of unit rows ``U`` (C×D), in blocks of rows.

    Yields (start, S): S[r, c] is the cosine of classes start+r and start+c; a pair a < b stands at
    S[a-start, b-start]. Each block's float64 product takes at most ``block_bytes``.
    """
    for block in row_blocks(len(U), len(U), block_bytes):
        yield block.start, cosines_to(U[block], U[block.start :])


def euclidean(cosine: ArrayLike, norm_a: ArrayLike, norm_b: ArrayLike) -> NDArray[np.float64]:
    """Euclidean distance from the cosine and the two norms: sqrt(a² + b² - 2ab·cos).

    Rounding may leave a value below zero under the root for equal vectors; it is set to 0.
    """
    a, b, cos = (np.asarray(x, dtype=np.float64) for x in (norm_a, norm_b, cosine))
    squared: NDArray[np.float64] = a * a + b * b - 2 * a * b * cos
    return np.sqrt(np.maximum(squared, 0.0))


def block_starts(n: int, most: int) -> NDArray[np.int64]:
    """Where blocks of n rows start, ``most`` at most and as equal as can be, and n at the end."""
    found: NDArray[np.int64] = np.linspace(0, n, min(n, most) + 1).round().astype(np.int64)
    return found


def block_matrix(
    rows: NDArray[np.floating], starts: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The mean cosine and the root mean square Euclidean distance of the pairs between blocks of rows.

    ``rows`` C×D; block i has the rows from ``starts[i]`` up to ``starts[i + 1]``, one or more. Returns two
    m×m; on the diagonal stands what holds of the different rows of a block, NaN where there is but one. A
    mean of products is the product of the means, so that no matrix of all pairs is needed.
    """
    wide = np.asarray(rows, dtype=np.float64)
    sizes = np.diff(starts).astype(np.float64)
    products = []
    for each in (unit(wide), wide):
        sums = np.add.reduceat(each, starts[:-1], axis=0)
        squares = np.add.reduceat(np.einsum("ij,ij->i", each, each), starts[:-1])
        mean = (sums / sizes[:, None]) @ (sums / sizes[:, None]).T
        with np.errstate(invalid="ignore", divide="ignore"):
            own = (np.diag(mean) * sizes**2 - squares) / (sizes * (sizes - 1))
        np.fill_diagonal(mean, np.where(sizes > 1, own, np.nan))
        products.append((mean, squares / sizes))
    (cosine, _), (inner, square) = products
    distance = np.sqrt(np.maximum(square[:, None] + square[None, :] - 2 * inner, 0.0))
    return as_cosine(cosine), distance.astype(np.float32)


def exact_neighbors(
    U: NDArray[np.float64],
    queries: NDArray[np.float64],
    candidates: NDArray[np.int64],
    k: int,
    excluded: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The ``k`` rows of ``U`` (C×D, unit) nearest to each of ``queries`` (n×D, unit), exactly.

    ``candidates`` (n×m, -1 for none) is a search index's answer, best first. Their cosines are
    recomputed in float64; where the index's own rounding could have kept a nearer row out of the
    candidates, that query is answered from all of ``U``. ``excluded`` (n×e) are rows that may not
    be an answer, such as the query itself. Returns (indices n×k, cosines n×k), by falling cosine
    and, among equals, rising index. ``k`` is at most C - e.
    """
    n, m = candidates.shape
    n_classes, dim = U.shape
    if excluded is None:
        excluded = np.empty((n, 0), dtype=np.int64)
    indices = np.empty((n, k), dtype=np.int64)
    cosines = np.empty((n, k), dtype=np.float32)
    sure = np.zeros(n, dtype=bool)
    # How far a float32 inner product of unit vectors may be off: D products and sums, and the
    # rounding of both vectors to float32. It counts twice, for the row that was left out and for
    # the worst candidate that kept it out.
    rounding = 2 * (dim + 4) * 2.0**-24
    # One product with all of U costs less than gathering the candidates' rows until C is large.
    whole = n_classes <= _GATHER_COST * m
    for block in row_blocks(n, n_classes if whole else m * dim):
        if m < k:
            break
        found = np.sort(candidates[block], axis=1)
        if whole:
            exact = np.take_along_axis(queries[block] @ U.T, found, axis=1)
        else:
            exact = np.matmul(U[found], queries[block][:, :, None])[:, :, 0]
        barred = (found < 0) | (found[:, :, None] == excluded[block, None, :]).any(axis=2)
        indices[block], cosines[block] = _rank(exact, found, barred, k)
        last = cosines[block, -1].astype(np.float64) - 2.0**-24  # it has been rounded itself
        worst = np.where(barred, np.inf, exact).min(axis=1)
        everyone = (m == n_classes) & ~(found < 0).any(axis=1)
        sure[block] = np.isfinite(last) & (everyone | (last > worst + rounding))
    unsure = np.flatnonzero(~sure)
    for part in row_blocks(len(unsure), n_classes):
        rows = unsure[part]
        everybody = np.broadcast_to(np.arange(n_classes), (len(rows), n_classes))
        barred = np.zeros(everybody.shape, dtype=bool)
        np.put_along_axis(barred, excluded[rows], True, axis=1)
        indices[rows], cosines[rows] = _rank(queries[rows] @ U.T, everybody, barred, k)
    return indices, cosines


def _rank(
    products: NDArray[np.float64],
    indices: NDArray[np.int64],
    barred: NDArray[np.bool_],
    k: int,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The ``k`` best of each row by falling cosine, then rising index, the barred ones last.

    The ``indices`` of a row rise, so a stable sort by cosine alone leaves equals in their order.
    """
    falling = -as_cosine(products)
    falling[barred] = np.inf
    order = np.argsort(falling, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(indices, order, axis=1), -np.take_along_axis(falling, order, axis=1)


def as_cosine(product: NDArray[np.float64]) -> NDArray[np.float32]:
    """A product of unit vectors as a cosine in [-1, 1], the same however it was computed."""
    # To a grid of 2^-40, far above the rounding of the product: what should be 0 is 0, and is the
    # same 0 however the product was computed. Rounding may also carry parallel rows past 1.
    snapped = product + _GRID
    snapped -= _GRID
    return np.clip(snapped, -1.0, 1.0, out=snapped).astype(np.float32)
