"""The Procrustes shape distance of two heads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from classrel_db.maths.measures.base import Measure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from classrel_db.maths.geometry import Geometry, Pair


@dataclass(frozen=True)
class Procrustes(Measure):
    """The angle between two heads after the best rotation, in radians."""

    def estimate(self, pair: Pair) -> float:
        A, B = shape(pair.a), shape(pair.b)
        if A is None or B is None:
            return float("nan")
        product = _triangular(A).T @ _triangular(B)
        return _angle(np.linalg.svd(product, compute_uv=False).sum())

    def permuted(
        self,
        pair: Pair,
        orders: NDArray[np.int32],
        enough: float = -np.inf,  # noqa: ARG002
    ) -> NDArray[np.float64]:
        A, B = shape(pair.a), shape(pair.b)
        if A is None or B is None:
            return np.full(len(orders), np.nan)
        p, q = _triangular(A), _triangular(B)
        # half the time of a singular value decomposition, and good to 1e-8, which is all it takes here
        spectra = (np.linalg.eigvalsh(m @ m.T) for m in (p.T @ q[order] for order in orders))
        return np.asarray([np.sqrt(np.maximum(each, 0.0)).sum() for each in spectra])

    def resampled(self, pair: Pair, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """With the rotation that fits all classes.

        At the best rotation a small change of it changes nothing, so to first order a resample's own
        would give the same; and copies of classes, which are easy to fit, can't flatter the fit.
        """
        parts = pair.once(self.name, lambda: _of_classes(pair))
        if parts is None:
            return np.full(len(weights), np.nan)
        shared, a, b = (weights @ part for part in parts)
        angles: NDArray[np.float64] = np.arccos(np.clip(shared / np.sqrt(a * b), -1.0, 1.0))
        return angles

    @property
    def over_pairs(self) -> bool:
        return False


def shape(head: Geometry) -> NDArray[np.float64] | None:
    """The rows (n×D) with their mean at 0 and of unit size as a whole; None where all are equal."""
    centered = head.rows - head.rows.mean(axis=0)
    size = float(np.linalg.norm(centered))
    if not size > 1e-12 * float(np.linalg.norm(head.rows)):
        return None
    scaled: NDArray[np.float64] = centered / size
    return scaled


def _of_classes(
    pair: Pair,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]] | None:
    """What each class adds to the nuclear norm of AᵀB, and to ‖A‖² and ‖B‖² (n,); None without a shape."""
    A, B = shape(pair.a), shape(pair.b)
    if A is None or B is None:
        return None
    p, q = _triangular(A), _triangular(B)
    u, _, vt = np.linalg.svd(p.T @ q, full_matrices=False)
    along = np.einsum("ij,ij->i", p @ u, q @ vt.T)
    return along, (p**2).sum(axis=1), (q**2).sum(axis=1)


def _triangular(A: NDArray[np.float64]) -> NDArray[np.float64]:
    """A rotated into n dimensions, where it has more; zero-padding is not needed for singular values."""
    n, dim = A.shape
    if dim <= n:
        return A
    triangle: NDArray[np.float64] = np.asarray(np.linalg.qr(A.T, mode="r"))
    return triangle.T


def _angle(cosine: float) -> float:
    return float(np.arccos(np.clip(cosine, -1.0, 1.0)))
