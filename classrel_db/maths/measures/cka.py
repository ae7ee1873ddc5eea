"""Centred kernel alignment with the linear kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from classrel_db.maths.measures.base import Measure, ratio
from classrel_db.maths.resample import PermutedProducts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from classrel_db.maths.geometry import Geometry, Pair


@dataclass(frozen=True)
class CKA(Measure):
    """HSIC(K, L) / sqrt(HSIC(K, K) · HSIC(L, L)), of the two Gram matrices K and L (n×n).

    ``debiased``: with the unbiased estimator of HSIC, whose matrices have no diagonal.
    """

    debiased: bool = False

    def estimate(self, pair: Pair) -> float:
        (value,) = self.resampled(pair, np.ones((1, pair.n)))
        return float(min(value, 1.0)) if np.isfinite(value) else float("nan")

    def permuted(
        self,
        pair: Pair,
        orders: NDArray[np.int32],
        enough: float = -np.inf,  # noqa: ARG002
    ) -> NDArray[np.float64]:
        K, L = self._matrices(pair)
        n = pair.n
        k, l = K.sum(axis=1), L.sum(axis=1)  # noqa: E741
        products = 2 * pair.once((self.name, "permuted"), lambda: PermutedProducts(K, L)).of(orders)
        if not self.debiased:
            products += _permuted_dot(np.diagonal(K), np.diagonal(L), orders)
        return products - (2 / (n - 2 if self.debiased else n)) * _permuted_dot(k, l, orders)

    def resampled(self, pair: Pair, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        K, L = self._matrices(pair)
        found = [self._hsic(P, Q, weights) for P, Q in ((K, L), (K, K), (L, L))]
        kl, kk, ll = found
        return ratio(kl, kk, ll)

    def exact_null(self, n: int, k: int) -> float | None:  # noqa: ARG002
        return 0.0 if self.debiased else None

    def _matrices(self, pair: Pair) -> list[NDArray[np.float64]]:
        return pair.once(self.name, lambda: [self._matrix(head) for head in (pair.a, pair.b)])

    def _matrix(self, head: Geometry) -> NDArray[np.float64]:
        # centred already: so that copies of a class, which are no pair, are left out at the mean
        gram: NDArray[np.float64] = head.gram / (np.abs(head.gram).max() or 1.0)
        if self.debiased:
            np.fill_diagonal(gram, 0.0)
        return gram

    def _hsic(
        self, K: NDArray[np.float64], L: NDArray[np.float64], weights: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """HSIC up to a factor, of each resample; a class and its copies are no pair."""
        n = K.shape[0]
        own_k, own_l = np.diagonal(K), np.diagonal(L)
        k = weights @ K - (weights - 1) * own_k  # the row sums in the resample (R×n)
        l = k if L is K else weights @ L - (weights - 1) * own_l  # noqa: E741
        KL = K * L
        trace = np.einsum("ri,ri->r", weights @ KL - (weights - 1) * np.diagonal(KL), weights)
        sums = np.einsum("ri,ri->r", weights, k) * np.einsum("ri,ri->r", weights, l)
        rows = np.einsum("ri,ri,ri->r", weights, k, l)
        if self.debiased:
            hsic = trace + sums / ((n - 1) * (n - 2)) - 2 / (n - 2) * rows
        else:
            hsic = trace + sums / n**2 - 2 / n * rows
        # what is left of equal numbers is not a value
        return np.where(np.abs(hsic) > 1e-12 * np.maximum(np.abs(trace), 1e-300), hsic, 0.0)


def _permuted_dot(
    x: NDArray[np.float64], y: NDArray[np.float64], orders: NDArray[np.int32]
) -> NDArray[np.float64]:
    return y[orders] @ x
