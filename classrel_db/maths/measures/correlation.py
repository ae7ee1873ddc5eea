"""Representational similarity analysis: two heads' cosines correlated over the pairs of classes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from classrel_db.maths.geometry import LEVELS, is_constant, mean_ranks, square
from classrel_db.maths.measures.base import Measure, ratio
from classrel_db.maths.resample import PermutedProducts, in_threads

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from classrel_db.maths.geometry import Geometry, Pair


def correlation(x: NDArray[np.floating], y: NDArray[np.floating], *, centered: bool) -> float:
    """The Pearson correlation of two vectors (N,), or their cosine where not ``centered``.

    NaN where one of them does not vary (or, not centred, is zero).
    """
    if centered and (is_constant(x) or is_constant(y)):
        return float("nan")
    p, q = scores(x, centered=centered), scores(y, centered=centered)
    return float(np.clip(p @ q, -1.0, 1.0))


def scores(x: NDArray[np.floating], *, centered: bool) -> NDArray[np.float64]:
    """A vector (N,) scaled to unit length, ``centered`` first; NaN where nothing is left of it."""
    wide = x.astype(np.float64)
    if centered:
        wide -= wide.mean()
    length = np.sqrt(wide @ wide)
    return wide / length if length > 0 else np.full(len(wide), np.nan)


def total(M: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sums over pairs i ≠ j of w_i w_j M_ij for each of ``weights`` (R×n): (R,). M (n×n) has a
    diagonal of 0."""
    sums: NDArray[np.float64] = np.einsum("ri,ri->r", weights @ M, weights)
    return sums


def weighted(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    xy: NDArray[np.float64],
    xx: NDArray[np.float64],
    yy: NDArray[np.float64],
    weights: NDArray[np.float64],
    *,
    centered: bool,
) -> NDArray[np.float64]:
    """The weighted correlation, or cosine where not ``centered``, from the totals (R,) of two matrices,
    of their product and of their squares."""
    if centered:
        size = weights.sum(axis=1) ** 2 - (weights**2).sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            xy, of_x, of_y = xy - x * y / size, xx - x * x / size, yy - y * y / size
        # what is left of equal numbers is not a value
        xx, yy = (np.where(c > 1e-12 * r, c, 0.0) for c, r in ((of_x, xx), (of_y, yy)))
    return ratio(xy, xx, yy)


@dataclass(frozen=True)
class Correlation(Measure):
    """The correlation of ``values`` of the pairs, or their cosine where not ``centered``."""

    centered: ClassVar[bool] = True

    def values(self, head: Geometry) -> NDArray[np.floating]:
        """What is correlated (N,)."""
        return self.of_cosines(head.pairs)

    def of_cosines(self, pairs: NDArray[np.float32]) -> NDArray[np.floating]:
        """The same from the cosines of the pairs."""
        return pairs

    def estimate(self, pair: Pair) -> float:
        if self.centered and pair.is_constant:
            return float("nan")
        return correlation(self.values(pair.a), self.values(pair.b), centered=self.centered)

    def permuted(
        self, pair: Pair, orders: NDArray[np.int32], enough: float = -np.inf
    ) -> NDArray[np.float64]:
        # lengths and means are the same in every order: the products of what is centred decide. Of
        # dissimilarities, all near 1, single precision would leave too little
        products = pair.once((self.name, "permuted"), lambda: self._centered(pair))
        return products.of(orders, enough)

    def resampled(self, pair: Pair, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        products = pair.once((self.name, "products"), lambda: self._products(pair))
        x, y, xy, xx, yy = (total(M, weights) for M in products)
        return weighted(x, y, xy, xx, yy, weights, centered=self.centered)

    def exact_null(self, n: int, k: int) -> float | None:  # noqa: ARG002
        return 0.0 if self.centered else None

    def _centered(self, pair: Pair) -> PermutedProducts:
        heads = (pair.a, pair.b)
        values = (np.nan_to_num(scores(self.values(head), centered=True)) for head in heads)
        return PermutedProducts(*(square(each, pair.n, diagonal=0.0) for each in values))

    def _products(self, pair: Pair) -> tuple[NDArray[np.float64], ...]:
        X, Y = self._matrix(pair.a), self._matrix(pair.b)
        return X, Y, X * Y, X * X, Y * Y

    def _matrix(self, head: Geometry) -> NDArray[np.float64]:
        return square(scores(self.values(head), centered=self.centered), head.n, diagonal=0.0)


@dataclass(frozen=True)
class SecondOrderCosine(Correlation):
    """The cosine of the two vectors of dissimilarities 1 - cosine."""

    centered: ClassVar[bool] = False

    def of_cosines(self, pairs: NDArray[np.float32]) -> NDArray[np.floating]:
        return 1 - pairs.astype(np.float64)


@dataclass(frozen=True)
class Spearman(Correlation):
    """The correlation of the pairs' ranks, which a resample ranks anew."""

    def values(self, head: Geometry) -> NDArray[np.floating]:
        return head.ranks  # which may have been computed

    def of_cosines(self, pairs: NDArray[np.float32]) -> NDArray[np.floating]:
        return mean_ranks(pairs)

    def resampled(self, pair: Pair, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return _rank_statistics(pair, weights)[0]


@dataclass(frozen=True)
class Kendall(Measure):
    """Kendall's tau-a over all pairs of pairs."""

    def estimate(self, pair: Pair) -> float:
        from scipy.stats import kendalltau

        x, y = pair.a.pairs, pair.b.pairs
        if pair.is_constant:
            return float("nan")
        size = len(x) * (len(x) - 1) / 2
        # scipy's is tau-b: without the pairs that are tied, by their geometric mean
        free = [size - float((c * (c - 1) // 2).sum()) for c in map(_counts, (x, y))]
        return float(kendalltau(x, y).statistic * np.sqrt(free[0] * free[1]) / size)

    def permuted(
        self,
        pair: Pair,
        orders: NDArray[np.int32],
        enough: float = -np.inf,  # noqa: ARG002
    ) -> NDArray[np.float64]:
        n = pair.n
        first = np.triu(pair.a.levels + 1, 1) * LEVELS  # below the diagonal: row 0, thrown away
        second = pair.b.levels

        def work(part: NDArray[np.int32]) -> list[float]:
            found = []
            for order in part.astype(np.intp):
                cells = np.maximum(second[order].take(order, axis=1), 0)
                cells += first
                counted = np.bincount(cells.ravel(), minlength=(LEVELS + 1) * LEVELS)
                table = counted.reshape(LEVELS + 1, LEVELS)[1:].astype(np.float64)
                found.append(_concordance(table))
            return found

        whole = n * (n - 1) / 2
        sums = [each for part in in_threads(work, orders) for each in part]
        return np.asarray(sums) / (whole * (whole - 1) / 2)

    def resampled(self, pair: Pair, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return _rank_statistics(pair, weights)[1]

    def exact_null(self, n: int, k: int) -> float | None:  # noqa: ARG002
        return 0.0


def _rank_statistics(
    pair: Pair, weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Spearman's rho and Kendall's tau-a of each resample, from the joint histogram of both heads' levels.

    A histogram is a tenth of the pairs of 1,000 classes, and serves both; what has been computed
    for these weights is kept. Ranks within a level are lost, which takes about 1/LEVELS² of a
    correlation.
    """

    def compute() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        first, second, cells = pair.once("cells", lambda: _cells(pair))

        def work(part: NDArray[np.float64]) -> list[tuple[float, float]]:
            found = []
            for w in part:
                of_pairs = w[first] * w[second]
                counted = np.bincount(cells, of_pairs, LEVELS * LEVELS)
                table = counted.reshape(LEVELS, LEVELS).astype(np.float64, copy=False)
                squares = float(np.einsum("i,i->", of_pairs, of_pairs))
                found.append((_spearman(table), _kendall(table, squares)))
            return found

        values = np.asarray([each for part in in_threads(work, weights) for each in part])
        return values[:, 0], values[:, 1]

    digest = hashlib.sha256(weights.tobytes()).digest()
    return pair.once(("rank statistics", digest), compute)


def _cells(pair: Pair) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.int32]]:
    """The two classes of each pair, and the pair's cell in the joint histogram (N,) each."""
    first, second = np.triu_indices(pair.n, 1)
    return first, second, pair.a.levels[first, second] * LEVELS + pair.b.levels[first, second]


def _spearman(table: NDArray[np.float64]) -> float:
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    x = rows.cumsum() - rows / 2 - rows.sum() / 2
    y = columns.cumsum() - columns / 2 - rows.sum() / 2
    xx, yy = float(rows @ x**2), float(columns @ y**2)
    xy = float(np.einsum("i,ij,j->", x, table, y))
    return xy / float(np.sqrt(xx * yy)) if xx > 0 and yy > 0 else float("nan")


def _kendall(table: NDArray[np.float64], squares: float) -> float:
    # a pair of classes is not compared with its own copies
    size = (float(table.sum()) ** 2 - squares) / 2
    return _concordance(table) / size if size > 0 else float("nan")


def _concordance(table: NDArray[np.float64]) -> float:
    """Concordant less discordant pairs of what a two-way table counts."""
    before = table.cumsum(axis=0)[:-1].cumsum(axis=1)
    agree = np.einsum("ij,ij->", table[1:, 1:], before[:, :-1])
    # what stands before in one head and after in the other: the row's whole, less the part before
    against = np.einsum("ij,i->", table[1:, :-1], before[:, -1])
    return float(agree + np.einsum("ij,ij->", table[1:, :-1], before[:, :-1]) - against)


def _counts(values: NDArray[np.floating]) -> NDArray[np.int64]:
    counts: NDArray[np.int64] = np.unique(values, return_counts=True)[1].astype(np.int64)
    return counts
